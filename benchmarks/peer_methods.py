"""The methods of benchmarks/peers_pruning.py by name; each returns a trained network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from contest import Contender, Contest, NoNetworkError, require
from fastnas_pruning import fastnas
from given_network import Input, train_given
from optuna_script import optuna_search
from peers_table import MINNOW
from pruned_teacher import PruningPlan, distil_pruned, input_of

import minnow
from deploy.latency_measurement import measure_in_turns
from minnow.progress import ConsoleListener
from teachers import find_pretrained
from teachers.timm_models import replace_head

_SIDES = range(32, 1025, 8)  # inputs of the teacher that are measured, pixels
_STAGES = 8  # of pruning, as in benchmarks/pruning.py


def minnow_search(contest: Contest, settings: Mapping[str, Any]) -> Contender:
    """Search in the space ``elastic`` and distil the choice, with the defaults.

    Args:
        contest: what all methods share.
        settings: of the search, beside the defaults.

    Raises:
        NoNetworkError: no network is within the limit.
    """
    listener, started = ConsoleListener(), time.perf_counter()
    run = minnow.search(
        data=contest.source.model_dump(exclude_defaults=True),
        space="elastic",
        teacher=contest.tuned.model_dump(),
        limits=[f"latency_ms<={contest.limit_ms}"],
        seed=contest.seed,
        out=contest.work / "run",
        listener=listener,
        **settings,
    )
    seconds = time.perf_counter() - started
    if run.best is None:
        raise NoNetworkError("no trial is within the limit")
    student = minnow.distill(run, epochs=contest.epochs, seed=contest.seed, listener=listener)
    sees = Input(student.bundle.architecture.resolution, student.bundle.normalization)
    facts = {"search_seconds": seconds, "trials": len(run.trials)}
    return Contender(student.bundle.model, sees, student.config, facts).adjusted


def lower_resolution(contest: Contest) -> Contender:
    """Fine-tune the teacher's network from its pretrained weights at the side that meets the limit."""
    pretrained = find_pretrained(contest.tuned.spec)
    torch.manual_seed(contest.seed)
    model = replace_head(pretrained.model, contest.data.num_classes)
    sees = Input(side_within(contest, model), pretrained.normalization)
    return _trained(contest, model, sees, taught=False)


def lower_resolution_distilled(contest: Contest) -> Contender:
    """Distil the fine-tuned teacher into itself at the side that meets the limit."""
    model = copy.deepcopy(contest.base.model).requires_grad_(True)
    sees = Input(side_within(contest, model), contest.base.normalization)
    return _trained(contest, model, sees, taught=True)


def _trained(contest: Contest, model: torch.nn.Module, sees: Input, *, taught: bool) -> Contender:
    student = contest.student(taught=taught, inherits=True)
    torch.manual_seed(contest.seed)
    outputs = contest.teacher.outputs if taught else None
    fitted = train_given(model, sees, contest.data, student, outputs)
    return Contender(fitted.model.to("cpu"), sees, student)


def side_within(contest: Contest, model: torch.nn.Module) -> int:
    """Return the largest side, pixels, at which a network is within the limit: all are measured in turns.

    Raises:
        NoNetworkError: it is slower at every side.
    """
    sides = [side for side in _SIDES if side <= contest.base.resolution]
    latencies = measure_in_turns([(model, side) for side in sides])
    within = [
        side
        for side, latency in zip(sides, latencies, strict=True)
        if latency.median_ms <= contest.limit_ms
    ]
    if not within:
        raise NoNetworkError(f"still {latencies[0].median_ms:.2f} ms at {sides[0]} px")
    return max(within)


def torch_pruning(contest: Contest) -> Contender:
    """Prune the teacher with Torch-Pruning to the multiply-adds of Minnow's student, and distil it.

    Raises:
        NotInstalledError: Torch-Pruning is not there.
    """
    require("torch_pruning")
    student = contest.student(taught=True, inherits=True)
    stages = min(_STAGES, contest.epochs)
    plan = PruningPlan("local", contest.base.resolution, contest.needed["macs"], stages)
    fitted = distil_pruned(plan, contest.data, student, contest.teacher)
    return Contender(fitted.model.to("cpu"), input_of(plan, contest.teacher), student)


#: The other methods by name, the most informative first.
PEERS: Mapping[str, Callable[[Contest], Contender]] = {
    "resolution-distilled": lower_resolution_distilled,
    "resolution": lower_resolution,
    "torch-pruning": torch_pruning,
    "fastnas": fastnas,
    "optuna": optuna_search,
}
#: Those that need the teacher.
TAUGHT = (MINNOW, "resolution-distilled", "torch-pruning", "fastnas")
