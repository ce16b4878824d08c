"""Scatter plots as plain SVG: the pictures of F1 against latency in the documentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LATENCY = "latency in ms (ONNX Runtime, one image, one thread)"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 760, 420, 62, 20, 56, 40
_INK, _GREY, _GRID = "#111827", "#4b5563", "#e5e7eb"


@dataclass(frozen=True)
class Point:
    """A dot with its spread: ``error`` up and down, from ``x`` to ``x_high`` sideways.

    ``label`` stands to the right of the dot, a bold line and then smaller ones; below it where ``below``.
    """

    x: float
    y: float
    error: float = 0.0
    x_high: float | None = None
    label: tuple[str, ...] = ()
    below: bool = False

    @property
    def middle(self) -> float:
        """Place of the dot on the x axis."""
        return self.x if self.x_high is None else (self.x + self.x_high) / 2


@dataclass(frozen=True)
class Series:
    """Points of one colour; a line joins them where ``joined``; an empty name has no legend."""

    name: str
    colour: str
    points: Sequence[Point]
    joined: bool = False


def scatter(series: Sequence[Series], title: str, x_title: str, y_title: str) -> str:
    """Return an SVG with both axes labelled; ``title`` is read aloud by screen readers."""
    points = [point for one in series for point in one.points]
    right = max(point.x_high or point.x for point in points) * 1.08
    low = min(point.y - point.error for point in points) - 0.015
    high = max(point.y + point.error for point in points) + 0.015
    legend = [one for one in series if one.name]
    height = _HEIGHT + 24 * len(legend)

    def across(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right

    def down(y: float) -> float:
        return _TOP + (_HEIGHT - _BOTTOM - _TOP) * (high - y) / (high - low)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="14" fill="{_INK}">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for y in _ticks(low, high):
        lines.append(_line(_LEFT, down(y), _WIDTH - _RIGHT, down(y), _GRID))
        lines.append(_text(_LEFT - 8, down(y) + 5, f"{y:.2f}", anchor="end"))
    for x in _ticks(0, right):
        lines.append(_text(across(x), _HEIGHT - _BOTTOM + 20, f"{x:g}", anchor="middle"))
    lines.append(_line(_LEFT, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, _GREY))
    lines.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, x_title, anchor="middle"))
    lines.append(_text(16, 22, y_title))
    for one in series:
        if one.joined:
            path = " ".join(f"{across(point.middle):.1f},{down(point.y):.1f}" for point in one.points)
            lines.append(
                f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="2"/>'
            )
        for point in one.points:
            x, y = across(point.middle), down(point.y)
            if point.error:
                top, bottom = down(point.y + point.error), down(point.y - point.error)
                lines.append(_line(x, top, x, bottom, one.colour))
            if point.x_high is not None:
                lines.append(_line(across(point.x), y, across(point.x_high), y, one.colour))
            lines.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{one.colour}" fill-opacity="0.85"/>'
            )
            for row, text in enumerate(point.label):
                extra = ' font-weight="bold"' if row == 0 else f' font-size="12.5" fill="{_GREY}"'
                place, drop, anchor = (x + 32, 25, "end") if point.below else (x + 12, 5, "start")
                lines.append(_text(place, y + drop + 17 * row, text, anchor=anchor, extra=extra))
    for row, one in enumerate(legend):
        y = _HEIGHT + 24 * row + 4
        lines.append(f'<circle cx="{_LEFT}" cy="{y}" r="5" fill="{one.colour}"/>')
        lines.append(_text(_LEFT + 12, y + 5, one.name))
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _line(x: float, y: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _ticks(low: float, high: float) -> list[float]:
    """Return three to eight round numbers between two."""
    power = 10 ** math.floor(math.log10((high - low) / 3))
    step = max(power * factor for factor in (1, 2, 5) if power * factor <= (high - low) / 3)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
