"""The final training of a network, with a teacher or alone, from its settings to a trained student."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

import nas.executors
from core.config import BalanceConfig, StudentConfig
from core.errors import UserError
from core.locks import locked
from core.output_path import check_folder
from deploy.device.link import ModelError
from deploy.latency_measurement import measure_in_turns
from deploy.targets import profile_of
from distill.seeds import (
    SEEDS_FOLDER,
    check_same_training,
    finished_students,
    has_unfinished_seeds,
    keep_best_seed,
    recorded_seeds,
    seed_path,
)
from distill.student_bundle import networks_in_turn
from distill.student_loss import StudentLoss
from distill.student_training import CHECKPOINT, training_identity
from minnow import run_creation
from minnow.base_network import inherits, student_base
from minnow.data_set import open_data
from minnow.listener import Listener
from minnow.predicted_latency import note_predictions, predicted_latencies
from minnow.report.run_page import leave_report
from minnow.run_directory import ChosenNetwork
from minnow.starting_weights import inheritance_hint, student_weights
from minnow.student_length import LENGTH_FILE, begun_length, fitting_length
from minnow.student_work import SeedsWork, StudentParts, trained_on
from minnow.teacher import (
    check_balance,
    check_unlabelled,
    fine_tuned_teachers,
    student_teacher,
    weaker_teacher,
)
from nas.architecture import Architecture
from nas.cost import cost
from nas.executors import HERE, Placement
from nas.layers import CLASSIFIERS
from nas.networks import build
from teachers.finetune import Teacher
from training.budget import resolve_student
from training.bundle_files import STUDENT_FOLDER, WEIGHTS_FILE
from training.data.images import ImageSet
from training.optimizer import make_optimizer
from training.predictions import PREDICTIONS, renamed_in_csv
from training.processes import Processes, current


@dataclass(frozen=True)
class Training(StudentParts):
    """Everything that the students of all seeds share where this process trains them.

    Attributes:
        processes: that train together.
        listener: receives progress and warnings.
    """

    processes: Processes
    listener: Listener

    def run(self, folder: Path, name: str, *, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Train one student, as :func:`distill.student_training.train_student`.

        Args:
            folder: of its bundle.
            name: of the training, see :meth:`minnow.listener.Listener.training`.
            earlier: metrics of the student before a refit.
        """
        return self.trained(
            self.config,
            folder,
            earlier=earlier,
            latency=self._latencies,
            warn=self.listener.warn,
            report=partial(self.listener.training, name),
            processes=self.processes,
        )

    def elsewhere(self, run: Path) -> SeedsWork:
        """Return the trainings of several seeds for an executor; latencies are measured now."""
        student = build(self.architecture, self.data.num_classes).eval()
        latencies = self._latencies(networks_in_turn(student, self.architecture, self.teacher))
        return SeedsWork(
            self.architecture, self.config, self.data, self.teacher, self.weights, run, latencies
        )

    def _latencies(self, networks: Sequence[tuple[nn.Module, int]]) -> list[dict[str, Any]]:
        """Return ``latency_ms`` of each network; nothing of any where the target cannot run one.

        The first is the student, the others are its teachers. A profile predicts them.
        """
        if (profile := profile_of(self.config.target)) is not None:
            return predicted_latencies(profile, self.architecture, networks[1:], self.data.num_classes)
        try:
            latencies = measure_in_turns(networks, target=self.config.target)
        except ModelError as error:
            self.listener.warn(f"no latency on {self.config.target}: {error}")
            return [{} for _ in networks]
        return [latency.to_dict() for latency in latencies]


