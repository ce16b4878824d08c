"""HTML pages that open offline, and Markdown: templates, tables, plots with plotly's code beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from jinja2 import Environment

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$])")  # what is markup anywhere in a line
_AXIS = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True, "title_standoff": 10}


class Head(NamedTuple):
    """The head of a column."""

    text: str
    left: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: plain text.
        value: number that the column is sorted by.
        classes: of the style sheet: ``left``, ``text``, ``name``.
        style: CSS of this cell alone.
        hover: plain text that shows under the pointer.
    """

    text: str
    value: float | None = None
    classes: str = ""
    style: str = ""
    hover: str = ""


class Row(NamedTuple):
    """The cells of a row; the row of the chosen network is highlighted."""

    cells: Sequence[Cell]
    chosen: bool = False


@dataclass(frozen=True)
class Table:
    """A table that scrolls by itself where it is too wide or too long.

    Attributes:
        name: unique within the page.
        heads: of the columns.
        rows: as many cells each.
        sortable: by a click on a head.
    """

    name: str
    heads: Sequence[Head]
    rows: Sequence[Row]
    sortable: bool = False


def render(template: str, **values: Any) -> str:
    """Return a template of this package filled with values; text in them never becomes markup."""
    return _environment().get_template(template).render(values)


def render_page(template: str, title: str, *, plots: bool, **values: Any) -> str:
    """Return a whole page.

    Args:
        template: extends ``page.html.jinja``.
        title: plain text.
        plots: include plotly's code.
        values: of the template.
    """
    code = None
    if plots:
        from plotly.offline import get_plotlyjs

        code = Markup(get_plotlyjs())
    return render(template, title=title, plotly=code, **values)


def render_markdown(template: str, **values: Any) -> str:
    """Return a Markdown template of this package filled with values; their text never becomes markup."""
    return _markdown_environment().get_template(template).render(values)


def markdown_text(value: object) -> str:
    """Return Markdown that shows a value literally, on one line; ``Markup`` is returned as it is."""
    if isinstance(value, Markup):
        return str(value)
    return _MARKDOWN.sub(r"\\\1", " ".join(str(value).split()))


def plot(figure: go.Figure, name: str, height: int) -> Markup:
    """Return a figure as HTML, as wide as the page.

    Args:
        figure: of plotly; it escapes what it draws, but text in hovers and names is taken as HTML.
        name: unique within the page.
        height: pixels.
    """
    figure.update_layout(template="none", font={"family": "system-ui, sans-serif", "size": 13})
    figure.update_xaxes(_AXIS)
    figure.update_yaxes(_AXIS)
    html = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        default_height=f"{height}px",
        config={"responsive": True, "displaylogo": False},
    )
    return Markup("<figure>{}</figure>").format(Markup(html))


@cache
def _environment() -> Environment:
    return _templates(autoescape=True)


@cache
def _markdown_environment() -> Environment:
    environment = _templates(finalize=markdown_text)
    environment.filters["markdown"] = markdown_text
    return environment


def _templates(**options: Any) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("minnow.report", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
