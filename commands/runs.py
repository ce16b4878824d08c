"""Run directories: which one to use, what is in it, which was last."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.config import SearchConfig, StudentConfig
from nas.errors import UserError
from nas.files import write_text
from nas.model_file import read_model
from nas.objectives import Objectives
from nas.settings import parse_config, read_config
from nas.spaces.base import SearchSpace
from nas.trial import Trial

ROOT = Path("runs")
CONFIG = "config.yaml"
ARCHITECTURE = "architecture.yaml"
SUMMARY = "summary.json"
LATEST = ROOT / "latest"
_USUAL_SIDE = 224  # to read a file with that leaves the resolution to the images


def new_run(name: str) -> Path:
    """``runs/NAME``, or ``runs/NAME-2`` and so on where that exists; not made yet."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "run"
    number, path = 1, ROOT / name
    while path.exists():
        number += 1
        path = ROOT / f"{name}-{number}"
    return path


def check_new(path: Path, what: str = CONFIG) -> None:
    """Refuse to write into a run that exists.

    Raises:
        UserError: ``path`` holds ``what`` already, is no directory, or is ``runs/latest``.
    """
    if Path(os.path.abspath(path)) == Path(os.path.abspath(LATEST)):
        raise UserError(f"{path} always points at the last search; choose another --out")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; choose another --out")
    if (path / what).exists():
        raise UserError(f"{path} holds a run already; add --resume to go on, or choose another --out")


def make_run(run: Path) -> list[Path]:
    """Make a run directory; returns the directories that were missing, ``run`` first."""
    missing = [path for path in (run, *run.parents) if not path.exists()]
    run.mkdir(parents=True, exist_ok=True)
    return missing


@contextmanager
def taken_back(run: Path, made: Sequence[Path]) -> Iterator[None]:
    """Prepare a run that holds nothing yet: where a setting turns out wrong, nothing is left of it.

    Args:
        run: locked by this process.
        made: what :func:`make_run` returned.
    """
    try:
        yield
    except UserError:
        if run in made:
            shutil.rmtree(run)
        else:
            (run / CONFIG).unlink(missing_ok=True)
        with suppress(OSError):  # no longer empty: others have put something there
            for path in made[1:]:
                path.rmdir()
        raise


def mark_latest(run: Path) -> None:
    """Let ``runs/latest`` point at ``run``."""
    ROOT.mkdir(exist_ok=True)
    link = LATEST.with_name(f".latest-{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(run.resolve(), ROOT.resolve()))
    os.replace(link, LATEST)


def latest() -> Path:
    """The run of the last search.

    Raises:
        UserError: there is none.
    """
    if not LATEST.exists():
        raise UserError(
            "there is no earlier search (runs/latest is missing); run a search first, "
            "or give --student a run directory or a model YAML"
        )
    return ROOT / os.readlink(LATEST) if LATEST.is_symlink() else LATEST


@dataclass(frozen=True)
class Summary:
    """A search's trials, for stages that know nothing of its space.

    Attributes:
        classes: of the data.
        best: number of the chosen trial; ``None`` when no trial meets the limits.
        knee: number of the front's knee.
        front: numbers, best in the first goal first.
        trials: per trial ``number``, ``choices`` by name, ``metrics`` or ``error``; ``epochs`` and
            ``parent`` where trainings have several lengths.
    """

    classes: list[str]
    best: int | None
    knee: int | None
    front: list[int]
    trials: list[dict[str, Any]]


def write_summary(
    run: Path,
    trials: Sequence[Trial],
    objectives: Objectives,
    space: SearchSpace,
    classes: Sequence[str],
) -> Summary:
    """Write ``summary.json``, a model file per trial and the chosen one's ``architecture.yaml``."""
    best, knee = objectives.best(trials), objectives.knee(trials)
    summary = Summary(
        classes=list(classes),
        best=None if best is None else best.number,
        knee=None if knee is None else knee.number,
        front=[trial.number for trial in objectives.front(trials)],
        trials=[
            {
                "number": trial.number,
                "choices": space.options(trial.choices),
                "metrics": None if trial.metrics is None else dict(trial.metrics),
                "error": trial.error,
                **_length(trial),
            }
            for trial in trials
        ],
    )
    for trial in trials:
        path = architecture_path(run, trial.number)
        if not path.exists():
            trial.architecture.to_yaml(path, num_classes=len(classes))
    if best is not None:
        best.architecture.to_yaml(run / ARCHITECTURE, num_classes=len(classes))
    write_text(run / SUMMARY, json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def read_summary(run: Path) -> Summary:
    """What :func:`write_summary` wrote.

    Raises:
        UserError: missing or damaged.
    """
    path = run / SUMMARY
    try:
        return Summary(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{run} is not the directory of a search: {path} is missing") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); resume the search to write it again") from None


def _length(trial: Trial) -> dict[str, int | None]:
    proposal = trial.proposal
    return {} if proposal.epochs is None else {"epochs": proposal.epochs, "parent": proposal.parent}


def architecture_path(run: Path, number: int) -> Path:
    """The model file of a trial."""
    return run / "architectures" / f"{number:04d}.yaml"


@dataclass(frozen=True)
class Student:
    """The network to train.

    Attributes:
        architecture: the network.
        name: what to call it.
        run: the search it comes from, or ``None`` for a model file.
        search: that search's settings.
        file: the model file it comes from, where that is not part of a run.
        classes: the width of the classifier in that file, if it says one.
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
                "stored images and the network's input, or write 'resolution: 96' into the file"
            )
        return replace(self, architecture=Architecture.from_yaml(self.file, resolution=side), sized=True)


def find_student(given: str, pick: str) -> Student:
    """The network that ``given`` and ``pick`` name.

    Args:
        given: a model YAML, or the directory of a search.
        pick: ``best``, ``knee`` or a trial number, within a search.

    Raises:
        UserError: nothing there, or no such trial.
    """
    path = Path(given)
    if path.is_file():
        model = read_model(path, default_resolution=_USUAL_SIDE)
        return Student(
            model.architecture, path.stem, None, None, path, model.classes, model.states_resolution
        )
    if not path.is_dir():
        raise UserError(f"{given} does not exist; give a run directory or a model YAML")
    if (path / CONFIG).exists() and (path / SUMMARY).exists():
        number = _picked(path, pick)
        architecture = Architecture.from_yaml(architecture_path(path, number))
        config = read_config(SearchConfig, path / CONFIG)
        return Student(architecture, f"trial {number} of {path}", path, config)
    for place in (path, path / "student"):
        if (place / ARCHITECTURE).exists():
            return Student(Architecture.from_yaml(place / ARCHITECTURE), str(path), None, None)
    raise UserError(f"{given} holds no {ARCHITECTURE}: not a finished search and not a model")


def _picked(run: Path, pick: str) -> int:
    summary = read_summary(run)
    known = {trial["number"]: trial for trial in summary.trials}
    if pick in ("best", "knee"):
        number = summary.best if pick == "best" else summary.knee
        if number is None:
            raise UserError(
                f"no trial of {run} meets the limits; search on with --resume and more --trials"
            )
        return number
    if not pick.isdigit():
        raise UserError(f"--pick {pick!r}: give 'best', 'knee' or a trial number")
    if int(pick) not in known:
        raise UserError(f"--pick {pick}: {run} has the trials 0 to {max(known, default=0)}")
    return int(pick)


def student_config(path: Path) -> StudentConfig:
    """The settings in a bundle's ``config.yaml`` (the normalisation beside them is left out)."""
    import yaml

    content = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    content.pop("normalization", None)
    return parse_config(StudentConfig, content, str(path / CONFIG))
