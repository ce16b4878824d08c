"""Settings in files: reading them, changing single ones, and saying what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import UserError, one_line

M = TypeVar("M", bound=BaseModel)


def read_config(kind: type[M], path: Path, what: str = "config file") -> M:
    """Read a YAML file.

    Args:
        kind: the model.
        path: of the file.
        what: it is, for messages.

    Raises:
        UserError: missing, not YAML, an unknown key (lists the valid ones) or a value out of range.
    """
    return parse_config(kind, read_yaml(path, what), str(path))


def read_yaml(path: Path, what: str) -> Mapping[str, Any]:
    """Return the mapping in a YAML file; an empty file is an empty mapping.

    Args:
        path: of the file.
        what: name of the kind of file, for messages.

    Raises:
        UserError: missing, unreadable, not YAML, or no mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{what} {path} cannot be read: {one_line(error)}") from None
    if content is not None and not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a mapping of settings")
    return content or {}


def parse_config(kind: type[M], content: object, where: str) -> M:
    """Validate nested dictionaries.

    Args:
        kind: the model.
        content: what to validate.
        where: named in the error.

    Raises:
        UserError: names the key, and the valid ones where it is unknown.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{where}: expected a mapping of settings")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(kind, error)}") from None


def merged(kind: type[M], config: M, changes: Mapping[str, Any], where: str) -> M:
    """``config`` with dotted ``changes`` (``{"train.epochs": 3}``); ``None`` values change nothing."""
    content = config.model_dump()
    for path, value in changes.items():
        if value is None:
            continue
        *parents, name = path.split(".")
        place = content
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
        place[name] = value
    return parse_config(kind, content, where)


def overlaid(config: M, over: M) -> M:
    """``config`` with the fields that ``over`` was given, section by section."""
    changes = {}
    for name in over.model_fields_set:
        mine, theirs = getattr(config, name), getattr(over, name)
        both = isinstance(mine, BaseModel) and isinstance(theirs, BaseModel)
        changes[name] = overlaid(mine, theirs) if both else theirs
    return config.model_copy(update=changes)


def to_yaml(config: BaseModel) -> str:
    """The text of ``config.yaml``."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields(kind, first["loc"][:-1])
        return f"unknown setting {path!r}; known here: {', '.join(known)}"
    return f"{path}: {first['msg'].lower().removeprefix('value error, ')}, got {first['input']!r}"


def _fields(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model at ``path`` below ``kind``."""
    model: type[BaseModel] = kind
    for part in path:
        annotation: Any = model.model_fields[str(part)].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)
