"""Search spaces, by name."""

from core.plugins import Registry
from nas.spaces.base import Decision, SearchSpace

REGISTRY = Registry(
    kind="space",
    group="minnow.spaces",
    base=SearchSpace,
    builtins={
        "mobilenet": "nas.spaces.mobilenet:MobileNet",
        "macro": "nas.spaces.macro:Macro",
        "stages7": "nas.spaces.stages7:Stages7",
        "elastic": "nas.spaces.elastic:Elastic",
        "toy": "nas.spaces.toy:Toy",
    },
)


def load(name: str) -> type[SearchSpace]:
    """Return the space class called ``name``.

    Raises:
        UserError: unknown; lists the known names.
    """
    return REGISTRY.load(name)


__all__ = ["REGISTRY", "Decision", "SearchSpace", "load"]
