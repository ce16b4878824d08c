"""Search strategies, by name."""

from core.plugins import Registry
from nas.strategies.base import COMMON_ARGUMENTS, SpaceExhausted, Strategy

REGISTRY = Registry(
    kind="strategy",
    group="minnow.strategies",
    base=Strategy,
    builtins={
        "gp": "nas.strategies.gp:Gp",
        "random": "nas.strategies.random:RandomSearch",
        "tpe": "nas.strategies.tpe:Tpe",
        "nni-evolution": "nas.strategies.nni_evolution:NniEvolution",
        "evolution": "nas.strategies.evolution:Evolution",
    },
    families={
        "optuna": "nas.strategies.optuna_sampler:strategy_of",
        "optunahub": "nas.strategies.hub_sampler:hub_strategy",
    },
    foreign=("optunahub", "optuna:auto"),
    arguments=COMMON_ARGUMENTS,
)


def load(name: str) -> type[Strategy]:
    """Return the strategy class called ``name``.

    Raises:
        UserError: unknown; lists the known names.
    """
    return REGISTRY.load(name)


__all__ = ["REGISTRY", "SpaceExhausted", "Strategy", "load"]
