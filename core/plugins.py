"""Plugin registries: from a name to a class.

A name is a built-in, an entry point, ``package.module:Class`` or ``./file.py:Class``.

A registry may also have families, whose members are found by another library: ``optuna:nsgaii``.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import UserError, short

_FILE_MODULE = "minnow_plugin_"  # start of the names of modules that are loaded by path


@dataclass(frozen=True)
class Plugin:
    """A registered class: its name, where it comes from, and the first paragraph of its docstring."""

    name: str
    origin: str
    summary: str


@dataclass(frozen=True)
class Registry:
    """The classes of one kind.

    Attributes:
        kind: what they are, for messages: ``"strategy"``.
        group: entry-point group of third-party packages.
        base: every class must be a subclass of it.
        builtins: name to ``module:Class``; imported only when used.
        families: prefix to ``module:function``, which makes the class of ``prefix:MEMBER`` from MEMBER.
        foreign: families, and ``family:MEMBER`` of others, whose code no installed package holds.
        arguments: constructor parameters of every class; the others are a class's own options.
    """

    kind: str
    group: str
    base: type
    builtins: Mapping[str, str]
    families: Mapping[str, str] = field(default_factory=dict)
    foreign: Collection[str] = ()
    arguments: Collection[str] = ()

    def names(self) -> list[str]:
        """Return the built-in names, then those of installed packages."""
        return [*self.builtins, *(point.name for point in self._entry_points())]

    def names_code(self, name: str) -> bool:
        """Tell if :meth:`load` would import, and so run, code that the name points to."""
        if ":" not in name or name in self.names():
            return False
        family = name.partition(":")[0]
        return family not in self.families or family in self.foreign or name in self.foreign

    def load(self, name: str) -> type[Any]:
        """Return the class called ``name``.

        Args:
            name: a built-in or entry-point name, ``family:MEMBER``, ``package.module:Class`` or
                ``path/to/file.py:Class``.

        Raises:
            UserError: unknown, not importable, or not a class of this kind; lists the known names.
        """
        family, colon, member = name.partition(":")
        if colon and family in self.families:
            return self._check(name, _resolve(self.kind, self.families[family])(member))
        if name in self.builtins:
            target = self.builtins[name]
        elif point := next((point for point in self._entry_points() if point.name == name), None):
            target = point.value
        elif ":" in name:
            target = name
        else:
            close = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {short(close[0])}?" if close else ";"
            raise UserError(
                f"unknown {self.kind} {short(name)}{hint} known: {', '.join(self._listed())}; "
                f"or give package.module:Class or ./file.py:Class"
            )
        return self._check(name, _resolve(self.kind, target))

    def option_names(self, plugin: type) -> list[str] | None:
        """Return the names of a plugin's own options; ``None`` where it takes any.

        A ``**`` parameter of the constructor takes the ``arguments`` where this kind has some, any option
        where it has none.
        """
        parameters = signature(plugin).parameters.values()
        if not self.arguments and any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            return None
        return [
            parameter.name
            for parameter in parameters
            if parameter.name not in self.arguments and parameter.kind is not Parameter.VAR_KEYWORD
        ]

    def load_with(self, name: str, options: Collection[str]) -> type[Any]:
        """Load a class and check the names of its options.

        Raises:
            UserError: the name or an option is unknown; lists the known ones.
        """
        plugin = self.load(name)
        names = self.option_names(plugin)
        for option in options:
            if names is not None and option not in names:
                raise UserError(
                    f"{self.kind} {short(name)} has no option {short(option)}; it has: "
                    f"{', '.join(names) or 'none'}"
                )
        return plugin

    def create(self, name: str, *arguments: Any, options: Mapping[str, Any], **keywords: Any) -> Any:
        """Create a plugin.

        Args:
            name: as for :meth:`load`.
            arguments: of the constructor.
            options: chosen by the user, by name.
            keywords: more arguments of the constructor.

        Raises:
            UserError: the name or an option is unknown, which lists the known ones; an option is missing.
        """
        plugin = self.load_with(name, options)
        try:
            signature(plugin).bind(*arguments, **keywords, **options)
        except TypeError as error:
            raise UserError(f"{self.kind} {short(name)} cannot be made: {error}") from None
        return plugin(*arguments, **keywords, **options)

    def describe(self) -> list[Plugin]:
        """Describe every registered class; one that cannot be imported is listed with its error."""
        plugins = [Plugin(name, "built in", self._summary(name)) for name in self.builtins]
        for family, target in self.families.items():
            summary = _first_paragraph(_resolve(self.kind, target))
            plugins.append(Plugin(f"{family}:NAME", "built in", summary))
        for point in self._entry_points():
            package = point.dist.name if point.dist else "?"
            plugins.append(Plugin(point.name, package, self._summary(point.name)))
        return plugins

    def _entry_points(self) -> list[EntryPoint]:
        """Return the entry points; they cannot take over a built-in name."""
        points = {point.name: point for point in entry_points(group=self.group)}
        return [points[name] for name in sorted(points) if name not in self.builtins]

    def _summary(self, name: str) -> str:
        try:
            return _first_paragraph(self.load(name))
        except UserError as error:
            return f"broken: {error}"

    def _listed(self) -> list[str]:
        return [*self.names(), *(f"{family}:NAME" for family in self.families)]

    def _check(self, name: str, found: object) -> type[Any]:
        if not isinstance(found, type) or not issubclass(found, self.base):
            raise UserError(f"{self.kind} {short(name)} is not a subclass of {self.base.__name__}")
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise UserError(f"{self.kind} {short(name)} cannot be made: it lacks {', '.join(missing)}")
        return found


def _first_paragraph(documented: object) -> str:
    doc = (documented.__doc__ or "").strip()
    return " ".join(doc.split("\n\n")[0].split()).rstrip(".")


def _resolve(kind: str, target: str) -> Any:
    place, _, attribute = target.rpartition(":")
    module = load_file(kind, Path(place)) if place.endswith(".py") else _load_module(kind, place)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UserError(f"{kind} {short(target)}: {place} has no {short(attribute)}") from None


def _load_module(kind: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{kind} plugin: cannot import {short(name)}: {error}") from None
    except Exception as error:  # whatever someone else's module raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{kind} plugin: cannot import {short(name)}: {reason}") from error


def file_of(plugin: type) -> Path | None:
    """Return the file that a plugin was loaded from by its path, else ``None``."""
    if not plugin.__module__.startswith(_FILE_MODULE):
        return None
    return Path(str(sys.modules[plugin.__module__].__file__))


def load_file(kind: str, path: Path) -> ModuleType:
    """Import a file once, under a name that other processes can find again by the same path.

    Args:
        kind: of plugin, for messages.
        path: of the file.

    Raises:
        UserError: it is missing, no Python file, or cannot be imported.
    """
    if not path.is_file():
        raise UserError(f"{kind} plugin: file {path} does not exist")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"{_FILE_MODULE}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{kind} plugin: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{kind} plugin: {path} cannot be imported: {reason}") from error
    return module
