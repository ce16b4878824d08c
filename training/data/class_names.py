"""Class names that look alike: one class in two spellings, or two that people mistake for each other."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

_WHOLE = re.compile(r"0*(\d{1,20})(\.0*)?")  # 7, 07 and 7.0 are one number


def twin_warnings(names: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each group of different names that look alike."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[look_of(name)].append(name)
    return tuple(
        f"classes {' and '.join(map(repr, group))} differ in {_difference(group)} alone and count as "
        f"{len(group)}: if they are one, give them one name"
        for group in groups.values()
        if len(group) > 1
    )


def sort_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names in label order: whole numbers by value, all else by spelling."""
    return tuple(sorted(names, key=int if all(name.isdecimal() for name in names) else None))


def look_of(name: str) -> str:
    """Return what a name has in common with those that look alike."""
    composed = unicodedata.normalize("NFKC", name)
    visible = "".join(" " if c == "_" else c for c in composed if unicodedata.category(c) != "Cf")
    number = _WHOLE.fullmatch(visible.strip())
    if number is not None:
        return f"{int(number[1])}"
    return unicodedata.normalize("NFKC", " ".join(visible.split()).casefold())


def joint_spelling(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the class of each folder name, where splits spell one class in different Unicode forms.

    "Käse" has two forms, one character for "ä" (NFC) or two (NFD), which macOS and Linux write each
    in their own way. A split that has both holds two classes.

    Args:
        folders: split → names of its class folders.
    """
    forms: dict[str, set[str]] = defaultdict(set)
    for names in folders.values():
        for name in names:
            forms[unicodedata.normalize("NFC", name)].add(name)
    apart = {
        composed
        for names in folders.values()
        for composed, spellings in forms.items()
        if len(spellings & set(names)) > 1
    }
    return {
        name: composed if len(spellings) > 1 and composed not in apart else name
        for composed, spellings in forms.items()
        for name in spellings
    }


def _difference(group: Sequence[str]) -> str:
    if len({unicodedata.normalize("NFC", name) for name in group}) == 1:
        return "the Unicode form of their letters (NFC, NFD)"
    if len({name.casefold() for name in group}) == 1:
        return "upper and lower case"
    if len({"".join(name.split()) for name in group}) == 1:
        return "spaces"
    if all(map(_WHOLE.fullmatch, group)):
        return "the way that a number is written"
    return "case, spaces or invisible characters"
