"""Quantisation-aware training of a finished student, from the same teacher outputs."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import StudentConfig
from core.errors import UserError
from distill.student_metrics import read_whole_metrics
from minnow.data_set import open_data
from minnow.listener import Listener
from minnow.run_directory import student_config
from minnow.second_training import claim
from minnow.student_run import Training
from minnow.teacher import student_teacher
from nas.architecture import Architecture
from nas.networks import Network
from training.balance import log_priors, subtract_from_bias
from training.bundle import Bundle, load_bundle
from training.data.images import ImageSet
from training.preprocess import Normalization
from training.processes import ALONE, current

QAT_FOLDER = "qat"  # of a run directory
_SHARE = 1 / 8  # of the student's epochs
_RATE = 1 / 10  # of its learning rate: it is to stay the same student
_LEAST = 3  # epochs


@dataclass(frozen=True)
class StudentWeights:
    """The weights of a finished student, to train on.

    Attributes:
        network: the student.
        normalization: of its input.
        origin: of the base that it was cut out of, if there is one.
    """

    network: Network
    normalization: Normalization
    origin: str | None

    @classmethod
    def of(cls, bundle: Bundle, data: ImageSet) -> StudentWeights:
        """Return those of a student, without its post-hoc adjustment to the classes' shares."""
        assert isinstance(bundle.model, Network)
        balance = bundle.metrics["balance"]
        if balance["mode"] == "post-hoc":
            subtract_from_bias(bundle.model, -balance["tau"] * log_priors(data))
        return cls(bundle.model, bundle.normalization, bundle.metrics["inherited"])

    @property
    def digest(self) -> str:
        """Hexadecimal hash of the weights."""
        digest = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def subnet(self, architecture: Architecture) -> Network:
        """Return a copy of the student."""
        return copy.deepcopy(self.network)


def run_qat(source: Path, *, resume: bool = False, listener: Listener) -> dict[str, Any]:
    """Train a finished student on with fake quantisation, and leave ``qat`` beside it.

    Its settings are the student's, but for an eighth of the epochs and a tenth of the learning rate. What
    is kept is in float, as any student is, for any int8 target to quantise.

    Args:
        source: directory of the student: that of a run, or its refit.
        resume: continue from its checkpoint.
        listener: receives progress, decisions and warnings.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: there is no student, or it was trained so already; several processes were launched.
    """
    folder = source.parent / QAT_FOLDER
    if current() is not ALONE:
        raise UserError("qat trains in one process: launch one")
    with contextlib.ExitStack() as held:
        claim(source, folder, resume, held)
        earlier, bundle = read_whole_metrics(source), load_bundle(source)
        config = _settings(student_config(source), earlier)
        data = open_data(config.data, listener)
        teacher, data = student_teacher(config, data, listener)
        if (which := earlier.get("refit")) is not None:
            data = data.refit(which)
            teacher, _ = student_teacher(config, data, listener)
        weights = StudentWeights.of(bundle, data)
        listener.note(
            f"training {source} on with fake quantisation, for {config.train.epochs} epochs at a "
            f"learning rate of {config.train.peak_rate:.2g}"
        )
        training = Training(bundle.architecture, config, data, teacher, weights, ALONE, listener)
        metrics = training.run(folder, "for int8", earlier=None if which is None else earlier, qat=True)
    if which is None:
        before, after = metrics["qat"]["val_f1_before"], metrics["qat"]["val_f1"]
        listener.note(f"with fake quantisation, validation F1 is {after:.3f}; it was {before:.3f} before")
    return metrics


def _settings(config: StudentConfig, metrics: dict[str, Any]) -> StudentConfig:
    """Return the settings of a student as quantisation-aware training takes them."""
    changes = {
        "epochs": max(_LEAST, round(_SHARE * metrics["epoch"])),
        "learning_rate": _RATE * config.train.peak_rate,
        "views": config.train.view_count,  # whose outputs of the teacher are cached
        "precision": "float32",
        "compile": False,
        "patience": 0,
    }
    tau = config.balance.tau
    if config.balance.mode == "post-hoc":
        tau = metrics["balance"]["tau"] if metrics.get("refit") else None
    return config.model_copy(
        update={
            "train": config.train.model_copy(update=changes),
            "balance": config.balance.model_copy(update={"tau": tau}),
            "budget": None,
        }
    )
