"""Settings as pydantic fields: one place for name, type, default, range, help text and option name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

Role = Literal["search", "student"]


def setting(
    description: str,
    *,
    auto: str | Mapping[Role, str] | None = None,
    option: str | None = None,
    form: str | None = None,
    **bounds: Any,
) -> Any:
    """Return the pydantic field of a setting, for use in ``Annotated``.

    Args:
        description: help text, one or two sentences.
        auto: what ``None`` means, if the setting may be ``None``: one truthful phrase, or one for each
            role of the settings.
        form: word for the values where their type does not say it, such as ``time``.
        option: name of its command-line option, without dashes; ``None``: it has none.
        bounds: ``ge``, ``gt``, ``le``, ``lt`` of pydantic.
    """
    extra: dict[str, Any] = {"auto": auto, "option": option, "form": form}
    return Field(description=description, json_schema_extra=extra, **bounds)


@dataclass(frozen=True)
class Setting:
    """One setting of a run.

    Attributes:
        name: dotted, as in ``train.batch_size``.
        role: of the settings that it belongs to.
        field: the pydantic field.
    """

    name: str
    role: Role
    field: FieldInfo

    @property
    def help(self) -> str:
        """The help text."""
        return self.field.description or ""

    @property
    def option(self) -> str | None:
        """Name of the command-line option, without dashes."""
        option: str | None = self._extra("option")
        return option

    @property
    def keyword(self) -> str | None:
        """Name of the keyword of the Python API; in the plural where it takes several values."""
        if self.option is None:
            return None
        return self.option.replace("-", "_") + ("s" if self.several else "")

    @property
    def choices(self) -> tuple[str, ...]:
        """Accepted values where they are a fixed list."""
        kinds = _alternatives(self.field.annotation)
        return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())

    @property
    def several(self) -> bool:
        """True if the setting holds a tuple or a mapping."""
        return self.mapping or any(get_origin(k) is tuple for k in _alternatives(self.field.annotation))

    @property
    def mapping(self) -> bool:
        """True if the setting maps names to values."""
        return any(get_origin(k) is dict for k in _alternatives(self.field.annotation))

    @property
    def repeatable(self) -> bool:
        """True if its option is given once for each value."""
        return self.mapping or (self.several and self._extra("form") is None)

    @property
    def flag(self) -> bool:
        """True if the setting is on or off, and off by default."""
        return self.field.annotation is bool

    @property
    def optional(self) -> bool:
        """True if ``None`` is a value: decide for me."""
        return self.field.default is None

    @property
    def range(self) -> str:
        """Accepted values in words: choices, bounds, or the type."""
        if self.choices:
            return ", ".join(self.choices)
        if form := self._extra("form"):
            return str(form)
        kinds = _alternatives(self.field.annotation)
        if bool in kinds:
            return "true, false"
        noun = "integer" if int in kinds else "number" if float in kinds else ""
        if self.mapping:
            return "name=value, several"
        if not noun:
            return "text, several" if self.several else "text"
        return " ".join([noun, *_bounds(self.field)])

    @property
    def default(self) -> str:
        """The default in words; for ``None`` the phrase that says what is decided."""
        value = self.field.default
        if value is None or self.field.is_required():
            auto = self._extra("auto")
            text: str = auto[self.role] if isinstance(auto, Mapping) else auto or "none"
            return text
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, tuple | dict):
            return ", ".join(map(str, value)) or "none"
        return f"{value:g}" if isinstance(value, float) else str(value)

    def _extra(self, name: str) -> Any:
        extra = self.field.json_schema_extra
        return extra.get(name) if isinstance(extra, dict) else None


@cache
def settings_of(kind: type[BaseModel], role: Role) -> dict[str, Setting]:
    """Return all settings of a model and the models inside it, by dotted name and in order.

    Args:
        kind: the model.
        role: whose settings these are; decides between phrases for ``None``.
    """
    return {name: Setting(name, role, field) for name, field in _walk(kind)}


def section(kind: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model of a dotted section such as ``train``, or ``None`` if there is none."""
    model: type[BaseModel] | None = kind
    for part in name.split(".") if name else ():
        field = None if model is None else model.model_fields.get(part)
        model = None if field is None else _model(field)
    return model


def _walk(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in kind.model_fields.items():
        inner = _model(field)
        if inner is not None:
            yield from _walk(inner, f"{prefix}{name}.")
        elif field.description:
            yield prefix + name, field


def _model(field: FieldInfo) -> type[BaseModel] | None:
    kinds = _alternatives(field.annotation)
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    whole = get_origin(annotation) in (Literal, tuple, dict, None)
    return (annotation,) if whole else get_args(annotation)


def _bounds(field: FieldInfo) -> list[str]:
    """Return the range of a number: ``from 0 to 1``, ``above 0``."""
    signs = {Ge: ("ge", "from"), Gt: ("gt", "above"), Le: ("le", "to"), Lt: ("lt", "below")}
    words = []
    for bound, (attribute, word) in signs.items():
        for item in field.metadata:
            if isinstance(item, bound):
                words.append(f"{word} {getattr(item, attribute):,}")
    return words
