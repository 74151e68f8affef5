"""Media of a run: found, served so that a browser runs nothing of them, and shown."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import hpctrack
from hpctrack.errors import StoreFormatError
from hpctrack.store.media_decode import StoredTable
from hpctrack_server.data.media.catalogue import thin
from hpctrack_server.data.media.histograms import join_histograms
from hpctrack_server.data.media.meshes import read_mesh
from hpctrack_server.data.media.molecules import read_molecule
from hpctrack_server.data.media.shapes import POINTS_MAX, make_points
from hpctrack_server.data.media.tables import TablePart, show_table
from tests.media_writing import write_media
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOSTILE, Live, serve

ATTACK = "<script>parent.document.title='owned'</script>"
CUBE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\nf -4/1/1 -3/2/2 -2/3/3\n"
WATER = "3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve a store with a run that has logged some of everything."""
    store = tmp_path_factory.mktemp("gallery")
    writer = NodeWriter(store, run="all")
    session = writer.start(0)
    for step in (0, 5, 10):
        pixels = np.full((4, 6, 3), step * 10, np.uint8)
        masks = {"truth": {"mask_data": np.ones((4, 6), int), "class_labels": {1: ATTACK}}}
        picture = hpctrack.Image(pixels, caption=f"at {step}", masks=masks)
        write_media(writer, picture, key="val/pictures", step=step)
        noise = np.random.default_rng(step).normal(step, 1, 200)
        write_media(writer, hpctrack.Histogram(noise), key="weights", step=step)
    write_media(writer, hpctrack.Html(ATTACK), key="page", step=1)
    svg = store / "bad.svg"
    svg.write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{ATTACK}</svg>')
    write_media(writer, hpctrack.Image(str(svg)), key="drawing", step=1)
    cell = hpctrack.Image(np.zeros((2, 2, 3), np.uint8))
    rows = [[2, "b", cell], [None, ATTACK, cell], [1, "a", cell]]
    write_media(writer, hpctrack.Table(columns=["n", "word", "picture"], data=rows), key="rows")
    molecule = hpctrack.Molecule(io.StringIO(WATER), file_type="xyz")
    write_media(writer, molecule, key="water", step=1)
    for number, text in enumerate(HOSTILE[:-1]):  # keys are Unicode
        write_media(writer, hpctrack.Html("x", caption=text), key=text[:200] or "k", step=number)
    writer.end(0, session, exit_code=0)
    writer.close()
    (store / "p" / "all" / "ignored.txt").write_text("x")
    live = serve(store)
    yield live
    live.stop()


PLACE = "/api/v1/runs/p/all/media"


def ask(live: Live, path: str) -> Any:
    answer = live.get(f"{PLACE}{path}")
    assert answer.status == 200, answer.text[:300]
    return answer.json()


