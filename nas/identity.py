"""The first difference of two nested settings, in few words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST = 80  # characters of a value that is shown whole
_AROUND = 16  # characters before and after the part that differs, where it is not


@dataclass(frozen=True)
class Difference:
    """A setting by its dotted name, and both its values as text."""

    setting: str
    has: str
    asked: str


def first_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Difference | None:
    """Return the innermost first setting that differs, None if they are equal.

    Args:
        stored: plain data, as JSON holds it; a setting that is missing counts as ``None``.
        wanted: likewise.
    """
    for name in {**stored, **wanted}:
        has, asked = stored.get(name), wanted.get(name)
        if has == asked:
            continue
        if isinstance(has, dict) and isinstance(asked, dict):
            inner = first_difference(has, asked)
            if inner is None:
                continue
            return Difference(f"{name}.{inner.setting}", inner.has, inner.asked)
        return Difference(name, *_contrasted(has, asked))
    return None


def _contrasted(one: Any, other: Any) -> tuple[str, str]:
    """Return both as JSON, shortened to where they differ if they are long."""
    texts = json.dumps(one, ensure_ascii=False), json.dumps(other, ensure_ascii=False)
    if max(map(len, texts)) <= _LONGEST:
        return texts
    start = _alike(*texts)
    end = _alike(*(text[start:][::-1] for text in texts))
    return _cut(texts[0], start, end), _cut(texts[1], start, end)


def _alike(one: str, other: str) -> int:
    """Return the length of the common beginning, characters."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _cut(text: str, start: int, end: int) -> str:
    """Return a text without its first ``start`` and last ``end`` characters, but for some context."""
    first, last = max(0, start - _AROUND), len(text) - max(0, end - _AROUND)
    last = min(last, first + _LONGEST)
    return f"{'...' if first else ''}{text[first:last]}{'...' if last < len(text) else ''}"
