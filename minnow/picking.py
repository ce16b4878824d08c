"""The network to train: a model file, or a trial of a search and how it is picked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import SearchConfig
from core.config_io import read_config
from core.errors import UserError
from minnow.runs import ARCHITECTURE, CONFIG, SUMMARY, Summary, architecture_path, read_summary
from nas.architecture import Architecture
from nas.model_file import read_model
from nas.objectives import Objectives
from nas.selection import pick
from nas.trial import Proposal, Trial

BEST = "best"  # what is picked where nobody said
_CHANNELS = 3  # of the images, which are read as RGB
_USUAL_SIDE = 224  # to read a file with that leaves the resolution to the images


@dataclass(frozen=True)
class Student:
    """The network to train.

    Attributes:
        architecture: the network.
        name: what to call it.
        run: the search it comes from, or ``None`` for a model file.
        search: that search's settings.
        file: the model file it comes from, where that is not part of a run.
        classes: the width of the classifier in the file, or of a trained student, if it is known.
        sized: whether the resolution is decided; a model file may leave it to the images.
    """

    architecture: Architecture
    name: str
    run: Path | None
    search: SearchConfig | None
    file: Path | None = None
    classes: int | None = None
    sized: bool = True

    def at(self, side: int | None) -> Student:
        """The same at ``side`` pixels, where its file leaves that open.

        Raises:
            UserError: it does, and ``side`` is not known either.
        """
        if self.sized or self.file is None:
            return self
        if side is None:
            raise UserError(
                f"{self.file} says no resolution: give --image-size, which is then the side of the "
                "images and the network's input, or write 'resolution: 96' into the file"
            )
        return replace(self, architecture=Architecture.from_yaml(self.file, resolution=side), sized=True)


def find_student(given: str, which: str) -> Student:
    """The network that ``given`` and ``which`` name.

    Args:
        given: a model YAML, or the directory of a search.
        which: a trial number or what :func:`nas.selection.pick` takes, within a search.

    Raises:
        UserError: nothing there, no such trial, or a network for other images than RGB.
    """
    path = Path(given)
    searched = (path / CONFIG).exists() and (path / SUMMARY).exists()
    if which != BEST and path.exists() and not searched:
        raise UserError(f"--pick {which} chooses among the trials of a search, and {given} is none")
    if path.is_file():
        model = read_model(path, default_resolution=_USUAL_SIDE)
        channels = model.input_channels
        if channels != _CHANNELS:
            raise UserError(
                f"{path}: 'input_channel' is {channels}: images are read as RGB, "
                f"so it must be {_CHANNELS}"
            )
        return Student(
            Architecture.from_model_file(model),
            path.stem,
            None,
            None,
            path,
            model.classes,
            model.states_resolution,
        )
    if not path.is_dir():
        raise UserError(f"{given} does not exist; give a run directory or a model YAML")
    if searched:
        config = read_config(SearchConfig, path / CONFIG)
        number = _picked(path, which, Objectives.parse(config.objectives, config.limits))
        architecture = Architecture.from_yaml(architecture_path(path, number))
        return Student(architecture, f"trial {number} of {path}", path, config)
    for place in (path, path / "student"):
        if (place / ARCHITECTURE).exists():
            model = read_model(place / ARCHITECTURE)
            return Student(
                Architecture.from_model_file(model), str(path), None, None, classes=model.classes
            )
    raise UserError(f"{given} holds no {ARCHITECTURE}: not a finished search and not a model")


def _picked(run: Path, text: str, objectives: Objectives) -> int:
    summary = read_summary(run)
    known = {trial["number"]: trial for trial in summary.trials}
    if text in (BEST, "knee"):
        number = summary.best if text == BEST else summary.knee
        if number is None:
            raise UserError(
                f"no trial of {run} meets the limits; search on with --resume and more --trials"
            )
        return number
    if not (text.isascii() and text.isdecimal()):
        return pick(read_trials(run, summary), objectives, text, str(run)).number
    if int(text) not in known:
        raise UserError(f"--pick {text}: {run} has the trials 0 to {max(known, default=0)}")
    return int(text)


def read_trials(run: Path, summary: Summary) -> list[Trial]:
    """The trials of a summary, without their choices and seeds.

    Raises:
        UserError: a model file is missing or damaged.
    """
    networks: dict[str, Architecture] = {}
    found = []
    for trial in summary.trials:
        point = json.dumps(trial["choices"])
        if point not in networks:
            networks[point] = Architecture.from_yaml(architecture_path(run, trial["number"]))
        proposal = Proposal(
            number=trial["number"],
            choices=(),
            architecture=networks[point],
            seed=0,
            epochs=trial.get("epochs"),
            parent=trial.get("parent"),
        )
        found.append(Trial(proposal, trial["metrics"], trial["error"]))
    return found
