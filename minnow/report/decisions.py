"""Common options of the best networks of a search, decision by decision."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHARE = 4  # the best: one network in so many
_MAX_OPTIONS = 7  # that are shown of a decision
_MIN_NETWORKS = 3  # that can have something in common

Options = Mapping[str, Any]  # decision name to option


@dataclass(frozen=True)
class OptionCount:
    """Numbers of networks with one option: among the best, and among all."""

    text: str
    best: int
    all: int
    chosen: bool


@dataclass(frozen=True)
class SharedOptions:
    """The options of the best networks.

    Attributes:
        best: number of the best networks.
        all: number of all networks.
        groups: name of a group of decisions (a stage), with its decisions and their options.
    """

    best: int
    all: int
    groups: list[tuple[str, list[tuple[str, list[OptionCount]]]]]


def shared_options(ranked: Sequence[Options], chosen: Options | None) -> SharedOptions | None:
    """Count each option among the best networks and among all; ``None`` for too few networks.

    Args:
        ranked: every network once, best first.
        chosen: the network that the search chose.
    """
    if len(ranked) <= _MIN_NETWORKS:
        return None
    best = ranked[: max(_MIN_NETWORKS, len(ranked) // _SHARE)]
    groups: dict[str, list[tuple[str, list[OptionCount]]]] = {}
    for name in ranked[0]:
        group = name.rpartition(".")[0]
        counts = _option_counts(name, ranked, best, chosen)
        groups.setdefault(group, []).append((name.removeprefix(f"{group}."), counts))
    return SharedOptions(len(best), len(ranked), list(groups.items()))


def _option_counts(
    name: str, ranked: Sequence[Options], best: Sequence[Options], chosen: Options | None
) -> list[OptionCount]:
    in_all, in_best = (
        Counter(json.dumps(options.get(name)) for options in networks) for networks in (ranked, best)
    )
    own = None if chosen is None else json.dumps(chosen.get(name))
    shown = list(in_all)
    if len(shown) > _MAX_OPTIONS:
        shown.sort(key=lambda option: (option != own, -in_best[option], -in_all[option]))
        shown = shown[: _MAX_OPTIONS - 1]
    shown.sort(key=lambda option: _order(json.loads(option)))
    counts = [
        OptionCount(_text(json.loads(option)), in_best[option], in_all[option], option == own)
        for option in shown
    ]
    if rest := [option for option in in_all if option not in shown]:
        best_sum, all_sum = (sum(counter[option] for option in rest) for counter in (in_best, in_all))
        counts.append(OptionCount(f"{len(rest)} others", best_sum, all_sum, chosen=False))
    return counts


def _order(option: Any) -> tuple[int, float, str]:
    number = isinstance(option, int | float)
    return (0, float(option), "") if number else (1, 0.0, str(option))


def _text(option: Any) -> str:
    if isinstance(option, bool):
        return "yes" if option else "no"
    return "none" if option is None else str(option)
