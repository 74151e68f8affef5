"""Boxes and masks over an image, in W&B's form, checked and made plain."""

from __future__ import annotations

import array
import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hpctrack.client.media.formats import IMAGES
from hpctrack.client.media.snapshot import NATIVE_ORDER, Snapshot, take_snapshot
from hpctrack.client.media.source import read_file
from hpctrack.client.values import NotANumberError, to_number
from hpctrack.errors import UsageError, is_of_a_signal

MASKS_MAX = 64
"""Layers of one image; each is a picture of its own."""

_CORNERS = ("minX", "minY", "maxX", "maxY")
_BOX_HINT = (
    'use {"position": {"minX", "minY", "maxX", "maxY"}, "class_id"} or '
    '{"position": {"middle": [x, y], "width", "height"}, "class_id"}'
)

ID_MAX = 65535
"""A mask is a gray picture of at most 16 bits."""

_CODES = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "f2": "e", "f4": "f", "f8": "d"}

Attachments = tuple[list[dict[str, Any]], list[bytes], tuple[str, ...]]


class Classes(list[Any]):
    """Names of class ids, for ``Image(classes=)``: a list of ``{"id", "name"}``, as W&B's.

    Parameters
    ----------
    class_set : sequence of {"id", "name"}
    """

    def __init__(self, class_set: Iterable[Any] = ()) -> None:
        super().__init__(class_set)


def make_attachments(boxes: Any, masks: Any, classes: Any) -> Attachments:
    """Turn boxes, masks and classes into attachments of an image.

    Parameters
    ----------
    boxes : mapping or None
        Layer to ``{"box_data": [...], "class_labels": {id: name}}``.
    masks : mapping or None
        Layer to ``{"mask_data": array of class ids, shape (h, w) or (h, w, 1)}`` or
        ``{"path": file}``, each with ``class_labels``. Class ids are whole numbers, of any type.
    classes : sequence of {"id", "name"}, mapping or None
        Names that all layers share.

    Returns
    -------
    descriptions : list of dict
    parts : list of bytes
    warnings : tuple of str

    Raises
    ------
    UsageError
        One of them is not in this form.
    """
    overlay: dict[str, Any] = {}
    if classes is not None:
        overlay["classes"] = _read_labels(classes)
    if boxes is not None:
        overlay["boxes"] = {
            str(layer): _read_boxes(str(layer), one)
            for layer, one in _layers(boxes, "boxes").items()
        }
    descriptions: list[dict[str, Any]] = []
    parts: list[bytes] = []
    warnings: list[str] = []
    for layer, one in _layers(masks, "masks").items():
        description, part, warning = _read_mask(str(layer), one)
        warnings += [warning] if warning else []
        descriptions.append(description)
        parts.append(part)
        labels = _read_labels(one.get("class_labels") or {})
        overlay.setdefault("masks", {})[str(layer)] = {"class_labels": labels}
    if overlay:
        descriptions.insert(0, {"name": "overlays", "encode": "copy", "format": "json"})
        parts.insert(0, json.dumps(overlay, separators=(",", ":")).encode())
    return descriptions, parts, tuple(warnings)


def _layers(value: Any, what: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(one, Mapping) for one in value.values()
    ):
        raise UsageError(f"{what} must be a mapping of layers, such as {{'predictions': {{...}}}}")
    if len(value) > MASKS_MAX:
        raise UsageError(f"an image has {len(value)} layers of {what}, at most {MASKS_MAX}")
    return value


def _read_labels(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): str(name) for key, name in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        rows = list(value)
        if all(isinstance(one, Mapping) and {"id", "name"} <= set(one) for one in rows):
            return {str(one["id"]): str(one["name"]) for one in rows}
        return {str(number): str(name) for number, name in enumerate(rows)}
    raise UsageError("classes must be a list of {'id', 'name'} or a mapping of id to name")


def _read_boxes(layer: str, given: Mapping[str, Any]) -> dict[str, Any]:
    rows = given.get("box_data")
    if not isinstance(rows, (list, tuple)):
        raise UsageError(f"boxes[{layer!r}] has no list 'box_data'", hint=_BOX_HINT)
    return {
        "box_data": [_read_box(f"boxes[{layer!r}], box {n}", one) for n, one in enumerate(rows)],
        "class_labels": _read_labels(given.get("class_labels") or {}),
    }


