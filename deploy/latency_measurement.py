"""Latency of networks that have their weights, on a target: batch 1, one thread by default."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from deploy.targets import DEFAULT, connect
from deploy.targets.conversion import convert
from deploy.targets.session import MAX_RUNS, Latency

ROUNDS = 2  # runs of each of several networks, times those of one alone


def measure_module(
    model: nn.Module,
    resolution: int,
    *,
    input_channels: int = 3,
    threads: int = 1,
    target: str = DEFAULT,
) -> Latency:
    """Measure the latency of a PyTorch network for square images.

    Args:
        model: maps ``(N, input_channels, r, r)`` to logits; it is not changed.
        resolution: side r, pixels.
        input_channels: channels of the input.
        threads: threads inside one operator.
        target: as for :func:`deploy.targets.parse`.

    Raises:
        UserError: no such target, or something is missing for it.
        ModelError: the network cannot be converted, or the runtime cannot run it.
    """
    session = connect(target)
    converted = convert(session.target, model, resolution, input_channels=input_channels)
    (latency,) = session.measure([converted], threads=threads)
    return latency


def measure_in_turns(
    networks: Sequence[tuple[nn.Module, int]], *, target: str = DEFAULT
) -> list[Latency]:
    """Measure the latency of several networks in turns, so that their ratios hold.

    Args:
        networks: each with the side of its square RGB input, pixels.
        target: as for :func:`deploy.targets.parse`.

    Raises:
        UserError: no such target, or something is missing for it.
        ModelError: a network cannot be converted, or the runtime cannot run it.
    """
    if not networks:
        return []
    session = connect(target)
    models = [convert(session.target, network, side) for network, side in networks]
    return session.measure(models, most=ROUNDS * MAX_RUNS)
