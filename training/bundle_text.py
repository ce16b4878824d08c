"""The text files of a bundle: read, checked, and refused by name when they are damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line
from training.preprocess import Normalization


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names, one per line, in the order of the logits.

    Raises:
        UserError: unreadable, fewer than two, or one twice; names the file.
    """
    classes = tuple(line for line in _read(path).split("\n") if line.strip())
    if len(classes) < 2:
        raise UserError(f"{path}: holds {len(classes)} classes; expected one per line, at least two")
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise UserError(f"{path}: class {twice[0]!r} is there twice; give each class its own name")
    return classes


def read_mapping(
    path: Path, parse: Callable[[str], Any], malformed: type[Exception], kind: str
) -> dict[str, Any]:
    """The dictionary in a YAML or JSON file.

    Args:
        path: the file.
        parse: makes data of its text.
        malformed: what ``parse`` raises for text it cannot take.
        kind: the format's name, for the message.

    Raises:
        UserError: unreadable, malformed, or not a mapping; names the file.
    """
    text = _read(path)
    try:
        content = parse(text)
    except malformed as error:
        reason = one_line(error)
        raise UserError(f"{path}: not valid {kind} ({reason}); train the model again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping, found {type(content).__name__}")
    return content


def read_normalization(config: Mapping[str, Any]) -> Normalization:
    """What ``config["normalization"]`` says.

    Raises:
        ValueError: missing or malformed; says what was expected.
    """
    expected = "'normalization' must be {mean: [3 numbers], std: [3 numbers above 0]}"
    content = config.get("normalization")
    if not isinstance(content, Mapping) or set(content) != {"mean", "std"}:
        raise ValueError(f"{expected}, got {content!r}")
    sides = []
    for name in ("mean", "std"):
        values = content[name]
        if (
            not isinstance(values, list | tuple)
            or len(values) != 3
            or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values)
        ):
            raise ValueError(f"{expected}, got {name}: {values!r}")
        sides.append((float(values[0]), float(values[1]), float(values[2])))
    if min(sides[1]) <= 0:
        raise ValueError(f"{expected}, got std: {sides[1]}")
    return Normalization(mean=sides[0], std=sides[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
