"""Settings in files and from callers: reading, changing single ones by dotted name, error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.config import StudentConfig
from core.errors import UserError, short
from core.reading import first_fault, mapping, read_yaml
from core.setting import Setting, section, settings_of

M = TypeVar("M", bound=BaseModel)


class SettingError(UserError):
    """A setting is unknown, out of range, without effect, or not to be taken from a file.

    Args:
        setting: dotted name.
        reason: what is wrong with it, and what to do.
        allowed_by: value that the caller may give to have it all the same.
    """

    def __init__(self, setting: str, reason: str, allowed_by: str | None = None) -> None:
        remedy = f"; to allow it, give {setting} {allowed_by!r} in this call"
        super().__init__(f"{setting}: {reason}{'' if allowed_by is None else remedy}")
        self.setting, self.reason, self.allowed_by = setting, reason, allowed_by


def known_settings(kind: type[BaseModel]) -> dict[str, Setting]:
    """Return the settings of a search or of a student, by dotted name."""
    return settings_of(kind, "student" if kind is StudentConfig else "search")


def dotted(kind: type[BaseModel], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names to values for the keywords of the Python API.

    ``None`` stands for "decide for me" where the setting has that, else the keyword counts as not given.

    A keyword is the name of an option, in the plural where it takes several values (``space``,
    ``batch_size``, ``limits``), a dotted name, or a section with a mapping (``train={"epochs": 3}``).

    Args:
        kind: the model of the settings.
        keywords: as the caller wrote them.

    Raises:
        UserError: an unknown keyword; lists the nearest ones.
    """
    settings = known_settings(kind)
    by_keyword = {item.keyword: name for name, item in settings.items() if item.keyword}
    changes: dict[str, Any] = {}
    for keyword, value in keywords.items():
        if isinstance(value, Mapping) and section(kind, keyword) is not None:
            for name, inner in value.items():
                changes |= dotted(kind, {f"{keyword}.{name}": inner})
        elif keyword in by_keyword:
            changes[by_keyword[keyword]] = value
        elif _is_known(settings, keyword):
            changes[keyword] = value
        else:
            near = _near(keyword, [*by_keyword, *settings]) or "; the command settings lists all"
            raise UserError(f"unknown setting {short(keyword)}{near}")
    return {
        name: value
        for name, value in changes.items()
        if value is not None or (name in settings and settings[name].optional)
    }


def read_config(kind: type[M], path: Path, what: str = "config file") -> M:
    """Read a YAML file.

    Args:
        kind: the model.
        path: the file.
        what: noun for it in messages.

    Raises:
        UserError: missing, not YAML, an unknown key (lists the valid ones) or a value out of range.
    """
    return parse_config(kind, read_settings(path, what), str(path))


def read_settings(path: Path, what: str = "config file") -> Mapping[str, Any]:
    """Return the mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        UserError: missing, unreadable, not YAML, or no mapping.
    """
    content = read_yaml(path, what)
    return {} if content is None else mapping(content, str(path), "a mapping of settings")


def parse_config(kind: type[M], content: object, where: str) -> M:
    """Validate nested dictionaries.

    Args:
        kind: the model.
        content: what to validate.
        where: named in the error.

    Raises:
        UserError: names the key, and the valid ones where it is unknown.
    """
    mapping(content, where, "a mapping of settings")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        name, reason = _explain(kind, error)
        raise UserError(": ".join(filter(None, (where, name, reason)))) from None


def merged(kind: type[M], config: M, changes: Mapping[str, Any]) -> M:
    """Return ``config`` with dotted changes, such as ``{"train.epochs": 3}``.

    Raises:
        SettingError: unknown (lists the near ones), out of range, or of a section that is missing.
    """
    content, settings = config.model_dump(), known_settings(kind)
    for path, value in changes.items():
        if not _is_known(settings, path) and path not in kind.model_fields:
            raise UserError(_unknown(kind, path))
        *parents, name = path.split(".")
        place = content
        for depth, parent in enumerate(parents):
            if parent in place and place[parent] is None:
                _check_required(kind, parents[: depth + 1], path, changes)
                place[parent] = {}
            place = place[parent]
        place[name] = value
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        name, reason = _explain(kind, error)
        # A check of several settings names no single one.
        raise (SettingError(name, reason) if name else UserError(reason)) from None


def overlaid(config: M, over: M) -> M:
    """Return ``config`` with the fields that were given for ``over``, section by section."""
    changes = {}
    for name in over.model_fields_set:
        old, new = getattr(config, name), getattr(over, name)
        both = isinstance(old, BaseModel) and isinstance(new, BaseModel)
        changes[name] = overlaid(old, new) if both else new
    return config.model_copy(update=changes)


def given_names(config: BaseModel, prefix: str = "") -> list[str]:
    """Return the dotted names of the fields that were given for ``config`` and are not the default.

    A field with its default is not among them: the ``config.yaml`` of a run has them all.
    """
    names = []
    for name in config.model_fields_set:
        value, field = getattr(config, name), type(config).model_fields[name]
        if isinstance(value, BaseModel):
            names += given_names(value, f"{prefix}{name}.")
        elif value not in (field.default, "none"):
            names.append(prefix + name)
    return sorted(names)


def value_of(config: BaseModel, name: str) -> Any:
    """Return the value of a dotted name, or of a mapping's key; ``None`` where a section is missing."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def to_yaml(config: BaseModel) -> str:
    """Return the text of ``config.yaml``."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _is_known(settings: Mapping[str, Setting], name: str) -> bool:
    """Return whether a dotted name is a setting, or a key of one that is a mapping."""
    parent = name.rpartition(".")[0]
    return name in settings or (parent in settings and settings[parent].mapping)


def _unknown(kind: type[BaseModel], path: str) -> str:
    """Return the message about an unknown dotted name: the names beside it, and the nearest of all."""
    beside = section(kind, path.rpartition(".")[0]) or kind
    known = f"known here: {', '.join(beside.model_fields)}"
    return f"unknown setting {short(path)}; {known}{_near(path, known_settings(kind))}"


def _near(name: str, names: Iterable[str]) -> str:
    """Return a hint with the known names that are nearest to a wrong one; empty if none is near."""
    names, leaf = list(names), name.rpartition(".")[2]
    same = [known for known in names if known.rpartition(".")[2] == leaf]
    near = list(dict.fromkeys([*same, *difflib.get_close_matches(name, names, n=3)]))
    return f"; did you mean {' or '.join(map(repr, near[:3]))}?" if near else ""


def _check_required(
    kind: type[BaseModel], parents: list[str], path: str, changes: Mapping[str, Any]
) -> None:
    """Raise a ``SettingError`` if the section of ``path`` is missing and cannot be made."""
    name = ".".join(parents)
    model = section(kind, name)
    needed = [] if model is None else [n for n, f in model.model_fields.items() if f.is_required()]
    if any(f"{name}.{field}" not in changes for field in needed):
        raise SettingError(path, f"there is no {name}; give one, or leave this setting out")


def _explain(kind: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """Return the dotted name of the first wrong setting, and what is wrong."""
    first = error.errors(include_url=False)[0]
    name, reason = first_fault(error)
    if first["type"] == "extra_forbidden":
        return "", _unknown(kind, ".".join(map(str, first["loc"])))
    if first["type"] == "value_error" and isinstance(first["input"], str | int | float):
        reason += f", got {short(first['input'])}"  # a fault of several together has no single value
    return name, reason
