"""What the good networks of a search have in common, decision by decision."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from minnow.report.html import text
from minnow.report.standing import Network

_SHARE = 4  # the best: one network in so many
_MOST = 7  # options that are shown of a decision
_LEAST = 3  # networks, before they can have something in common


def common(ranked: Sequence[Network], chosen: Network | None) -> list[str]:
    """Per decision, its options: how many of the best networks have each, and how many of all.

    Args:
        ranked: every network once, best first.
        chosen: by the search.
    """
    if len(ranked) <= _LEAST:
        return []
    best = ranked[: max(_LEAST, len(ranked) // _SHARE)]
    parts = [
        "<h2>What the best networks share</h2>",
        f"<p>Per option: how many of the best {len(best)} networks have it, and of all {len(ranked)}; "
        "the darker, the more of the best. What is frequent in both may only have been tried more often; "
        "what a network leaves unused counts as its first option. Frames mark the chosen network.</p>",
    ]
    groups: dict[str, list[str]] = {}
    for name in ranked[0].choices:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    for group, names in groups.items():
        shown = "".join(_decision(name, group, ranked, best, chosen) for name in names)
        head = f"<h3>{text(group)}</h3>" if group else ""
        parts.append(f'{head}<div class="stage">{shown}</div>')
    return parts


def _decision(
    name: str, group: str, ranked: Sequence[Network], best: Sequence[Network], chosen: Network | None
) -> str:
    every, good = _counts(name, ranked), _counts(name, best)
    own = None if chosen is None else _key(chosen.choices, name)
    shown = list(every)
    if len(shown) > _MOST:
        shown = sorted(shown, key=lambda option: (option != own, -good[option], -every[option]))
        shown = shown[: _MOST - 1]
    lines = []
    for option in sorted(shown, key=lambda option: _order(json.loads(option))):
        label, frame = _plain(json.loads(option)), " chosen" if option == own else ""
        lines.append(_option(label, good[option], every[option], len(best), frame))
    if len(shown) < len(every):
        left, rest = ([counts[o] for o in every if o not in shown] for counts in (good, every))
        lines.append(_option(f"{len(rest)} others", sum(left), sum(rest), len(best), ""))
    title = name.removeprefix(f"{group}.")
    return f'<div class="decision"><b>{text(title)}</b>{"".join(lines)}</div>'


def _option(name: str, good: int, every: int, best: int, kind: str) -> str:
    return (
        f'<div class="option{kind}" style="background:rgba(31,119,180,{0.55 * good / best:.2f})">'
        f"<span>{text(name)}</span><span>{good} / {every}</span></div>"
    )


def _counts(name: str, networks: Sequence[Network]) -> Counter[str]:
    return Counter(_key(network.choices, name) for network in networks)


def _key(choices: Mapping[str, Any], name: str) -> str:
    return json.dumps(choices.get(name))


def _order(option: Any) -> tuple[int, float, str]:
    number = isinstance(option, int | float)
    return (0, float(option), "") if number else (1, 0.0, str(option))


def _plain(option: Any) -> str:
    if isinstance(option, bool):
        return "yes" if option else "no"
    return "none" if option is None else str(option)
