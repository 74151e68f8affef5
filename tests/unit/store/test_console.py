"""Reading what ranks printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpctrack.cli import main as cli
from hpctrack.core.wire import make_gap
from hpctrack.errors import UsageError
from hpctrack.store.console_line import collapse_line, make_plain_line, make_safe_line
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter

Capture = pytest.CaptureFixture[str]

OUT, ERR = EventKind.STDOUT, EventKind.STDERR


def say(writer: NodeWriter, kind: EventKind, data: bytes, *, rank: int = 0) -> None:
    writer.file.add_event(
        kind, data, wall_s=writer.wall_s, rank=rank, session=rank, place=Place.TEXT
    )


@pytest.fixture
def writer(tmp_path: Path) -> NodeWriter:
    """A run of two ranks that has begun, in the default store."""
    found = NodeWriter(tmp_path / "store")
    for rank in range(2):
        found.start(rank, size=2)
    return found


def finish(writer: NodeWriter) -> StoredRun:
    for rank in range(2):
        writer.end(rank, rank)
    return StoredRun(writer.close().parent)


def texts(run: StoredRun, rank: int | None = 0, stream: str | None = None) -> list[str]:
    return [line.text for line in run.console(rank, stream)]


def test_pieces_cut_anywhere_become_lines(writer: NodeWriter) -> None:
    whole = "épochs: 1\nloss: 0.5\n".encode()
    for at in range(len(whole)):
        say(writer, OUT, whole[at : at + 1])
    say(writer, OUT, b"no end")
    assert texts(finish(writer)) == ["épochs: 1", "loss: 0.5", "no end"]


def test_ranks_and_streams_are_kept_apart(writer: NodeWriter) -> None:
    say(writer, OUT, b"half ")
    say(writer, ERR, b"warning\n")
    say(writer, OUT, b"of rank 1\n", rank=1)
    say(writer, OUT, b"a line\n")
    run = finish(writer)
    assert texts(run) == ["warning", "half a line"]
    assert texts(run, stream="stderr") == ["warning"]
    assert texts(run, rank=1) == ["of rank 1"]
    lines = list(run.console(rank=None))
    assert [(line.rank, line.stream) for line in lines] == [
        (0, "stderr"),
        (1, "stdout"),
        (0, "stdout"),
    ]


def test_a_line_has_the_time_of_its_first_byte(writer: NodeWriter) -> None:
    say(writer, OUT, b"a\nb")
    writer.wall_s += 5
    say(writer, OUT, b"b\nc\n")
    times = [line.wall_s - writer.wall_s for line in finish(writer).console()]
    assert times == [-5, -5, 0]


def test_what_is_missing_is_said_where_it_is(writer: NodeWriter) -> None:
    say(writer, OUT, b"begin")
    say(writer, OUT, make_gap(123456))
    say(writer, OUT, b"end\n")
    run = finish(writer)
    assert [(line.text, line.missing_bytes) for line in run.console()] == [
        ("begin", 0),
        ("", 123456),
        ("end", 0),
    ]
    assert run.console().text() == "begin\n[... 123,456 bytes were not recorded ...]\nend\n"


def test_bytes_that_are_no_text_cost_nothing_but_themselves(writer: NodeWriter) -> None:
    say(writer, OUT, b"a\xffb\n")
    say(writer, OUT, b"cut \xc3")
    assert texts(finish(writer)) == ["a\ufffdb", "cut \ufffd"]


def test_a_follower_sees_each_line_once(writer: NodeWriter) -> None:
    say(writer, OUT, b"one\ntw")
    writer.flush()
    run = StoredRun(writer.file.path.parent)
    follower = run.console().follow()
    assert [line.text for line in follower.iter_new()] == ["one"]
    say(writer, OUT, b"o\nthree")
    writer.flush()
    run.refresh()
    assert [line.text for line in follower.iter_new()] == ["two"]
    assert list(follower.iter_new()) == []
    assert [line.text for line in follower.end()] == ["three"]
    run.close()
    writer.close()


def test_many_pieces_are_read_in_few_goes(writer: NodeWriter) -> None:
    for number in range(3000):
        say(writer, OUT, b"%d\n" % number, rank=number % 2)
    run = finish(writer)
    (path,) = [one for one in run.files() if one.name.startswith("node")]
    reader = NodeReader(path)
    calls = []
    read_bytes = reader.read_bytes

    class Counting:
        def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
            calls.append(size)
            return read_bytes(place, offset, size)

    text = run.console(rank=1)
    text._find_sources = lambda: [(reader.read_events(), Counting())]
    assert [line.text for line in text] == [str(number) for number in range(1, 3000, 2)]
    assert len(calls) == 1


def test_a_wrong_stream_is_refused(writer: NodeWriter) -> None:
    run = finish(writer)
    with pytest.raises(UsageError, match="stdin"):
        run.console(stream="stdin")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        (" 10%|#   |\r 50%|##  |\r100%|####|\r", "100%|####|"),
        ("a long line\rshort", "shortg line"),
        ("a long line\r\x1b[Kshort", "short"),
        ("a long line\x1b[2K\rshort", "short"),
        ("1/10\b\b\b\b2/10", "2/10"),
        ("windows\r", "windows"),
    ],
)
def test_a_rewritten_line_is_shown_as_it_was_at_its_end(text: str, shown: str) -> None:
    assert collapse_line(text) == shown


def test_a_recorded_line_cannot_command_the_terminal() -> None:
    text = "\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[2J\x1b]52;c;ZWNobw==\x07 \x9b31m\tend\x07"
    assert make_plain_line(text) == "red 31m\tend"
    assert make_safe_line(text) == "\x1b[31mred\x1b[0m 31m\tend\x1b[0m"
    assert make_safe_line("\x1bcplain") == "plain"


def test_logs_shows_the_last_lines_of_a_rank(writer: NodeWriter, capsys: Capture) -> None:
    say(writer, OUT, b"".join(b"\x1b[32mstep %d\x1b[0m\n" % number for number in range(100)))
    say(writer, ERR, b"oops\n")
    finish(writer)
    assert cli.run(["logs", "r", "-n", "3"]) == 0
    assert capsys.readouterr().out == "step 98\nstep 99\noops\n"
    assert cli.run(["logs", "r", "--stderr"]) == 0
    assert capsys.readouterr().out == "oops\n"
    assert cli.run(["logs", "r", "--stderr", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert (line["text"], line["stream"], line["rank"]) == ("oops", "stderr", 0)
    assert cli.run(["logs", "r", "--rank", "1"]) == 0
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "nothing that rank 1 printed is recorded\n")


def test_logs_of_a_rank_that_is_not_there_says_which_are(
    writer: NodeWriter, capsys: Capture
) -> None:
    finish(writer)
    assert cli.run(["logs", "r", "--rank", "7"]) == 3
    assert "ranks 0 to 1" in capsys.readouterr().err


def test_logs_follows_a_run_to_its_end(writer: NodeWriter, capsys: Capture) -> None:
    say(writer, OUT, b"first\n50%\r100%")
    finish(writer)
    assert cli.run(["logs", "r", "--follow", "--json"]) == 0
    lines = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["first", "100%"]
