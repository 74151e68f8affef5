"""Figures of plotting libraries: drawn here, because only here the library is loaded."""

from __future__ import annotations

import importlib
import io
import json
import sys
from types import ModuleType
from typing import Any, ClassVar

from hpctrack.client.media.value import Media, Piece, check_size, make_meta, read_choice
from hpctrack.errors import UsageError

_FORMS = frozenset({"png", "svg"})


class Figure(Media):
    """A figure of matplotlib, plotly or bokeh to log. Per-rank.

    Parameters
    ----------
    figure : object
        A matplotlib figure or axes, or ``matplotlib.pyplot`` itself, which means its present
        figure; a plotly figure, a bokeh model. They can also be logged without this wrapper.
    caption : str, optional
        Shown with it.
    format : {"png", "svg"}, optional
        How a matplotlib figure is kept. Default PNG.
    **others
        What is not known here: told, and left out.

    Notes
    -----
    Drawing costs what ``savefig`` costs (tens of milliseconds), in the rank. plotly and bokeh
    figures are kept as the JSON that their own scripts draw, with the library's version. Never
    raises: what is wrong is told by ``run.log``.
    """

    kind: ClassVar[str] = "figure"

    def __init__(
        self,
        figure: object,
        *,
        caption: str | None = None,
        format: str = "png",  # noqa: A002 - savefig's word
        **others: object,
    ) -> None:
        def make() -> Piece:
            if not is_figure(figure):
                raise UsageError(
                    f"a value of type {type(figure).__name__} is no figure",
                    hint="figures of matplotlib, plotly and bokeh are known",
                )
            piece = render_figure(figure, read_choice(format, "the format", _FORMS))
            meta, warnings = make_meta(caption, **piece.facts["meta"])
            return Piece({**piece.facts, "meta": meta}, piece.parts, warnings)

        self._keep(make, others)


def is_figure(value: object) -> bool:
    """Tell whether a value is a figure of a plotting library, without importing it."""
    return _library_of(value) is not None


def _library_of(value: object) -> str | None:
    if isinstance(value, ModuleType):
        return "matplotlib" if value.__name__ == "matplotlib.pyplot" else None
    for one in type(value).__mro__:
        top, _, rest = one.__module__.partition(".")
        if top == "matplotlib" and rest.startswith(("figure", "axes")):
            return "matplotlib"
        if top == "plotly" and hasattr(value, "to_json"):
            return "plotly"
        if top == "bokeh" and hasattr(value, "references") and one.__name__ == "Model":
            return "bokeh"
    return None


def render_figure(figure: Any, form: str) -> Piece:
    """Draw a figure, or write down what draws it.

    Raises
    ------
    UsageError
        The result is too large.
    """
    library = _library_of(figure)
    facts: dict[str, Any] = {"type": "figure", "encode": "copy", "format": form}
    if library == "matplotlib":
        if isinstance(figure, ModuleType):
            figure = figure.gcf()
        if not hasattr(figure, "savefig"):
            figure = figure.get_figure()
        stream = io.BytesIO()
        figure.savefig(stream, format=form, bbox_inches="tight")
        data = stream.getvalue()
    elif library == "plotly":
        data, facts["format"] = figure.to_json().encode(), "plotly.json"
    else:
        # The program has loaded bokeh; this is the part of it that makes JSON.
        item = importlib.import_module("bokeh.embed").json_item(figure)
        data, facts["format"] = json.dumps(item).encode(), "bokeh.json"
    check_size(len(data), "a figure", "draw fewer points")
    facts["meta"] = {"library": library, "version": _version_of(str(library))}
    return Piece(facts, (data,))


def _version_of(library: str) -> str:
    return str(getattr(sys.modules.get(library), "__version__", ""))
