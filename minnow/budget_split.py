"""A budget of time, split over the stages of a search and the final training after it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.config import SearchConfig, TeacherConfig, TrainConfig
from deploy.architecture_latency import measure_architecture
from minnow.base_settings import base_fine_tuning
from minnow.evaluator_settings import trains
from minnow.format import counted, duration_text
from minnow.listener import Listener
from minnow.near_limits import seconds_to_measure
from nas.architecture import Architecture
from nas.cost import cost
from nas.networks import build
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from teachers import find_pretrained
from teachers.finetune import tuned_before
from teachers.linear_head import VIEWS
from teachers.spec import parse_spec, split_side
from training.budget import TEACHER, decided, supernet_limits, supernet_recipe
from training.data.images import ImageSet
from training.device import pick_device
from training.speed import OVERHEAD, inference_seconds, training_seconds

# Shares of the time. Most of it is the final training's: see docs/results.md, where the time goes.
_TEACHER = 0.35  # of the whole, at most
_SUPERNET, _TRIALS = 0.2, 0.2  # of the rest, at most
_TRAINED_TRIALS = 0.5  # of the rest, where every trial is a training

# Costs of a supernet's step, in steps of the whole network.
_SANDWICH = 1.6
_NEAR, _FIXED = 3, 0.05  # subnets near limits, and what each of them costs beside its MACs
_PARAMS_SHARE = 0.5  # of the MACs, where only params are limited


def split_budget(
    config: SearchConfig, space: SearchSpace, objectives: Objectives, data: ImageSet, listener: Listener
) -> SearchConfig:
    """Return the settings of a search with its budget split over the stages; what was given stays.

    The final training gets what is left in the end, and absorbs the errors of these estimates.

    Args:
        config: settings with the evaluator decided; without a budget, or of a search that began, they
            are returned as they are.
        space: search space.
        objectives: goals and limits.
        data: the images.
        listener: receives the plan.

    Raises:
        UserError: there is no such teacher, or not at this resolution.
    """
    if config.budget is None or config.study is not None:
        return config
    rest, planned = config.budget, []
    if config.teacher is not None:
        config, taken, text = _with_tuning(config, config.teacher, data, _TEACHER * rest)
        planned.append(f"teacher {text}")
        rest = max(0.0, rest - taken)
    if config.evaluator == "supernet" and isinstance(space, Elastic):
        near = config.supernet.sizes != "all"
        measuring = (
            seconds_to_measure(space, objectives, data.num_classes, config.target) if near else 0.0
        )
        rest = max(0.0, rest - measuring)
        whole = space.decode(space.largest)
        network = build(whole, data.num_classes)
        epoch = OVERHEAD * training_seconds(network, whole.resolution, pick_device())
        epoch *= len(data.learned) * _supernet_step(config, whole, data.num_classes)
        usual = supernet_recipe(config, len(data.learned)).epochs or 1
        epochs = config.supernet.epochs or _fitting(usual, epoch, _SUPERNET * rest)
        config = config.model_copy(
            update={"supernet": config.supernet.model_copy(update={"epochs": epochs})}
        )
        planned.append(f"supernet {_epochs_text(epochs, usual, measuring + epochs * epoch)}")
        rest = max(0.0, rest - epochs * epoch)
    share = _TRAINED_TRIALS if trains(config) else _TRIALS
    timeout = config.timeout or max(1.0, share * rest)
    planned += [
        f"trials {duration_text(timeout)} at most",
        f"final training {duration_text(rest - timeout)} and what is left",
    ]
    listener.note(f"plan for {duration_text(config.budget or 0)}: {'; '.join(planned)}")
    return config.model_copy(update={"timeout": timeout})


def _with_tuning(
    config: SearchConfig, teacher: TeacherConfig, data: ImageSet, seconds: float
) -> tuple[SearchConfig, float, str]:
    """Return the settings with a length for what is fine-tuned, its seconds, and the plan in words.

    Teachers share their length, and a base beside them gets the same. What is in the cache takes no time.

    Args:
        config: of the search.
        teacher: its teachers.
        data: the images.
        seconds: for all of it, at most.
    """
    specs = [spec for spec, _ in parse_spec(teacher.spec)]
    jobs = {"teacher": [teacher.model_copy(update={"spec": spec}) for spec in specs]}
    if config.base is not None and config.base.spec not in specs:  # else it is tuned as a teacher
        jobs["base"] = [base_fine_tuning(config.base, teacher)]
    jobs = {part: tuned for part, tuned in jobs.items() if not _all_tuned(config, tuned, data)}
    if not jobs:
        return config, 0.0, "from the cache"
    taken, epoch = 0.0, 0.0
    open_parts, lengths = set(), set()
    for part, tuned in jobs.items():
        for job in tuned:
            once, each = _tuning(job, data)
            taken += once + (job.epochs or 0) * each
            if each and job.epochs is None:
                epoch += each
                open_parts.add(part)
            elif each:
                lengths.add(job.epochs)
    usual = decided(TrainConfig(), len(data.splits["train"]), TEACHER).epochs or 1
    if not open_parts:
        given = len(lengths) == 1 and next(iter(lengths))
        return config, taken, _epochs_text(given, given, taken) if given else duration_text(taken)
    epochs = _fitting(usual, epoch, seconds - taken)
    for near in (epochs + 1, epochs, epochs - 1):  # timed a little differently, in an earlier run
        tuned = [job.model_copy(update={"epochs": near}) for part in open_parts for job in jobs[part]]
        if 0 < near <= usual and _all_tuned(config, tuned, data):
            epochs, epoch = near, 0.0
            break
    taken += epochs * epoch
    length = {"epochs": epochs}
    if "teacher" in open_parts:
        config = config.model_copy(update={"teacher": teacher.model_copy(update=length)})
    if "base" in open_parts and config.base is not None:
        config = config.model_copy(update={"base": config.base.model_copy(update=length)})
    return config, taken, _epochs_text(epochs, usual, taken)


def _all_tuned(config: SearchConfig, tuned: Sequence[TeacherConfig], data: ImageSet) -> bool:
    return all(tuned_before(each, data.labelled, config.augment) for each in tuned)


def _epochs_text(epochs: int, usual: int, seconds: float) -> str:
    of = f"{epochs} of " if epochs < usual else ""
    return f"{duration_text(seconds)} ({of}{counted(max(epochs, usual), 'epoch')})"


def _fitting(usual: int, epoch: float, seconds: float) -> int:
    """Return the usual number of epochs, or as many as fit in a time, one at least."""
    return max(1, min(usual, math.floor(seconds / epoch)))


def _tuning(config: TeacherConfig, data: ImageSet) -> tuple[float, float]:
    """Return the seconds of a teacher's fine-tuning: those it takes once, and those of each epoch."""
    name, side = split_side(config.spec)
    pretrained = find_pretrained(name)
    if pretrained.classes is not None:  # it is trained already
        return 0.0, 0.0
    resolution = side or config.resolution or pretrained.default_resolution(data.size)
    pretrained.take_resolution(resolution)
    images, device = len(data.splits["train"]), pick_device()
    if config.tune == "head" or (config.tune is None and pretrained.head_alone()):
        return OVERHEAD * VIEWS * images * inference_seconds(pretrained.model, resolution, device), 0.0
    return 0.0, OVERHEAD * images * training_seconds(pretrained.model, resolution, device)


def _supernet_step(config: SearchConfig, whole: Architecture, num_classes: int) -> float:
    """Return what a step of the supernet costs, in steps of the whole network."""
    limits = supernet_limits(config)
    if not limits:
        return _SANDWICH
    shares = [_PARAMS_SHARE]
    for limit in limits:
        if limit.metric == "latency_ms":
            latency = measure_architecture(whole, num_classes, target=config.target)
            shares.append(limit.value / latency.upper_ms)
        elif limit.metric == "macs":
            shares.append(limit.value / cost(whole, num_classes).macs)
    return min(_SANDWICH, _NEAR * (min(shares) + _FIXED))
