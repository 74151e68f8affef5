"""Tables of live files through the HDF5 library alone: the same rows as with h5py, torn or not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.node_tail import EVENT_ROW, POINT_ROW, SAMPLE_ROW
from hpctrack.store.schema import EVENT, POINT, ROOT_ATTRIBUTES, SAMPLE
from hpctrack.store.spread import find_first, spread_blocks
from hpctrack.store.thin_hdf5 import ThinFile
from tests.programs import run_python
from tests.stores import NodeWriter

POINTS = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.points("loss", 0, range(POINTS), [float(one) for one in range(POINTS)])
    writer.samples("host/load", [1.0, 2.0, 3.0])
    writer.end(0, session)
    return writer.close()


@pytest.mark.parametrize(
    ("row", "dtype"), [(POINT_ROW, POINT), (SAMPLE_ROW, SAMPLE), (EVENT_ROW, EVENT)]
)
def test_rows_are_laid_out_as_the_schema_says(row: object, dtype: object) -> None:
    assert row.size == dtype.itemsize  # type: ignore[attr-defined]
    kinds = "".join(dtype[name].char for name in dtype.names)  # type: ignore[attr-defined,index]
    same = {"q": "l", "Q": "L"}
    assert "".join(same.get(one, one) for one in row.format[1:]) == kinds  # type: ignore[attr-defined]


def test_attributes_and_rows_are_those_that_h5py_reads(path: Path) -> None:
    with NodeReader(path) as reader:
        facts = dict(reader.facts)
        points = b"".join(one.tobytes() for one in reader.iter_points())
        samples = b"".join(one.tobytes() for one in reader.iter_samples())
    file = ThinFile(path)
    assert file.attributes(ROOT_ATTRIBUTES) == facts
    table = file.table("points")
    assert (table.rows, table.row_bytes) == (POINTS, POINT.itemsize)
    assert table.read(0, POINTS) == points
    assert table.read(4090, 4100) == points[4090 * 32 : 4100 * 32]
    assert table.read(POINTS - 1, POINTS + 5) == points[-32:]
    assert table.read(POINTS, POINTS + 5) == b""
    assert file.table("samples").read(0, 9) == samples
    with pytest.raises(StoreFormatError, match="H5Dopen2"):
        file.table("nothing")
    file.close()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_was_cut_off_is_not_read_as_zeros(path: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / path.name
    shutil.copyfile(path, cut)
    with cut.open("r+b") as copy:
        copy.truncate(int(path.stat().st_size * share))
    try:
        with NodeReader(cut) as reader:
            expected = sum(len(one) for one in reader.iter_points())
    except StoreFormatError:
        expected = -1
    try:
        file = ThinFile(cut)
        table = file.table("points")
    except StoreFormatError:
        assert expected == -1
        return
    assert table.rows == expected
    rows = list(POINT_ROW.iter_unpack(table.read(0, table.rows)))
    assert [one[2] for one in rows] == [float(one) for one in range(expected)]
    file.close()


@pytest.fixture
def long_path(tmp_path: Path) -> Path:
    """More chunks than are looked up one by one."""
    writer = NodeWriter(tmp_path)
    writer.points("loss", 0, range(200_000), [float(one) for one in range(200_000)])
    return writer.close()


def test_of_a_long_table_what_is_known_is_not_looked_up_again(long_path: Path) -> None:
    file = ThinFile(long_path)
    table, later = file.table("points"), file.table("points", known_rows=150_000)
    assert table.rows == later.rows == 200_000
    assert table.read(149_999, 150_003) == later.read(149_999, 150_003)
    for one in (table, later):
        one.close()
    file.close()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_long_table_that_was_cut_ends_there(
    long_path: Path, tmp_path: Path, share: float
) -> None:
    cut = tmp_path / "cut" / long_path.name
    cut.parent.mkdir()
    shutil.copyfile(long_path, cut)
    with cut.open("r+b") as copy:
        copy.truncate(int(long_path.stat().st_size * share))
    with NodeReader(cut) as reader:
        expected = sum(len(one) for one in reader.iter_points())
    file = ThinFile(cut)
    assert file.table("points").rows == expected
    assert abs(expected - share * 200_000) < 5000
    file.close()


def test_what_is_no_file_of_ours_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        ThinFile(tmp_path / "absent.h5")
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(StoreFormatError, match=r"text\.h5"):
        ThinFile(text)


def test_watching_a_run_loads_neither_numpy_nor_h5py(path: Path) -> None:
    found = run_python(
        """
        import sys
        from pathlib import Path
        from hpctrack.cli.top.list_screen import draw_list
        from hpctrack.cli.top.run_screen import draw_run
        from hpctrack.cli.top.watched import WatchedRun
        from hpctrack.core.clock import SYSTEM_CLOCK
        run = WatchedRun(Path(sys.argv[1]), clock=SYSTEM_CLOCK, stale_after_s=1e9)
        run.refresh()
        print(run.record.state, run.model.step, [one for one in sys.modules
              if one in ("numpy", "h5py", "psutil", "rich.console", "paramiko")])
        """,
        str(path.parent),
    )
    assert found.stdout.split(maxsplit=2) == ["finished", "-1", "[]\n"], found.stderr


def test_threads_may_use_it_beside_h5py(path: Path) -> None:
    """HDF5 is not made for threads: without turns this died of a segmentation fault."""
    found = run_python(
        """
        import sys
        from pathlib import Path
        from threading import Thread
        from hpctrack.store.node_reader import NodeReader
        from hpctrack.store.thin_hdf5 import ThinFile

        def thin(path):
            for _turn in range(300):
                file = ThinFile(path)
                for name in ("points", "events", "heap"):
                    table = file.table(name)
                    table.read(0, table.rows)
                    table.close()
                file.close()

        def with_h5py(path):
            for _turn in range(100):
                with NodeReader(path) as reader:
                    reader.read_columns()

        paths = [Path(one) for one in sys.argv[1:]]
        threads = [Thread(target=thin, args=paths[:1]), Thread(target=thin, args=paths[1:2])]
        threads += [Thread(target=with_h5py, args=paths[2:])]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        print("done")
        """,
        *[str(shutil.copy(path, path.with_name(f"{number}.h5"))) for number in range(3)],
    )
    assert (found.returncode, found.stdout) == (0, "done\n"), found.stderr


def test_of_many_rows_evenly_spread_blocks_are_read_and_the_last_rows() -> None:
    assert spread_blocks(0, 10, 10, block=4) == [(0, 4), (4, 8), (8, 10)]
    assert spread_blocks(5, 5, 10) == []
    assert spread_blocks(0, 1000, 40, block=10) == [(0, 10), (330, 340), (660, 670), (990, 1000)]
    assert spread_blocks(0, 1000, 5, block=10) == [(995, 1000)]
    assert spread_blocks(0, 1000, 0) == []


def test_the_first_row_that_is_late_enough_is_found_by_halving() -> None:
    asked: list[int] = []

    def is_late(row: int) -> bool:
        asked.append(row)
        return row >= 700

    assert find_first(0, 1000, is_late) == 700
    assert len(asked) <= 10
    assert find_first(0, 10, lambda _row: False) == 10
