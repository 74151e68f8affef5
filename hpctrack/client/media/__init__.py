"""Everything a run can log that is not a number, captured in the rank.

The standard library only: values are recognised by protocol or by the module of their class.
"""

from __future__ import annotations

from hpctrack.client.media.capture import capture
from hpctrack.client.media.figure import Figure
from hpctrack.client.media.histogram import Histogram
from hpctrack.client.media.image import Image
from hpctrack.client.media.markup import Html, Markdown, Text
from hpctrack.client.media.overlays import Classes
from hpctrack.client.media.shapes import Molecule, Object3D
from hpctrack.client.media.sound import Audio
from hpctrack.client.media.table import Table
from hpctrack.client.media.value import Captured, Media
from hpctrack.client.media.video import Video

__all__ = [
    "Audio",
    "Captured",
    "Classes",
    "Figure",
    "Histogram",
    "Html",
    "Image",
    "Markdown",
    "Media",
    "Molecule",
    "Object3D",
    "Table",
    "Text",
    "Video",
    "capture",
]