def _read_box(where: str, box: Any) -> dict[str, Any]:
    try:
        place = box["position"]
        if all(corner in place for corner in _CORNERS):
            corners = [to_number(place[corner]) for corner in _CORNERS]
        else:
            x, y = (to_number(one) for one in place["middle"])
            w, h = to_number(place["width"]), to_number(place["height"])
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        found: dict[str, Any] = {
            "position": dict(zip(_CORNERS, corners, strict=True)),
            "domain": "pixel" if box.get("domain") == "pixel" else "fraction",
        }
        if "class_id" in box:
            found["class_id"] = int(to_number(box["class_id"]))
        if box.get("box_caption"):
            found["box_caption"] = str(box["box_caption"])[:200]
        if box.get("scores"):
            found["scores"] = {str(k): to_number(v) for k, v in box["scores"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, NotANumberError):
        raise UsageError(f"{where} is not understood", hint=_BOX_HINT) from None
    numbers = [*corners, *found.get("scores", {}).values()]
    if any(one - one != 0 for one in numbers):
        raise UsageError(f"{where} has a number that is not finite")
    return found


def _read_mask(layer: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], bytes, str]:
    what = f"masks[{layer!r}]"
    name = f"masks/{layer}"
    if given.get("path") is not None:
        content = read_file(given["path"])
        piece = content.make_piece("mask", IMAGES)
        if content.source:
            raise UsageError(f"{what}: {content.name!r} is too large for a mask")
        return {"name": name, "encode": "copy", "format": piece.facts["format"]}, content.data, ""
    if given.get("mask_data") is None:
        raise UsageError(f"{what} has neither 'mask_data' nor 'path'")
    taken = take_snapshot(given["mask_data"], what)
    if len(taken.shape) == 3 and taken.shape[2] == 1:  # noqa: PLR2004 - a channel
        taken = replace(taken, shape=taken.shape[:2])
    if len(taken.shape) != 2:  # noqa: PLR2004 - height and width
        raise UsageError(f"{what} is {taken}", hint="a mask is an array of class ids, (h, w)")
    if taken.dtype[1] == "f":
        taken = _make_whole(taken, what)
    low, high = _extremes(given["mask_data"], taken)
    told = ""
    if low < 0 or high > ID_MAX:
        told = f"{what} has class ids from {low} to {high}: only 0 to {ID_MAX} stay what they are"
    return {"name": name, "encode": "indices", "format": "png", "raw": taken.raw}, taken.data, told


def _elements(taken: Snapshot) -> tuple[Any, ...]:
    code = _CODES[taken.dtype[1:]]
    order = ">" if taken.dtype[0] == ">" else "<"
    return struct.unpack(f"{order}{math.prod(taken.shape)}{code}", taken.data)


def _make_whole(taken: Snapshot, what: str) -> Snapshot:
    """Return class ids that came as floats as integers; 20 ms for a picture of 512 x 512."""
    try:
        values = _elements(taken)
        ids = array.array("i", map(int, values))
    except (KeyError, ValueError, OverflowError):
        values, ids = (), array.array("i")
    if not ids or any(one != other for one, other in zip(ids, values, strict=True)):
        raise UsageError(f"{what} is {taken} whose values are not all whole numbers")
    return replace(taken, dtype=f"{NATIVE_ORDER}i4", data=ids.tobytes())


def _extremes(given: Any, taken: Snapshot) -> tuple[int, int]:
    """Return the lowest and highest class id: asked of an array, which is quicker."""
    if taken.dtype[1:] in {"b1", "u1", "u2"} or not taken.data:
        return 0, 0
    try:
        return int(to_number(given.min())), int(to_number(given.max()))
    except Exception as error:  # a list, or anybody's object
        if is_of_a_signal(error):
            raise
        values = _elements(taken) if taken.dtype[1:] in _CODES else (0,)
        return int(min(values)), int(max(values))
