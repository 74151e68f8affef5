"""Triangles out of the files that people log: OBJ, STL and glTF. Pure.

Materials, textures and animations are left out: the viewer shows the form.

References
----------
Wavefront OBJ: Paul Bourke, "Object Files", 1998. STL: 3D Systems, "StereoLithography Interface
Specification", 1988. glTF: Khronos, "glTF 2.0 Specification", 2021, sections 3.6 and 4.4.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack_server.data.media.shapes import Shape, make_mesh

STL_HEAD_BYTES = 84
STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corner", "<f4", (3, 3)), ("more", "<u2")])
GLB_MAGIC = b"glTF"
GLTF_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
GLTF_PARTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
DEPTH_MAX = 32
CORNERS_MAX = 30_000_000
"""Of one file; a few lines can name the same triangles again and again."""

NODES_MAX = 20_000

NOTHING = np.zeros((0, 3), np.float32)

DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, OverflowError,
)  # fmt: skip


def read_mesh(body: bytes, form: str) -> Shape:
    """Return the triangles of a file.

    Parameters
    ----------
    body : bytes
    form : {"obj", "stl", "gltf", "glb"}

    Raises
    ------
    StoreFormatError
        It is damaged, or of a kind that is not understood here.
    """
    readers = {"obj": read_obj, "stl": read_stl, "gltf": read_gltf, "glb": read_glb}
    try:
        corners = readers[form](body)
    except RecursionError:
        raise StoreFormatError(f"the {form} file is nested too deeply") from None
    except DAMAGE as error:
        raise StoreFormatError(f"the {form} file cannot be read: {error}") from None
    return make_mesh(corners)


def read_obj(body: bytes) -> NDArray[Any]:
    """Return the corners of an OBJ file; faces with more corners become fans."""
    points: list[list[float]] = []
    faces: list[int] = []
    for line in body.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            points.append([float(one) for one in words[1:4]])
        elif words[:1] == ["f"]:
            numbers = [int(one.partition("/")[0]) for one in words[1:]]
            corners = [one - 1 if one > 0 else len(points) + one for one in numbers]
            for second, third in pairwise(corners[1:]):
                faces += [corners[0], second, third]
    if faces and (min(faces) < 0 or max(faces) >= len(points)):
        raise ValueError("a face names a point that is not there")
    return np.array(points, np.float32).reshape(-1, 3)[np.array(faces, np.int64)]


def read_stl(body: bytes) -> NDArray[Any]:
    """Return the corners of an STL file, binary or text."""
    if len(body) >= STL_HEAD_BYTES:
        (count,) = struct.unpack_from("<I", body, STL_HEAD_BYTES - 4)
        if len(body) == STL_HEAD_BYTES + count * STL_TRIANGLE.itemsize:
            found = np.frombuffer(body, STL_TRIANGLE, offset=STL_HEAD_BYTES)
            return np.asarray(found["corner"].reshape(-1, 3))
    words = (line.split() for line in body.decode("utf-8", "replace").splitlines())
    corners = [[float(one) for one in line[1:4]] for line in words if line[:1] == ["vertex"]]
    return np.array(corners, np.float32).reshape(-1, 3)


def read_glb(body: bytes) -> NDArray[Any]:
    """Return the corners of a binary glTF file."""
    if body[:4] != GLB_MAGIC:
        raise ValueError("it does not begin with glTF")
    at, parts = 12, []
    while at + 8 <= len(body):
        size, kind = struct.unpack_from("<I4s", body, at)
        parts.append((kind, body[at + 8 : at + 8 + size]))
        at += 8 + size + -size % 4
    told = next((one for kind, one in parts if kind == b"JSON"), b"")
    inside = next((one for kind, one in parts if kind == b"BIN\0"), b"")
    return _collect(json.loads(told), inside)


def read_gltf(body: bytes) -> NDArray[Any]:
    """Return the corners of a glTF file whose data are in it."""
    return _collect(json.loads(body), b"")


def _collect(told: Mapping[str, Any], inside: bytes) -> NDArray[Any]:
    buffers = [_read_buffer(one, inside) for one in told.get("buffers", [])]
    scene = told.get("scenes", [{}])[told.get("scene", 0)]
    roots = scene.get("nodes", range(len(told.get("nodes", []))))
    found, corners, nodes = [], 0, 0
    for root in roots:
        for part in _iter_node(told, buffers, root, np.eye(4), DEPTH_MAX):
            nodes += 1
            corners += len(part)
            if nodes > NODES_MAX or corners > CORNERS_MAX:
                raise ValueError("it names too many triangles")
            found.append(part)
    return np.concatenate(found) if found else np.zeros((0, 3), np.float32)


def _read_buffer(buffer: Mapping[str, Any], inside: bytes) -> bytes:
    uri = buffer.get("uri")
    if uri is None:
        return inside
    head, comma, data = str(uri).partition(",")
    if not head.startswith("data:") or not comma:
        raise ValueError("its data are in another file")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _iter_node(
    told: Mapping[str, Any], buffers: list[bytes], number: int, above: NDArray[Any], depth: int
) -> Iterator[NDArray[Any]]:
    if depth <= 0:
        raise ValueError("its nodes are nested too deeply")
    node = told["nodes"][number]
    yield NOTHING  # so that also nodes without a mesh count
    place = above @ _find_matrix(node)
    if "mesh" in node:
        for part in told["meshes"][node["mesh"]]["primitives"]:
            if part.get("mode", 4) != 4:  # noqa: PLR2004 - triangles
                continue
            points = _read_accessor(told, buffers, part["attributes"]["POSITION"])
            if "indices" in part:
                points = points[_read_accessor(told, buffers, part["indices"]).ravel()]
            yield points @ place[:3, :3].T + place[:3, 3]
    for child in node.get("children", []):
        yield from _iter_node(told, buffers, child, place, depth - 1)


def _find_matrix(node: Mapping[str, Any]) -> NDArray[Any]:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    whole = np.eye(4)
    whole[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)))
    whole[:3, 3] = node.get("translation", (0, 0, 0))
    return whole


def _read_accessor(told: Mapping[str, Any], buffers: list[bytes], number: int) -> NDArray[Any]:
    accessor = told["accessors"][number]
    view = told["bufferViews"][accessor["bufferView"]]
    kind = np.dtype(GLTF_TYPES[accessor["componentType"]])
    parts, count = GLTF_PARTS[accessor["type"]], int(accessor["count"])
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride") or parts * kind.itemsize
    data = buffers[view["buffer"]]
    if start < 0 or count < 0 or start + (count - 1) * stride + parts * kind.itemsize > len(data):
        raise ValueError("it names data behind its end")
    return np.array(
        np.ndarray((count, parts), kind, buffer=data, offset=start, strides=(stride, kind.itemsize))
    )
