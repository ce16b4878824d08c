"""How the networks of a search stand, from its ``summary.json`` alone.

What :class:`nas.objectives.Objectives` says of trials whose architectures are at hand: trainings of one
network for as long count as one, with their means; networks within the limits are compared, those of
the longest training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas import pareto
from nas.objectives import Objective, Objectives


@dataclass(frozen=True)
class Network:
    """The completed trainings of one network for as long.

    Attributes:
        numbers: of these trials, ascending; the first names the network.
        choices: decision name to option.
        epochs: of each training; ``None``: as long as all.
        metrics: means of those that all have.
        losses: its goals, signed so that less is better.
        violation: of the limits, 0 within them.
    """

    numbers: tuple[int, ...]
    choices: Mapping[str, Any]
    epochs: int | None
    metrics: Mapping[str, float]
    losses: tuple[float, ...]
    violation: float

    @property
    def number(self) -> int:
        """Of its first trial."""
        return self.numbers[0]

    @property
    def length(self) -> float:
        """Of its training, comparable."""
        return math.inf if self.epochs is None else self.epochs


@dataclass(frozen=True)
class Standing:
    """The networks of a search so far.

    Attributes:
        objectives: of the search.
        networks: in the order of their first trials, those beyond the limits included.
    """

    objectives: Objectives
    networks: tuple[Network, ...]

    def compared(self) -> list[Network]:
        """Networks within the limits, of the longest training."""
        inside = [network for network in self.networks if network.violation == 0]
        most = max((network.length for network in inside), default=math.inf)
        return [network for network in inside if network.length == most]

    def best(self) -> Network | None:
        """The one that the search chooses."""
        return min(self.compared(), key=lambda network: (network.losses, network.number), default=None)

    def front(self, goals: Sequence[Objective]) -> list[Network]:
        """The compared networks that none is better than in these goals, best in the first one first."""
        names = [goal.metric for goal in goals]
        among = [n for n in self.compared() if all(name in n.metrics for name in names)]
        if not among:
            return []
        wanted = Objectives(tuple(goals))
        losses = [wanted.losses(network.metrics) for network in among]
        kept = [
            (loss, network)
            for loss, network, rank in zip(losses, among, pareto.ranks(losses), strict=True)
            if rank == 0
        ]
        return [network for _, network in sorted(kept, key=lambda pair: (pair[0], pair[1].number))]

    def ranked(self) -> list[Network]:
        """Every network once, with its longest training, best first; longer trainings before shorter."""
        longest: dict[str, Network] = {}
        for network in self.networks:
            known = longest.setdefault(_key(network.choices), network)
            if network.length > known.length:
                longest[_key(network.choices)] = network
        among = list(longest.values())
        if not among:
            return []
        orders = pareto.order([n.losses for n in among], [n.violation for n in among])
        places = zip(orders, among, strict=True)
        return [n for _, n in sorted(places, key=lambda pair: (-pair[1].length, pair[0], pair[1].number))]


def course(
    trials: Iterable[Mapping[str, Any]], objectives: Objectives
) -> list[tuple[Mapping[str, Any], Standing]]:
    """Each trial, by number, with how the networks stand after it."""
    groups: dict[tuple[str, int | None], list[Mapping[str, Any]]] = {}
    found: dict[tuple[str, int | None], Network] = {}
    steps = []
    for trial in sorted(trials, key=lambda trial: int(trial["number"])):
        metrics = trial["metrics"]
        if metrics is not None and objectives.problem(metrics) is None:
            key = _key(trial["choices"]), trial.get("epochs")
            groups.setdefault(key, []).append(trial)
            found[key] = _together(groups[key], objectives)
        steps.append((trial, Standing(objectives, tuple(found.values()))))
    return steps


def _together(trials: Sequence[Mapping[str, Any]], objectives: Objectives) -> Network:
    every = [trial["metrics"] for trial in trials]
    shared = [name for name in every[0] if all(name in metrics for metrics in every)]
    metrics = {name: sum(one[name] for one in every) / len(every) for name in shared}
    return Network(
        numbers=tuple(trial["number"] for trial in trials),
        choices=trials[0]["choices"],
        epochs=trials[0].get("epochs"),
        metrics=metrics,
        losses=objectives.losses(metrics),
        violation=objectives.violation(metrics),
    )


def _key(choices: Mapping[str, Any]) -> str:
    return json.dumps(choices)
