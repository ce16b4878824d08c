"""Settings as a user of the command line types them: in complaints, and in commands to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from core.config import SearchConfig, StudentConfig
from core.config_io import SettingError, known_settings
from core.setting import Setting


def as_typed(error: SettingError) -> str:
    """Return a complaint about a setting as a user of the command line knows it.

    It begins like ``--batch-size (train.batch_size): ``, and ends with what to type, if anything helps.
    """
    item = _optional_setting(error.setting)
    name = error.setting if item is None else f"--{item.option} ({error.setting})"
    allowed = error.allowed_by
    remedy = "" if allowed is None else f"; to allow it, add {shlex.join(typed(error.setting, allowed))}"
    return f"{name}: {error.reason}{remedy}"


def resuming(command: str, config: SearchConfig, run: Path) -> list[str]:
    """Return the arguments that resume a search; they name again what its files may not decide alone."""
    from minnow.permission import code_settings
    from nas.storage_url import without_password

    named = [argument for name, value in code_settings(config) for argument in typed(name, value)]
    if config.storage is not None:
        named += typed("storage", without_password(config.storage))
    return [command, "--resume", "--out", str(run), *named]


def typed(name: str, value: str) -> list[str]:
    """Return the arguments that give a setting a value: ``--strategy gp``, ``--loss-option of=kd``."""
    item = _optional_setting(name)
    if item is None:
        return ["--set", f"{name}={value}"]
    key = name.removeprefix(item.name).lstrip(".")
    return [f"--{item.option}", f"{key}={value}" if key else value]


def _optional_setting(name: str) -> Setting | None:
    """Return the setting with an option that a dotted name is, or is a key of."""
    for kind in (SearchConfig, StudentConfig):
        for setting, item in known_settings(kind).items():
            if item.option is not None and f"{name}.".startswith(f"{setting}."):
                return item
    return None
