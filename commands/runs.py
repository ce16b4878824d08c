"""Run directories: which one to use, what is in it, which was last."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.config import StudentConfig
from nas.errors import UserError
from nas.files import write_text
from nas.objectives import Objectives
from nas.settings import parse_config
from nas.spaces.base import SearchSpace
from nas.trial import Trial

ROOT = Path("runs")
CONFIG = "config.yaml"
ARCHITECTURE = "architecture.yaml"
SUMMARY = "summary.json"
LATEST = ROOT / "latest"


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


def student_config(path: Path) -> StudentConfig:
    """The settings in a bundle's ``config.yaml`` (the normalisation beside them is left out)."""
    import yaml

    content = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    content.pop("normalization", None)
    return parse_config(StudentConfig, content, str(path / CONFIG))