def run_student(
    chosen: ChosenNetwork,
    config: StudentConfig,
    run: Path,
    *,
    resume: bool = False,
    seeds: int = 1,
    placement: Placement = HERE,
    listener: Listener,
) -> dict[str, Any]:
    """Train a network and leave ``run/student``.

    Where several processes were launched, all of them call this function; the main one alone writes.

    Args:
        chosen: network to train.
        config: data, teacher, loss, recipe, seed.
        run: run directory.
        resume: continue from its checkpoint, with the seeds that are not finished.
        seeds: number of students, with seeds from ``config.seed`` on; the best on validation is kept.
        placement: where they are trained, if they are several.
        listener: receives progress, decisions and warnings.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: a student is there already, or a setting is wrong.
    """
    if seeds < 1:
        raise UserError(f"seeds is at least 1, got {seeds}")
    begun, wanted = time.monotonic(), range(config.seed, config.seed + seeds)
    processes = current()
    with contextlib.ExitStack() as held:
        held.enter_context(run_creation.unclaimed_on_error(run))
        own = not resume and run != chosen.run
        run = processes.on_main(lambda: _checked_place(run, wanted, resume, own))
        if seeds > 1:
            processes.on_main(lambda: nas.executors.check(placement.executor))
        config = _checked(chosen.architecture, config, listener)
        data = processes.main_first(lambda: open_data(config.data, listener))
        note_predictions(
            config.target,
            None,
            chosen.architecture.base,
            [chosen.architecture.resolution],
            data.num_classes,
            listener,
        )  # a profile that is missing is found before the work
        if chosen.classes not in (None, data.num_classes):
            listener.note(
                f"the model file's last layer is for {chosen.classes} classes; "
                f"here it gets the {data.num_classes} of the data"
            )
        folder = run / (STUDENT_FOLDER if seeds == 1 else SEEDS_FOLDER)
        before = processes.on_main(lambda: _claimed(folder, held))
        undo_errors = processes.main and not resume
        with run_creation.undone_on_error(folder, before) if undo_errors else contextlib.nullcontext():
            timed = config.budget is not None and config.train.epochs is None
            if not timed:
                config = _resolved(config, chosen, data)
            listener.started(STUDENT_FOLDER, run, config)
            tuned = processes.main_first(
                lambda: fine_tuned_teachers(config.teacher, data.labelled, config.augment, listener)
            )
            base = processes.main_first(
                lambda: student_base(chosen, config, tuned, data.labelled, listener)
            )
            if timed:
                left = (config.budget or 0.0) - (time.monotonic() - begun)
                config = processes.on_main(
                    lambda: _of_fitting_length(
                        config,
                        chosen,
                        data,
                        tuned,
                        left,
                        folder,
                        seeds=seeds,
                        resume=resume,
                        listener=listener,
                    )
                )
                config = _resolved(config, chosen, data)
                listener.started(STUDENT_FOLDER, run, config)
            teacher, data = processes.main_first(lambda: student_teacher(config, data, listener, tuned))
        weights = processes.on_main(
            lambda: student_weights(chosen, config, base, data, folder, resume=resume, listener=listener)
        )
        training = Training(chosen.architecture, config, data, teacher, weights, processes, listener)
        if seeds == 1:
            metrics = training.run(run / STUDENT_FOLDER, STUDENT_FOLDER)
            processes.on_main(lambda: (folder / LENGTH_FILE).unlink(missing_ok=True))
        else:
            _train_seeds(training, run, wanted, placement)
            metrics = processes.on_main(lambda: keep_best_seed(run))
        processes.on_main(lambda: leave_report(run, listener, chosen.storage))
        listener.student_finished(STUDENT_FOLDER, run / STUDENT_FOLDER)
    _comment(training, metrics)
    return metrics


def _checked(architecture: Architecture, config: StudentConfig, listener: Listener) -> StudentConfig:
    """Return the settings that fit the network.

    Raises:
        UserError: a setting is wrong whatever the data; found before a teacher is fine-tuned.
    """
    check_balance(config)
    check_unlabelled(config)
    StudentLoss(config.loss)  # a wrong name is wrong without a teacher, too
    make_optimizer(nn.Linear(1, 1), config.train)
    head = next(layer for layer in architecture.layers if isinstance(layer, CLASSIFIERS))
    activation = getattr(head, "activation", None)
    if config.balance.mode not in (None, "post-hoc") or activation is None:
        return config
    listener.warn(
        f"balance.mode post-hoc changes the biases of the logits, but this network ends in {activation}: "
        "left out; choose logit-adjust, or null as the last layer's activation"
    )
    return config.model_copy(update={"balance": BalanceConfig(mode="none")})


def _resolved(config: StudentConfig, chosen: ChosenNetwork, data: ImageSet) -> StudentConfig:
    """Return the settings with all that is decided from the data and the network."""
    macs = cost(chosen.architecture, data.num_classes).macs
    return resolve_student(config, len(data.learned), inherits=inherits(chosen, config), macs=macs)


