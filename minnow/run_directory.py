"""Run directories: the search and the student that they hold, and the network to train."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import SearchConfig, StudentConfig
from core.config_io import parse_config, read_config, read_settings
from core.errors import UserError
from core.files import write_text
from core.reading import read_json
from minnow.permission import storage_to_read
from nas.architecture import Architecture
from nas.model_file import read_model
from nas.objectives import Objectives
from nas.selection import BEST, StudyResults
from nas.study import StudyRecord, open_study
from nas.trial import Trial
from training.bundle_files import ARCHITECTURE_FILE, CONFIG_FILE, STUDENT_FOLDER, WEIGHTS_FILE
from training.checksums import check_unchanged

if TYPE_CHECKING:
    import plotly.graph_objects as go

JOURNAL = "study.journal"
SUMMARY = "summary.json"
PREDICTED = "latency_ms"  # the fact of a study that tells what its latencies are predicted from

_CHANNELS = 3  # of the images, which are read as RGB
_USUAL_SIDE = 224  # pixels, to read a model file that leaves the resolution to the images


class Run(StudyResults):
    """The search in a run directory, read from its settings and its study.

    Args:
        path: the run directory.
        storage: URL of the study, where the run keeps it in another database than a SQLite file;
            ``None``: the one in ``$MINNOW_STORAGE``.

    Raises:
        UserError: it holds no search, or its settings are damaged.
    """

    def __init__(self, path: str | Path, storage: str | None = None) -> None:
        self.path = Path(path)
        self.storage = storage
        if not (self.path / CONFIG_FILE).exists():
            raise UserError(f"{path} is not the directory of a search: it holds no {CONFIG_FILE}")
        self.config = read_config(SearchConfig, self.path / CONFIG_FILE)
        self.objectives = Objectives.parse(self.config.objectives, self.config.limits)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        from minnow.report.notebook import run_html

        return run_html(self)

    @cached_property
    def study(self) -> StudyRecord:
        """The content of the study; read once. It is empty before the search has created the study.

        Raises:
            UserError: the study is missing, damaged or cut short, or in a storage that nobody named.
        """
        url, empty = self.config.storage, StudyRecord([], [], {}, {}, {})
        if self.config.study is None:  # its teacher is being fine-tuned
            return empty
        if url is not None:
            url = storage_to_read(url, self.storage, self.path / CONFIG_FILE)
        elif not (self.path / JOURNAL).exists():
            return empty
        reported = reported_trials(self.path)  # before the study, which another process may be writing
        study = open_study(self.path / JOURNAL, url, self.config.study)
        check_complete(self.path, reported, study)
        return study

    @property
    def trials(self) -> list[Trial]:
        """Finished trials, by number."""
        return self.study.trials

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the data."""
        return tuple(self.study.facts.get("classes", ()))

    @property
    def latency_source(self) -> str | None:
        """The origin of latencies that are predicted; ``None``: they are measured."""
        source = self.study.facts.get(PREDICTED)
        return None if source is None else str(source)

    def options(self, trial: Trial) -> Mapping[str, Any]:
        """Return the options of a trial by decision name."""
        return self.study.options[trial.number]

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def student(self) -> Path | None:
        """The directory of the trained student, if there is one."""
        folder = self.path / STUDENT_FOLDER
        return folder if (folder / WEIGHTS_FILE).is_file() else None

    def plot_front(self) -> go.Figure:
        """Return a plotly figure of the trials and their Pareto front."""
        from minnow.report.plots import front_figure

        return front_figure(self)

    def has_ended(self, config: SearchConfig) -> bool:
        """Tell if the search ended by itself, and ``config`` asks for no more of it."""
        try:
            had = dict(read_json(self.path / SUMMARY, "summary")["ended"])
            return int(had.pop("trials")) >= config.trials and _searched_for(config) == had
        except (UserError, LookupError, TypeError, ValueError):
            return False

    def export(self, *, ended: bool) -> None:
        """Write ``summary.json`` for other programs, and the model file of the chosen network.

        Args:
            ended: whether the search ended by itself, and not by an interruption.
        """
        if self.best is None:
            (self.path / ARCHITECTURE_FILE).unlink(missing_ok=True)
        else:
            self.best.architecture.to_yaml(self.path / ARCHITECTURE_FILE, num_classes=len(self.classes))
        content = {
            **self.study.facts,
            "ended": {"trials": self.config.trials, **_searched_for(self.config)} if ended else None,
            "best": None if self.best is None else self.best.number,
            "knee": None if self.knee is None else self.knee.number,
            "front": [trial.number for trial in self.front],
            "trials": [
                {
                    "number": trial.number,
                    "choices": dict(self.options(trial)),
                    "metrics": None if trial.metrics is None else dict(trial.metrics),
                    "error": trial.error,
                    "epochs": trial.proposal.epochs,
                    "parent": trial.proposal.parent,
                    "model": trial.architecture.to_content(num_classes=len(self.classes) or None),
                }
                for trial in self.trials
            ],
        }
        write_text(self.path / SUMMARY, json.dumps(content, indent=1) + "\n")


