"""Screens as lines: 80x24, any size, ASCII; every view of a run, and the list."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hpctrack.cli.top.cells import (
    ASCII,
    UNICODE,
    cut_line,
    make_bar,
    make_heat,
    make_spark,
    measure,
)
from hpctrack.cli.top.controls import VIEWS, Controls, View
from hpctrack.cli.top.list_screen import draw_list
from hpctrack.cli.top.live import LiveRow, LiveRuns
from hpctrack.cli.top.run_head import TITLES
from hpctrack.cli.top.screen import HELP, Size
from hpctrack.cli.top.start import choose_glyphs
from hpctrack.cli.top.words import show_number, show_rate, show_span
from hpctrack.store.schema import EventKind, Place
from tests.stores import START_S, FakeClock, NodeWriter
from tests.unit.cli.top.made_runs import STEPS, TERMINAL, draw, text_of, watch, write_live_run

RUN = Controls(run=("p", "r"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_live_run(tmp_path)
    return tmp_path


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [TERMINAL, Size(40, 10), Size(200, 60), Size(10, 3)])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_every_view_fits_every_terminal(
    store: Path, view: View, size: Size, glyphs: object
) -> None:
    run = watch(store)
    picture = draw(run, replace(RUN, view=view), size=size, glyphs=glyphs)  # type: ignore[arg-type]
    assert len(picture.lines) == size.height
    assert max(map(measure, picture.lines)) <= size.width
    if glyphs is ASCII:
        assert "".join(text_of(picture.lines)).isascii()
    run.close()


def test_the_overview_says_everything_at_a_glance(store: Path) -> None:
    lines = text_of(draw(watch(store), RUN).lines)
    text = "\n".join(lines)
    assert lines[0] == "calm-lake-1  p/r  RUNNING  alice"
    assert lines[1].startswith("17m 20s of 1h 06m ████")
    assert "step 39  1 steps/s  4 ranks on 2 nodes" in lines[1]
    assert lines[2] == "nothing lost · 1 alert, 0 warnings"
    assert lines[3].startswith("[Overview] Ranks ")
    assert "step_time" in lines[4]
    assert [one.split()[0] for one in lines[5:9]] == ["0", "1", "2", "3"]
    (gpu,) = [one for one in lines if "n1:0" in one]
    assert gpu.split()[:4] == ["n1:0", "90%", "40G/80G", "300W"]
    assert gpu.endswith("████")
    assert "n2:1        1%" in text
    assert "ALERT error" in text
    assert "rank 3     n2           1.50x" in text
    assert "every 2 s" in lines[-1]


def test_ranks_have_a_row_each_and_are_sorted_and_filtered(store: Path) -> None:
    run = watch(store)
    by_rank = replace(RUN, view=View.RANKS, metric="loss")
    picture = draw(run, by_rank)
    rows = text_of(picture.lines)[5:9]
    assert [row.split()[:2] for row in (one.strip("▸ ") for one in rows)] == [
        ["0", "n1"],
        ["1", "n1"],
        ["2", "n2"],
        ["3", "n2"],
    ]
    assert rows[0].startswith("▸")
    assert rows[0].endswith("▁")  # it goes down
    assert picture.choice.rank == 0
    highest = draw(run, replace(by_rank, sorts=((View.RANKS, "highest"),), row=0))
    assert highest.choice.rank == 3
    filtered = draw(run, replace(by_rank, filter="n2"))
    assert filtered.choice.rows == 2
    run.close()


def test_a_lost_rank_and_a_value_that_is_no_number_are_seen(tmp_path: Path) -> None:
    (writer,) = write_live_run(tmp_path, nodes=1)
    writer.points("loss", 1, [STEPS], [math.nan])
    writer.end(2, 2, exit_code=None)
    writer.flush()
    picture = draw(watch(tmp_path), replace(RUN, view=View.RANKS, metric="loss"))
    lines = text_of(picture.lines)
    assert "FAILED" in lines[0]
    assert "1 rank lost or failed" in lines[2]
    assert "NaN/Inf" in lines[6]
    assert lines[6].endswith("!")
    assert (f"{2:>4} ", "bad") in picture.lines[7]


def test_more_than_80_ranks_have_a_cell_each(tmp_path: Path) -> None:
    write_live_run(tmp_path, ranks=200, nodes=2)
    run = watch(tmp_path)
    assert run.record.size == 200
    lines = text_of(draw(run, replace(RUN, view=View.RANKS, metric="loss")).lines)
    assert lines[5].startswith("▸     0 ▁")
    assert len(lines[5].removeprefix("▸     0 ")) == 70
    assert lines[7].startswith("    140 ")
    assert lines[7].endswith("█")
    assert "more" not in lines[8]
    run.close()


def test_gpus_show_what_was_chosen_and_the_idle_one_stands_out(store: Path) -> None:
    run = watch(store)
    picture = draw(run, replace(RUN, view=View.GPUS))
    lines = text_of(picture.lines)
    assert lines[4].startswith(" GPU util  0 ")
    assert ("  1% ", "bad") in picture.lines[6]
    power = text_of(draw(run, replace(RUN, view=View.GPUS, gpu_shown="power")).lines)
    assert power[4].startswith(" GPU power  0 ")
    assert "301" in power[4]
    idle = draw(run, replace(RUN, view=View.GPUS, sorts=((View.GPUS, "idle"),)))
    assert "n1:1" in text_of(idle.lines)[5]
    run.close()


def test_metrics_slow_ranks_and_alerts_are_listed(store: Path) -> None:
    run = watch(store)
    metrics = draw(run, replace(RUN, view=View.METRICS))
    assert metrics.choice.metric == "loss"
    assert metrics.choice.metrics == ("loss", "step_time")
    slow = text_of(draw(run, replace(RUN, view=View.SLOW)).lines)
    assert "hpctrack stragglers r" in slow[5]
    assert slow[6].startswith("▸rank 3")
    alerts = text_of(draw(run, replace(RUN, view=View.ALERTS)).lines)
    assert "ALERT error loss: is high" in alerts[4].replace("rank 0 ", "")
    run.close()


def test_the_console_shows_the_last_lines_that_fit(store: Path, tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path / "other")
    session = writer.start(0)
    for number in range(50):
        text = f"line {number} \x1b[31mred\x1b[0m\n".encode()
        writer.file.add_event(
            EventKind.STDOUT, text, wall_s=START_S, rank=0, session=session, place=Place.TEXT
        )
    writer.flush()
    run = watch(tmp_path / "other")
    run.console_rank = 0
    run.refresh()
    lines = text_of(draw(run, replace(RUN, view=View.CONSOLE)).lines)
    assert lines[-2] == "line 49 red"
    assert lines[5] == "line 32 red"
    run.close()


def test_a_run_that_has_logged_nothing_says_so(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.flush()
    run = watch(tmp_path)
    assert "no step yet" in text_of(draw(run, RUN).lines)[1]
    for view, said in (
        (View.RANKS, "no metric has been logged yet"),
        (View.METRICS, "no metric has been logged yet"),
        (View.GPUS, "no GPU of this run has been sampled"),
        (View.ALERTS, "no alerts, no warnings"),
        (View.CONSOLE, "nothing that it printed is recorded"),
    ):
        assert said in "\n".join(text_of(draw(run, replace(RUN, view=view)).lines))
    run.close()


def test_losses_are_in_the_head(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.event(EventKind.LEDGER, {"dropped_points": 1204}, session=session)
    writer.flush()
    picture = draw(watch(tmp_path), RUN)
    assert "LOST: 1,204 points dropped" in text_of(picture.lines)[2]


def rows(*more: dict[str, object]) -> list[LiveRow]:
    base = LiveRow("p", "r", "calm", "alice", "running", 1, 60.0, 100, 2.0, 1.0, 0.5, 8, 16, 2, 0)
    return [base._replace(**one) for one in more]  # type: ignore[arg-type]


def test_the_list_is_sorted_filtered_and_says_whose_runs_they_are() -> None:
    known = rows(
        {"id": "a", "name": "slow", "rate": 0.0}, {"id": "b", "gpu_util": 0.01, "age_s": 9.0}
    )
    picture = draw_list(known, Controls(), TERMINAL, UNICODE, whose="alice")
    lines = text_of(picture.lines)
    assert lines[0] == "hpctrack top  2 runs of alice, 32 ranks, 16 GPUs"
    assert picture.choice.run == ("p", "b")
    assert "▁1%" in lines[3]
    assert max(map(len, lines)) <= 80
    by_rate = draw_list(known, Controls(sorts=(("list", "rate"),)), TERMINAL, UNICODE, whose="")
    assert by_rate.choice.run == ("p", "b")
    only = draw_list(known, Controls(filter="SLOW"), TERMINAL, ASCII, whose="")
    assert (only.choice.rows, only.choice.run) == (1, ("p", "a"))
    none = draw_list([], Controls(), TERMINAL, UNICODE, whose="alice", told="disk is gone")
    assert "no run of alice is going on" in text_of(none.lines)[3]
    assert text_of(none.lines)[1] == "disk is gone"


def test_columns_of_the_list_do_not_touch_and_alerts_are_seen() -> None:
    known = rows({"name": "n" * 40, "step": 12_345_678, "rate": 0.4914, "alerts": 3})
    lines = text_of(draw_list(known, Controls(), TERMINAL, UNICODE, whose="").lines)
    assert "12,345,678" in lines[3].split()
    assert "0.491/s" in lines[3].split()
    assert lines[3].endswith(" 3!")


def test_keys_are_left_out_of_the_foot_and_not_cut(store: Path) -> None:
    run = watch(store)
    foot = ""
    for width in (40, 60, 70, 80, 120):
        foot = text_of(draw(run, replace(RUN, view=View.GPUS), size=Size(width, 24)).lines)[-1]
        assert foot.startswith("? help  q quit")
        assert UNICODE.more not in foot
    assert "esc back" in foot
    run.close()


def test_in_a_narrow_terminal_the_chosen_view_is_named(store: Path) -> None:
    run = watch(store)
    for view in VIEWS:
        lines = text_of(draw(run, replace(RUN, view=view), size=Size(40, 12)).lines)
        assert f"[{TITLES[view]}]" in lines[3]
    run.close()


def test_live_runs_are_found_and_those_that_are_over_are_left(tmp_path: Path) -> None:
    write_live_run(tmp_path, run="mine")
    write_live_run(tmp_path, run="theirs", user="bob")
    over = NodeWriter(tmp_path, run="over")
    over.end(0, over.start(0))
    over.close()
    damaged = NodeWriter(tmp_path, run="damaged")
    damaged.start(0, attempt="none")
    damaged.flush()
    clock = FakeClock(START_S + STEPS)

    def find(user: str | None) -> LiveRuns:
        return LiveRuns(tmp_path, clock=clock.clock(), stale_after_s=60, user=user)

    live = find("alice")
    (row,) = live.refresh()
    assert (row.id, row.step, row.rate, row.gpus, row.hosts) == ("mine", 39, 1.0, 4, 2)
    assert row.gpu_util == pytest.approx(0.455)
    assert row.silent_s == 1.0
    everybodys = find(None)
    assert {one.id for one in everybodys.refresh()} == {"mine", "theirs"}
    clock.now_s += 100
    assert live.refresh() == []
    live.close()
    everybodys.close()


def test_help_shows_every_key_and_fits() -> None:
    lines = text_of(draw_list([], Controls(shows_help=True), TERMINAL, UNICODE, whose="").lines)
    assert lines[2 : 2 + len(HELP.splitlines())] == HELP.splitlines()


def test_cells_grow_with_their_values_and_neighbours_share_a_style() -> None:
    line = make_heat([0.0, 0.5, 1.0, math.nan, math.inf], 0.0, 1.0, UNICODE)
    assert [text for text, _style in line] == ["▁▅", "█", " ", "!"]
    assert make_heat([5.0, 5.0], 5.0, 5.0, UNICODE) == (("▄▄", "heat0"),)
    assert make_spark([1.0, 2.0, math.nan], ASCII) == "_# "
    assert make_bar(0.5, 4, ASCII) == "##.."
    assert make_bar(7.0, 4, ASCII) == "####"
    assert cut_line((("abc", "x"), ("defg", "y")), 5, UNICODE) == (
        ("abc", "x"),
        ("d", "y"),
        ("…", "dim"),
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.31274, "0.3127"),
        (123456.0, "123k"),
        (1.2e-5, "1.2e-05"),
        (0.0, "0"),
        (-5.0, "-5"),
        (math.nan, "-"),
    ],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert show_number(value) == shown
    assert len(shown) <= 8


def test_times_and_rates_read_well() -> None:
    assert [show_span(one) for one in (5, 65, 3700, 200_000, math.nan)] == [
        "5s",
        "1m 05s",
        "1h 01m",
        "2d 07h",
        "-",
    ]
    assert [show_rate(one) for one in (0.0, 0.02, 5.0, math.nan)] == [
        "0 steps/s",
        "50 s/step",
        "5 steps/s",
        "-",
    ]


@pytest.mark.parametrize(
    ("encoding", "environ", "is_ascii", "wanted"),
    [
        ("utf-8", {"LANG": "de_DE.UTF-8"}, False, UNICODE),
        ("utf-8", {"LANG": "C.UTF-8"}, False, UNICODE),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True, ASCII),
        ("utf-8", {"LANG": "C"}, False, ASCII),
        ("utf-8", {"LANG": "de_DE.UTF-8", "LC_ALL": "POSIX"}, False, ASCII),
        ("iso8859-1", {"LANG": "de_DE"}, False, ASCII),
        (None, {}, False, ASCII),
    ],
)
def test_terminals_without_utf8_get_ascii(
    encoding: str | None,
    environ: dict[str, str],
    is_ascii: bool,
    wanted: object,
) -> None:
    assert choose_glyphs(encoding, environ, is_ascii=is_ascii) is wanted