def _of_fitting_length(
    config: StudentConfig,
    chosen: ChosenNetwork,
    data: ImageSet,
    teachers: Sequence[Teacher],
    seconds: float,
    folder: Path,
    *,
    seeds: int,
    resume: bool,
    listener: Listener,
) -> StudentConfig:
    """Return the settings with the epochs that fit in a time, or those of the training that began."""
    epochs = begun_length(folder) if resume else None
    if epochs is None:
        epochs = fitting_length(
            config,
            chosen.architecture,
            data,
            teachers,
            seconds,
            folder,
            usual=_resolved(config, chosen, data).train.epochs or 1,
            seeds=seeds,
            listener=listener,
        )
    return config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})


def _train_seeds(training: Training, run: Path, wanted: Sequence[int], placement: Placement) -> None:
    """Train the students that are not finished.

    Raises:
        UserError: a training failed.
    """
    finished = finished_students(run)
    for seed, folder in finished.items():
        seeded = training.config.model_copy(update={"seed": seed})
        identity = training_identity(
            training.architecture, training.data, seeded, training.teacher, training.weights
        )
        check_same_training(folder, identity)
    if not placement.here:
        left = [seed for seed in wanted if seed not in finished]
        work = training.elsewhere(run)
        for _ in trained_on(placement, work, work.proposals(left), training.listener, what="seed"):
            pass
        return
    for turn, seed in enumerate(wanted, start=1):
        name = f"seed {seed} ({turn} of {len(wanted)})"
        if seed in finished:
            training.listener.note(f"{name} is finished")
            continue
        seeded = training.config.model_copy(update={"seed": seed})
        replace(training, config=seeded).run(seed_path(run, seed), f"{STUDENT_FOLDER} {name}")


def _comment(training: Training, metrics: dict[str, Any]) -> None:
    """Warn of a weak teacher and of names that the table changes; hint at inherited weights."""
    config, teacher, listener = training.config, training.teacher, training.listener
    if teacher is not None:
        images = len(training.data.splits["val"])
        weak = weaker_teacher(teacher.val.f1, metrics["val"]["f1"], images, "the student")
        if weak is not None:
            listener.warn(weak)
    renamed = renamed_in_csv(training.data, training.data.splits["test"])
    if renamed is not None:
        listener.warn(f"in {PREDICTIONS}, {renamed}")
    if (hint := inheritance_hint(config, teacher, metrics)) is not None:
        listener.note(hint)


def _claimed(folder: Path, held: contextlib.ExitStack) -> run_creation.Before:
    """Make and lock the directory; return what there was before."""
    before = run_creation.make_run(folder)
    held.enter_context(locked(folder))
    return before


def _checked_place(run: Path, wanted: Sequence[int], resume: bool, own: bool) -> Path:
    """Return the run directory if it can take these students.

    Args:
        run: the directory.
        wanted: seeds.
        resume: whether a training there is resumed.
        own: whether the directory is for these students alone.

    Raises:
        UserError: it holds a student, or an interrupted training that these settings do not resume.
    """
    run_creation.check_out(run)
    if own:
        check_folder(run)
    student = run / STUDENT_FOLDER
    if (student / WEIGHTS_FILE).exists():
        (student / CHECKPOINT).unlink(missing_ok=True)  # left by a kill right after the save
        if not resume:
            raise UserError(f"{student} exists already; choose another run directory")
        if len(wanted) == 1 or set(wanted) <= set(recorded_seeds(run)):
            raise UserError(f"{student} is finished; train another one in another run directory")
        return run
    if len(wanted) == 1 and has_unfinished_seeds(run):
        raise UserError(
            f"{run / SEEDS_FOLDER} holds a training of several seeds; resume it with as many seeds as "
            "before, or choose another run directory"
        )
    if len(wanted) > 1 and student.exists():
        raise UserError(
            f"{student} holds an interrupted training of one seed; resume it first with one seed, "
            "or choose another run directory"
        )
    if not resume and ((student / CHECKPOINT).exists() or has_unfinished_seeds(run)):
        folder = student if (student / CHECKPOINT).exists() else run / SEEDS_FOLDER
        raise UserError(
            f"{folder} holds an interrupted training; resume it, or choose another run directory"
        )
    return run
