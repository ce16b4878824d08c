"""HTML pages that need no network: one style, sortable tables, plots with plotly's code beside them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --accent: #1f77b4; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 24px 20px 64px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Open Sans", sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 6px 0 10px; max-width: 90ch; overflow-wrap: anywhere; }
.soft, figcaption { color: var(--soft); } .warn { color: #a33; }
.cards { display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 8px 16px; min-width: 120px; }
.card b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
.wide { overflow: auto; max-height: 640px; margin: 8px 0 14px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; color: var(--soft); font-weight: 600; z-index: 1; }
th.left, td.left { text-align: left; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 10ch;
  max-width: 70ch; }
tr.chosen td { font-weight: 600; background: #eef6fc; }
th button { all: unset; cursor: pointer; } th button::after { content: " \\2195"; color: #b8c1cc; }
th button:focus-visible { outline: 2px solid var(--accent); }
th.turned { vertical-align: bottom; padding: 6px 4px; }
th.turned span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 150px;
  overflow: hidden; text-overflow: ellipsis; }
.matrix td { text-align: center; padding: 4px 8px; border: 1px solid #fff; }
.matrix td.name { max-width: 180px; overflow: hidden; text-overflow: ellipsis; position: sticky; left: 0;
  text-align: right; background: #fff; }
.stage { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 10px 18px;
  padding: 10px 0; border-bottom: 1px solid var(--line); }
.decision > b { font-size: 13px; color: var(--soft); overflow-wrap: anywhere; }
.option { display: flex; justify-content: space-between; gap: 8px; padding: 1px 7px; margin: 2px 0;
  border-radius: 4px; font-size: 13px; border: 1px solid transparent; }
.option.chosen { border-color: var(--accent); font-weight: 600; }
.option span:first-child { overflow-wrap: anywhere; }
pre { background: #f5f7fa; padding: 10px 14px; border-radius: 6px; overflow-x: auto; font-size: 13px; }
code { background: #f5f7fa; padding: 1px 4px; border-radius: 3px; }
summary { cursor: pointer; color: var(--accent); }
figure { margin: 8px 0; }
"""

_SORTING = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const key = row => row.cells[index].dataset.value ?? row.cells[index].textContent;
    const compared = (a, b) => {
      const missing = [a, b].map(value => value === "-" || value === "");
      if (missing[0] || missing[1]) return missing[0] - missing[1];
      const gap = Number(a) - Number(b);
      return sign * (Number.isNaN(gap) ? a.localeCompare(b) : gap);
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => compared(key(a), key(b)));
    table.tBodies[0].append(...rows);
  }));
}
"""


_AXIS = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True, "title_standoff": 10}


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: plain text, for the browser's tab.
        parts: HTML, in order; the code of the plots comes with the page if there is one among them.
    """
    body = "\n".join(parts)
    code = ""
    if "plotly-graph-div" in body:
        from plotly.offline import get_plotlyjs

        code = f"<script>{get_plotlyjs()}</script>\n"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{code}{body}\n"
        f"<script>{_SORTING}</script>\n</body>\n</html>\n"
    )


def text(content: object) -> str:
    """Plain text as HTML, also inside an attribute or a text of plotly's."""
    return html.escape(str(content))


def plot(figure: go.Figure, name: str, height: int) -> str:
    """A figure as HTML, as wide as the page.

    Args:
        figure: of plotly.
        name: unique within the page.
        height: pixels.
    """
    figure.update_layout(template="none", font={"family": "system-ui, sans-serif", "size": 13})
    figure.update_xaxes(_AXIS)
    figure.update_yaxes(_AXIS)
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        default_height=f"{height}px",
        config={"responsive": True, "displaylogo": False},
    )
    return f"<figure>{drawn}</figure>"


def cell(
    content: str, *, value: float | None = None, kind: str = "", style: str = "", hover: str = ""
) -> str:
    """One cell of a table.

    Args:
        content: plain text.
        value: the number behind it, which the column is sorted by.
        kind: classes of the style sheet: ``left``, ``text``, ``name``.
        style: CSS of this cell alone.
        hover: plain text that shows under the pointer.
    """
    known = {
        "class": kind,
        "style": style,
        "title": hover,
        "data-value": "" if value is None else repr(value),
    }
    given = "".join(f' {name}="{text(content)}"' for name, content in known.items() if content)
    return f"<td{given}>{text(content)}</td>"


def table(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], *, name: str, sortable: bool = False
) -> str:
    """A table that scrolls by itself where it is too wide or too long.

    Args:
        heads: plain text; one that begins with ``<`` is a left-aligned column.
        rows: class of each, and its :func:`cell` s.
        name: unique within the page.
        sortable: by a click on a head.
    """
    shown = []
    for head in heads:
        label = text(head.removeprefix("<"))
        kind = ' class="left"' if head.startswith("<") else ""
        shown.append(f"<th{kind}>{f'<button>{label}</button>' if sortable else label}</th>")
    body = "\n".join(
        f'<tr class="{kind}">{"".join(cells)}</tr>' if kind else f"<tr>{''.join(cells)}</tr>"
        for kind, cells in rows
    )
    sorting = ' class="sortable"' if sortable else ""
    return (
        f'<div class="wide"><table id="{name}"{sorting}><thead><tr>{"".join(shown)}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def cards(facts: Sequence[tuple[str, str]]) -> str:
    """Numbers to see first.

    Args:
        facts: what each is, and its text.
    """
    shown = "".join(
        f'<div class="card"><b>{text(value)}</b><span>{text(name)}</span></div>' for name, value in facts
    )
    return f'<div class="cards">{shown}</div>'
