"""What a file from elsewhere may not decide alone: code that runs, and places that are written to.

A run directory and a file of settings may come from anyone. Code by file or module runs only where the
call itself names it, a tracker records at a place only where the call names it, and a database is written
only where the call or ``$MINNOW_STORAGE`` names it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from core.config import SearchConfig, StudentConfig
from core.config_io import SettingError, value_of
from core.errors import UserError
from deploy.targets import is_profile, names_program, plugin_name
from minnow.trackers import names_place
from nas.storage_url import has_password, masked, same_storage, sqlite_file, without_password

#: Environment variable with the URL of a storage, which keeps its password out of commands and files.
VARIABLE = "MINNOW_STORAGE"

#: Settings that name a plugin, and the registry that loads it, which may need torch.
_PLUGINS = {
    "strategy.name": "nas.strategies:REGISTRY",
    "space.name": "nas.spaces:REGISTRY",
    "loss.name": "distill.losses.base:LOGIT_LOSSES",
    "loss.options.of": "distill.losses.base:LOGIT_LOSSES",
    "loss.features": "distill.losses.base:FEATURE_LOSSES",
    "target": "deploy.targets:REGISTRY",
    "executor": "nas.executors:REGISTRY",
}
_CLUSTER = "ray:"  # an executor at an address, whose answers are unpickled

Config = SearchConfig | StudentConfig


def check_code(
    config: Config,
    given: Mapping[str, Any],
    files: Sequence[tuple[Path, Config]],
    *,
    only: Collection[str] = (),
) -> None:
    """Refuse code by file or module, and places of trackers, that a file names and the caller does not.

    Args:
        config: the settings, as resolved.
        given: dotted settings that the caller gave.
        files: with their settings, those first that win.
        only: names of settings, of which the others are not used; none: all are.

    Raises:
        SettingError: names the file and the value, and what to give to allow it.
    """
    for name, value in code_settings(config):
        if not _is_given(given, name) and (not only or name in only):
            file = _origin(files, name, value)
            what = "a tracker with a place or code" if name == "trackers" else "code that would be run"
            raise SettingError(name, f"{file} names {what}, {value!r}", value)


def check_target(config: Config, file: Path) -> None:
    """Refuse a target by file or module, or with a program, that a file names.

    Args:
        config: the settings in the file.
        file: of the settings.

    Raises:
        SettingError: as :func:`check_code`.
    """
    check_code(config, {}, [(file, config)], only=("target",))


def code_settings(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the dotted names and values of the settings that name code, or the place of a tracker."""
    yield from (("trackers", spec) for spec in config.trackers if names_place(spec))
    for name, registry in _PLUGINS.items():
        value = value_of(config, name)
        if name == "target" and names_program(value):
            yield name, value
            continue
        if name == "target":
            if is_profile(value):
                continue
            value = plugin_name(value)
        if not isinstance(value, str) or ":" not in value:
            continue
        if name == "executor" and value.startswith(_CLUSTER):
            yield name, value
            continue
        module, _, attribute = registry.partition(":")
        if getattr(import_module(module), attribute).names_code(value):
            yield name, value


def storage_to_write(
    named: str | None, given: str | None, files: Sequence[tuple[Path, Config]]
) -> str | None:
    """Return the URL of the storage of a search, with its password if that is known.

    Args:
        named: by the settings, as resolved.
        given: by the caller.
        files: as of :func:`check_code`.

    Raises:
        SettingError: neither the caller nor the environment names it.
    """
    if named is None:
        return None
    sources = _named_again(named, given)
    if not sources:
        file = _origin(files, "storage", named)
        raise SettingError(
            "storage",
            f"{file} names {masked(named)}, which a search would write to, and neither this call nor "
            f"{VARIABLE} names it",
            without_password(named),
        )
    return _with_password(named, sources)


def storage_to_read(named: str, given: str | None, file: Path) -> str:
    """Return the URL of the storage of a run, with its password if that is known.

    Args:
        named: by the settings of the run.
        given: by the caller.
        file: of the settings.

    Raises:
        UserError: it is no SQLite file, and neither the caller nor the environment names it.
    """
    sources = _named_again(named, given)
    if not sources and sqlite_file(named) is None:
        raise UserError(
            f"{file} names the storage {masked(named)}, which is opened only if you name it, too: set "
            f"{VARIABLE} to this URL, with its password"
        )
    return _with_password(named, sources)


def _named_again(named: str, given: str | None) -> list[str]:
    """Return the URLs of the caller and of the environment that are this storage."""
    return [url for url in (given, os.environ.get(VARIABLE)) if url and same_storage(url, named)]


def _with_password(named: str, sources: Sequence[str]) -> str:
    """Return the first URL of a storage that holds its password, if one does."""
    return next((url for url in [*sources, named] if has_password(url)), named)


def _origin(files: Sequence[tuple[Path, Config]], name: str, value: str) -> Path | None:
    """Return the first file that gives a setting this value, perhaps among others."""
    for path, settings in files:
        given = value_of(settings, name)
        if given == value or (isinstance(given, tuple) and value in given):
            return path
    return None


def _is_given(given: Mapping[str, Any], name: str) -> bool:
    """Tell if the caller gave a setting, by itself or within a mapping."""
    parent, _, key = name.rpartition(".")
    mapping = given.get(parent)
    return name in given or (isinstance(mapping, Mapping) and key in mapping)