def find(live: Live, key: str, step: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = ask(live, f"/at?key={key}&step={step}")["items"][0]
    return found


def test_keys_are_listed_with_types_and_steps(gallery: Live) -> None:
    keys = {one["key"]: one for one in ask(gallery, "")["keys"]}
    assert keys["val/pictures"]["steps"] == [0, 5, 10]
    assert keys["val/pictures"]["type"] == "image"
    assert keys["weights"]["all_steps"] == 3
    page = gallery.get("/p/p/runs/all/media")
    assert page.status == 200
    assert "<script>parent" not in page.text


def test_a_step_has_what_was_logged_then_or_last_before(gallery: Live) -> None:
    assert ask(gallery, "/at?key=val/pictures&step=7")["step"] == 5
    assert ask(gallery, "/at?key=val/pictures&step=-3")["step"] == 0
    assert ask(gallery, "/at?key=val/pictures&step=7&rank=9")["items"] == []
    assert gallery.get(f"{PLACE}/at?key=none").status == 404
    assert gallery.get(f"{PLACE}/at").status == 400
    assert gallery.get(f"{PLACE}/at?key=weights&step=x").status == 400


def test_pictures_come_whole_in_parts_and_from_the_cache(gallery: Live) -> None:
    digest = find(gallery, "val/pictures", 5)["digest"]
    whole = gallery.get(f"{PLACE}/{digest}")
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in whole.headers["Cache-Control"]
    part = gallery.get(f"{PLACE}/{digest}", Range="bytes=1-3")
    assert (part.status, part.body) == (206, whole.body[1:4])
    assert gallery.get(f"{PLACE}/{digest}", Range="bytes=999999-").status == 416
    kept = gallery.get(f"{PLACE}/{digest}?download=1")
    assert kept.headers["Content-Disposition"].startswith("attachment")


def test_what_could_run_is_inert_or_a_world_of_its_own(gallery: Live) -> None:
    drawing = gallery.get(f"{PLACE}/{find(gallery, 'drawing')['digest']}")
    assert drawing.headers["Content-Type"] == "image/svg+xml"
    policy = drawing.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    html = find(gallery, "page")["digest"]
    raw = gallery.get(f"{PLACE}/{html}")
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")
    framed = gallery.get(f"{PLACE}/{html}/frame")
    policy = framed.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "frame-ancestors 'self'" in policy


@pytest.mark.parametrize("digest", ["..", "%2e%2e%2f", "a" * 64, "A" * 64, "x", "a" * 65])
def test_only_what_the_run_has_logged_is_served(gallery: Live, digest: str) -> None:
    for rest in ("", "/frame", "/shape"):
        assert gallery.get(f"{PLACE}/{digest}{rest}").status in {400, 404}


def test_tables_are_sorted_filtered_and_hold_pictures(gallery: Live) -> None:
    found = ask(gallery, "/table?key=rows&sort=0&desc=1")
    assert [row[0] for row in found["rows"]] == [2, 1, None]
    assert ask(gallery, "/table?key=rows&word=SCRIPT")["matches"] == 1
    cell = found["rows"][0][2]["media"]
    answer = gallery.get(f"{PLACE}/{cell['digest']}?as={cell['format']}")
    assert answer.headers["Content-Type"] == "image/png"
    lines = gallery.get(f"{PLACE}/table?key=rows&format=csv").text.splitlines()
    assert lines[0] == "n,word,picture"
    assert len(lines) == 4
    assert gallery.get(f"{PLACE}/table?key=weights").status == 400


def read_arrays(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    size = struct.unpack("<I", body[:4])[0]
    head = json.loads(body[4 : 4 + size])
    at, arrays = 4 + size, {}
    for one in head["arrays"]:
        kind = np.dtype(f"<{one['type']}")
        arrays[one["name"]] = np.frombuffer(body, kind, one["length"], at)
        at += -(-one["length"] * kind.itemsize // 8) * 8
    return head, arrays


def test_histograms_share_edges_and_shapes_have_places(gallery: Live) -> None:
    head, arrays = read_arrays(gallery.get(f"{PLACE}/histograms?key=weights").body)
    assert head["total"] == 3
    assert arrays["step"].tolist() == [0, 5, 10]
    rows = arrays["share"].reshape(3, -1)
    middles = (arrays["edges"][1:] + arrays["edges"][:-1]) / 2
    assert np.allclose(rows.sum(axis=1), len(middles), rtol=1e-5)
    assert np.allclose((rows * middles).mean(axis=1), [0, 5, 10], atol=0.3)
    digest = find(gallery, "water")["digest"]
    head, arrays = read_arrays(gallery.get(f"{PLACE}/{digest}/shape").body)
    assert (head["kind"], head["total"]) == ("atoms", 3)
    assert arrays["bonds"].reshape(-1, 2).tolist() == [[0, 1], [0, 2]]


def test_counts_are_kept_when_edges_differ() -> None:
    parts = [
        (np.array([4.0, 0.0]), np.array([0.0, 1.0, 2.0])),
        (np.array([1.0, 1.0]), np.array([1.0, 2.0, 9.0])),
    ]
    found = join_histograms([1, 2], parts, total=7)
    assert np.allclose(found.share.sum(axis=1) / found.share.shape[1], 1)
    assert found.share[0, found.edges[:-1] >= 1.05].sum() == 0
    empty = join_histograms([1], [(np.zeros(0), np.zeros(0))], total=1)
    assert not empty.share.any()


def test_meshes_of_each_kind_become_triangles() -> None:
    cube = read_mesh(CUBE.encode(), "obj")
    assert (cube.kind, cube.drawn, cube.position.shape) == ("mesh", 3, (9, 3))
    text = "solid x\nfacet normal 0 0 1\nouter loop\n" + "vertex 0 0 0\n" * 3 + "endloop\n"
    assert read_mesh(text.encode(), "stl").drawn == 1
    triangle = np.zeros(1, np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("m", "<u2")]))
    binary = b"\0" * 80 + struct.pack("<I", 1) + triangle.tobytes()
    assert read_mesh(binary, "stl").drawn == 1
    places = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    told = {
        "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "translation": [5, 0, 0]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"byteLength": 36}],
    }  # fmt: skip
    body = json.dumps(told).encode()
    body += b" " * (-len(body) % 4)
    glb = b"glTF" + struct.pack("<II", 2, 0) + struct.pack("<I4s", len(body), b"JSON") + body
    glb += struct.pack("<I4s", len(places), b"BIN\0") + places
    assert read_mesh(glb, "glb").position[:, 0].tolist() == [5, 6, 5]


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"f 1 2 3", "obj"), (b"v x", "obj"), (b"", "stl"), (b"{", "gltf"), (b"glTF", "glb"),
        (b'{"scenes":[{"nodes":[0]}],"nodes":[{"children":[0]}]}', "gltf"),
    ],
)  # fmt: skip
def test_damaged_meshes_are_clear_errors(body: bytes, form: str) -> None:
    with pytest.raises(StoreFormatError):
        read_mesh(body, form)


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"buffers": [1]},
        {"scenes": [{"nodes": [0]}],
         "nodes": [{"children": [number + 1] * 2} for number in range(30)] + [{}]},
    ],
)  # fmt: skip
def test_meshes_that_lie_are_clear_errors_at_once(told: Any) -> None:
    with pytest.raises(StoreFormatError):
        read_mesh(json.dumps(told).encode(), "gltf")
    with pytest.raises(StoreFormatError):
        read_mesh(b"[" * 100_000, "gltf")