def _searched_for(config: SearchConfig) -> dict[str, Any]:
    """Return what decides, beside the trials, when a search ends and what it chooses, as JSON."""
    return config.model_dump(mode="json", include={"timeout", "objectives", "limits"})


def reported_trials(run: Path) -> frozenset[int]:
    """Return the numbers of the trials in ``summary.json``; none if it is missing or damaged."""
    try:
        content = read_json(run / SUMMARY, "summary")
        return frozenset(int(trial["number"]) for trial in content["trials"])
    except (UserError, LookupError, TypeError, ValueError):
        return frozenset()


def check_complete(run: Path, reported: Collection[int], study: StudyRecord) -> None:
    """Refuse a study that lacks trials of the run's summary.

    Args:
        run: the run directory.
        reported: numbers of the trials in its summary, read before the study.
        study: what its storage holds.

    Raises:
        UserError: names both numbers, and what to do.
    """
    lost = set(reported) - {trial.number for trial in study.trials}
    if lost:
        raise UserError(
            f"{run / SUMMARY} lists {len(reported)} trials, but the study holds {len(study.trials)} "
            f"(trial {min(lost)} is lost): restore the study from a copy, or delete {SUMMARY} to go on "
            "with what is left"
        )


def holds_search(path: Path) -> bool:
    """Tell if a directory holds the settings of a search."""
    return (path / CONFIG_FILE).is_file() and not (path / WEIGHTS_FILE).exists()


@dataclass(frozen=True)
class ChosenNetwork:
    """The network to train.

    Attributes:
        architecture: the network.
        name: how messages call it.
        run: the search that it comes from; ``None``: a model file, or a trained student.
        search: the settings of that search.
        student: the settings of the trained student that it is the network of.
        file: the model file that it comes from, outside of a run.
        classes: width of the classifier, if it is known.
        sized: whether the resolution is decided; a model file may leave it to the images.
        storage: URL of the study of that search, see :class:`Run`.
    """

    architecture: Architecture
    name: str
    run: Path | None
    search: SearchConfig | None
    student: StudentConfig | None = None
    file: Path | None = None
    classes: int | None = None
    sized: bool = True
    storage: str | None = None

    def at(self, side: int | None) -> ChosenNetwork:
        """Return the network at ``side`` pixels, where its file leaves the resolution open.

        Raises:
            UserError: the resolution is open, and ``side`` is unknown, too.
        """
        if self.sized or self.file is None:
            return self
        if side is None:
            raise UserError(
                f"{self.file} states no resolution: set data.size, which is then the side of the images "
                "and of the network's input, or write 'resolution: 96' into the file"
            )
        return replace(self, architecture=Architecture.from_yaml(self.file, resolution=side), sized=True)


def choose(given: str | Path, which: str = BEST, storage: str | None = None) -> ChosenNetwork:
    """Return the network that ``given`` and ``which`` name.

    Args:
        given: a model YAML, the directory of a search, or that of a trained student.
        which: trial of a search, see :meth:`nas.selection.StudyResults.pick`.
        storage: URL of the study of a search, see :class:`Run`.

    Raises:
        UserError: nothing is there, no such trial, or a network for other images than RGB.
    """
    path = Path(given)
    searched = path.is_dir() and holds_search(path)
    if which != BEST and path.exists() and not searched:
        raise UserError(f"pick {which} chooses among the trials of a search, and {given} is none")
    if path.is_file():
        model = read_model(path, default_resolution=_USUAL_SIDE)
        if model.input_channels != _CHANNELS:
            raise UserError(
                f"{path}: 'input_channel' is {model.input_channels}: images are read as RGB, "
                f"so it must be {_CHANNELS}"
            )
        network = Architecture.from_model_file(model)
        sized = model.states_resolution
        return ChosenNetwork(
            network, path.stem, None, None, file=path, classes=model.classes, sized=sized
        )
    if not path.is_dir():
        raise UserError(f"{given} does not exist; give a run directory or a model YAML")
    if searched:
        run = Run(path, storage)
        trial = run.pick(which)
        name, classes = f"trial {trial.number} of {path}", len(run.classes) or None
        return ChosenNetwork(trial.architecture, name, path, run.config, classes=classes, storage=storage)
    for folder in (path, path / STUDENT_FOLDER):
        if (folder / ARCHITECTURE_FILE).exists():
            model = read_model(folder / ARCHITECTURE_FILE)
            check_unchanged(folder / ARCHITECTURE_FILE)
            network = Architecture.from_model_file(model)
            student = student_config(folder) if (folder / WEIGHTS_FILE).is_file() else None
            return ChosenNetwork(network, str(path), None, None, student, classes=model.classes)
    raise UserError(f"{given} holds no {ARCHITECTURE_FILE}: not a finished search and not a model")


def student_config(path: Path) -> StudentConfig:
    """Return the settings in a trained student's ``config.yaml``, without its normalisation.

    Raises:
        UserError: the file is missing, damaged or changed.
    """
    content = dict(read_settings(path / CONFIG_FILE))
    content.pop("normalization", None)
    config = parse_config(StudentConfig, content, str(path / CONFIG_FILE))
    check_unchanged(path / CONFIG_FILE)
    return config
