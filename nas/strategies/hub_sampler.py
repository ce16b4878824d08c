"""Samplers of OptunaHub as strategies: ``optunahub:auto_sampler``, ``optunahub:./folder``.

Loading one runs the code of its package, so a name of this family comes from the command line or the API
call, never from a stored run (see ``Registry.foreign``).
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from core.errors import UserError, one_line
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.optuna_sampler import HUB, OptunaSampler, signature_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

_NAME = re.compile(r"[A-Za-z0-9_]+")
_AUTO = "auto_sampler"


class HubSampler(OptunaSampler):
    """A sampler of OptunaHub behind the strategy contract; :func:`hub_strategy` makes one by name.

    It is made afresh for every proposal, so it knows what it can read in the study: trials, and what it
    wrote on trials and study. What a sampler keeps in itself is lost.

    Raises:
        UserError: as for Optuna's samplers, or the sampler fails on a study of this space.
    """

    sampler = HUB

    def __init__(self, space: SearchSpace, objectives: Objectives, **given: Any) -> None:
        try:
            super().__init__(space, objectives, **given)
        except UserError:
            raise
        except Exception as error:  # whatever someone else's sampler raises
            raise UserError(
                f"strategy '{self.strategy}': its sampler fails in this space: {_reason(error)}"
            ) from error


def hub_strategy(member: str) -> type[HubSampler]:
    """Any sampler of OptunaHub: optunahub:PACKAGE (downloaded once) or optunahub:./FOLDER.

    Args:
        member: name of a package in the registry's ``samplers``, or path of a package's folder, with a
            separator in it. The class is the only sampler in the package's ``__all__``, or the one named
            after a colon.

    Raises:
        UserError: OptunaHub is not installed; there is no such package, it cannot be downloaded or
            imported; it has no sampler, or several; the sampler takes no seed.
    """
    package, colon, class_name = member.partition(":")
    if "/" in package or "\\" in package:
        return _strategy(str(Path(package).resolve()), class_name, f"optunahub:{member}")
    if not _NAME.fullmatch(package) or (colon and not class_name):
        raise UserError(
            f"strategy 'optunahub:{member}' names no package; give optunahub:NAME, as in "
            f"optunahub:{_AUTO}, or a folder, optunahub:./NAME"
        )
    return _strategy(package, class_name, f"optunahub:{member}")


def auto_sampler() -> type[HubSampler]:
    """Return the strategy of OptunaHub's AutoSampler."""
    return _strategy(_AUTO, "", "optuna:auto")


@cache
def _strategy(package: str, class_name: str, strategy: str) -> type[HubSampler]:
    sampler = _sampler(_module(package, strategy), class_name, strategy)
    parameters = inspect.signature(sampler).parameters.values()
    if not any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise UserError(
            f"strategy '{strategy}': {sampler.__name__} takes no seed, so no search with it could be "
            "repeated"
        )
    attributes = {
        "__doc__": f"OptunaHub's {sampler.__name__}.",
        "__module__": __name__,
        "__signature__": signature_of(sampler),
        "strategy": strategy,
        "source": classmethod(lambda cls: sampler),
    }
    return type(f"Hub{sampler.__name__}", (HubSampler,), attributes)


@cache
def _module(package: str, strategy: str) -> ModuleType:
    """Import a package: of the registry, through OptunaHub's cache, or by its absolute path."""
    try:
        import optunahub
    except ImportError as error:
        absent = error.name == "optunahub"  # else a part of it, as git
        fix = "pip install 'minnow[optunahub]'" if absent else _reason(error)
        raise UserError(f"strategy '{strategy}' needs the package 'optunahub': {fix}") from None
    folder = Path(package)
    if folder.is_absolute() and not (folder / "__init__.py").is_file():
        raise UserError(f"strategy '{strategy}': {folder} is no package, it has no __init__.py")
    before = set(sys.modules)
    try:
        if folder.is_absolute():  # by its whole path: two folders of one name stay two modules
            root = Path(folder.anchor)
            return optunahub.load_local_module(str(folder.relative_to(root)), registry_root=str(root))
        return optunahub.load_module(f"samplers/{package}")
    except Exception as error:  # whatever someone else's package, git or the connection raises
        new = [name for name in set(sys.modules) - before if name.startswith("optunahub_registry.")]
        if folder.is_absolute() or new:
            for name in new:
                del sys.modules[name]
            reason = _reason(error)
            raise UserError(f"strategy '{strategy}' cannot be imported: {reason}") from error
        raise UserError(
            f"strategy '{strategy}': OptunaHub's cache has no samplers/{package}, and its download "
            f"failed (offline, or no such package); copy the package and name its folder, "
            f"optunahub:./{package}: {_reason(error)}"
        ) from None


def _sampler(module: ModuleType, class_name: str, strategy: str) -> type[BaseSampler]:
    """Return the sampler called ``class_name``, or the only one."""
    from optuna.samplers import BaseSampler

    values = {name: getattr(module, name, None) for name in getattr(module, "__all__", ())}
    samplers = {
        name: value
        for name, value in values.items()
        if isinstance(value, type) and issubclass(value, BaseSampler) and not inspect.isabstract(value)
    }
    if class_name in samplers:
        return samplers[class_name]
    if class_name or len(samplers) != 1:
        wanted = f"no sampler {class_name!r}" if class_name else "not one sampler"
        raise UserError(
            f"strategy '{strategy}': the package has {wanted} in __all__, but: "
            f"{', '.join(samplers) or 'none'}; name one after a colon"
        )
    return next(iter(samplers.values()))


def _reason(error: Exception) -> str:
    if stderr := getattr(error, "stderr", None):  # of git, without the command
        return one_line(stderr).removeprefix("stderr: ")
    return f"{type(error).__name__}: {one_line(error)}"