def test_atoms_that_lie_on_each_other_have_no_bonds() -> None:
    many = b"20000\n\n" + b"C 0 0 0\n" * 20_000
    found = read_molecule(many, "xyz")
    assert found.bonds is not None
    assert (found.drawn, len(found.bonds)) == (20_000, 0)


def test_molecules_are_read_and_nonsense_is_refused() -> None:
    pdb = "ATOM      1  CA  GLY A   1      11.104   6.134  -6.504  1.00  0.00           C\n"
    assert read_molecule(pdb.encode(), "pdb").category.tolist() == [6]  # type: ignore[union-attr]
    for body, form in (
        (b"", "xyz"),
        (b"9\n", "pdb"),
        (b"x", "gro"),
        (b"1\n\nO a b c", "xyz"),
        (b"", "cif"),
        (b"", "mol2"),
    ):
        with pytest.raises(StoreFormatError):
            read_molecule(body, form)


def test_large_clouds_are_thinned_and_say_so() -> None:
    cloud = np.random.default_rng(0).normal(size=(POINTS_MAX + 10, 4))
    cloud[3] = np.nan
    found = make_points(cloud)
    assert (found.total, found.drawn) == (POINTS_MAX + 10, POINTS_MAX)
    assert found.category is not None
    assert thin(range(100), 3) == [0, 50, 99]


def test_cells_of_any_kind_can_be_sorted() -> None:
    rows: list[list[Any]] = [["b"], [3], [None], [float("nan")], [True], [{"a": 1}], ["x" * 999]]
    table = StoredTable(["<b>"], ["mixed"], rows)
    shown = show_table(table, TablePart(sort=0, count=99))
    assert len(shown["rows"]) == 7
    assert shown["rows"][0] == [True]
    assert shown["rows"][-1][0] is None or shown["rows"][-1][0] != shown["rows"][-1][0]
