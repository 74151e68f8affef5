"""Pictures."""

from __future__ import annotations

from typing import Any, ClassVar

from hpctrack.client.media.figure import is_figure, render_figure
from hpctrack.client.media.formats import IMAGES
from hpctrack.client.media.overlays import make_attachments
from hpctrack.client.media.snapshot import Snapshot, take_snapshot
from hpctrack.client.media.source import is_path, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, choose_data, make_meta, read_choice
from hpctrack.errors import UsageError

CHANNELS = (1, 2, 3, 4)
"""Gray, gray with alpha, RGB, RGB with alpha."""

_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}

_BY_POSITION = ("grouping", "classes", "boxes", "masks", "file_type", "normalize")
"""What follows the caption in W&B's signature."""

_PIL_RAW = {"I": "<i4", "F": "<f4", "I;16": "<u2", "I;16B": ">u2", "I;16L": "<u2"}
"""Pillow's modes that are numbers, not colours: the agent scales them like any array."""

ENCODED = frozenset({"png", "jpg", "jpeg", "webp"})
"""What the agent can make of an array; all but PNG only where it finds Pillow."""


class Image(Media):
    """A picture to log. Per-rank.

    Parameters
    ----------
    data : array, PIL image, path, bytes, matplotlib figure or pyplot
        An array of shape (h, w), (h, w, c) or (c, h, w) with 1 to 4 channels. uint8 is taken as
        it is, booleans are black and white, values between 0 and 1 (floats also -1 and 1) are
        brightness; what is neither this nor between 0 and 255 is scaled so that its extremes are
        black and white, and the range is kept.
        A file, or the bytes of one, is kept as it is.
    mode : {"L", "LA", "RGB", "RGBA"}, optional
        Checked against an array; a PIL image is converted.
    caption : str, optional
        Shown with it.
    *more
        ``grouping, classes, boxes, masks, file_type, normalize`` may be given by position too, in
        this order, as in W&B.
    boxes, masks : mapping, optional
        Layers in W&B's form, see `docs/how-to/log-media.md`.
    classes : sequence of {"id", "name"} or mapping, optional
        Names of the class ids that boxes and masks use.
    file_type : {"png", "jpg", "webp"}, optional
        How an array is kept. Default PNG, which loses nothing.
    **others
        ``data_or_path`` is W&B's name of ``data``. Its ``grouping`` and ``normalize``, and what
        else is not known here, are told, and left out.

    Notes
    -----
    Never raises: what is wrong is told by ``run.log``. The data are copied at once.

    Examples
    --------
    >>> import hpctrack
    >>> hpctrack.Image([[0.0, 0.5], [0.5, 1.0]], caption="a checkerboard")
    <hpctrack.Image png: 32 bytes>
    """

    kind: ClassVar[str] = "image"

    def __init__(
        self,
        data: object = None,
        mode: str | None = None,
        caption: str | None = None,
        *more: object,
        boxes: object = None,
        masks: object = None,
        classes: object = None,
        file_type: str | None = None,
        **others: object,
    ) -> None:
        given = {"classes": classes, "boxes": boxes, "masks": masks, "file_type": file_type}
        for name, value in zip(_BY_POSITION, more, strict=False):
            if value is not None:
                (given if name in given else others)[name] = value
        content = choose_data(data, others)

        def make() -> Piece:
            piece = _make_piece(content, mode, given["file_type"])
            meta, warnings = make_meta(caption)
            facts = {**piece.facts, "meta": {**piece.facts["meta"], **meta}}
            descriptions, parts, odd = make_attachments(
                given["boxes"], given["masks"], given["classes"]
            )
            if descriptions:
                facts["attachments"] = descriptions
            return Piece(facts, (*piece.parts, *parts), piece.warnings + warnings + odd)

        self._keep(make, others)


def is_pil_image(value: object) -> bool:
    """Tell whether a value is a picture of Pillow, without importing it."""
    return any(one.__module__ == "PIL.Image" for one in type(value).__mro__)


def _make_piece(data: Any, mode: str | None, file_type: object) -> Piece:
    if mode is not None and mode not in _MODES:
        raise UsageError(f"mode {mode!r:.40} is not known", hint=f"use one of {', '.join(_MODES)}")
    if is_path(data):
        return read_file(data).make_piece("image", IMAGES)
    if isinstance(data, (bytes, bytearray)) or hasattr(data, "read"):
        return take_bytes(data, "", "the image").make_piece("image", IMAGES)
    if is_figure(data):
        piece = render_figure(data, "png")
        if piece.facts["format"] != "png":
            raise UsageError("only matplotlib figures can be images", hint="use Figure")
        return Piece({**piece.facts, "type": "image"}, piece.parts, piece.warnings)
    form = read_choice(file_type or "png", "the file type", ENCODED)
    taken, order = (
        _from_pil(data, mode) if is_pil_image(data) else _layout(take_snapshot(data, "an image"))
    )
    _check_mode(taken, order, mode)
    facts = {
        "type": "image",
        "encode": "pixels",
        "format": "jpg" if form == "jpeg" else form,
        "raw": {**taken.raw, "order": order},
        "meta": {},
    }
    return Piece(facts, (taken.data,))


def _from_pil(image: Any, mode: str | None) -> tuple[Snapshot, str]:
    if mode is not None and image.mode != mode:
        image = image.convert(mode)
    if image.mode not in _MODES and image.mode not in _PIL_RAW:
        has_alpha = image.mode in {"PA", "La", "RGBa"} or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "L" if image.mode == "1" else "RGB")
    width, height = image.size
    dtype = _PIL_RAW.get(image.mode, "|u1")
    channels = _MODES.get(image.mode, 1)
    return Snapshot(dtype, (height, width, channels), image.tobytes(), "PIL"), "HWC"


def _layout(taken: Snapshot) -> tuple[Snapshot, str]:
    """Return the array with three dimensions, and where its channels are."""
    shape = taken.shape
    if len(shape) == 2:  # noqa: PLR2004 - height and width
        shape = (*shape, 1)
        taken = Snapshot(taken.dtype, shape, taken.data, taken.library)
    if len(shape) != 3 or 0 in shape:  # noqa: PLR2004 - height, width, channels
        many = "; log a list of images" if len(shape) == 4 else ""  # noqa: PLR2004 - a batch
        raise UsageError(
            f"an image is {taken}", hint=f"give (h, w), (h, w, c) or (c, h, w) with c <= 4{many}"
        )
    # torch puts channels first; everybody else has them last if both could be meant.
    is_first = shape[0] in CHANNELS and (taken.library == "torch" or shape[2] not in CHANNELS)
    if not is_first and shape[2] not in CHANNELS:
        raise UsageError(
            f"an image is {taken}: neither the first nor the last dimension can be channels",
            hint="give (h, w), (h, w, c) or (c, h, w) with c <= 4",
        )
    return taken, "CHW" if is_first else "HWC"


def _check_mode(taken: Snapshot, order: str, mode: str | None) -> None:
    channels = taken.shape[0 if order == "CHW" else 2]
    if mode is not None and _MODES[mode] != channels:
        raise UsageError(
            f"mode {mode!r} has {_MODES[mode]} channels, the image has {channels}",
            hint="leave mode out: it follows from the array",
        )
