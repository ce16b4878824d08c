"""Run directories: what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.config import StudentConfig
from core.config_io import parse_config
from core.errors import UserError
from core.files import write_text
from minnow.places import CONFIG
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.trial import Trial

ARCHITECTURE = "architecture.yaml"
SUMMARY = "summary.json"


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
        made: with what: ``images`` by split, ``versions`` by package; empty in searches of 0.1.0.
    """

    classes: list[str]
    best: int | None
    knee: int | None
    front: list[int]
    trials: list[dict[str, Any]]
    made: dict[str, Any] = field(default_factory=dict)


def write_summary(
    run: Path,
    trials: Sequence[Trial],
    objectives: Objectives,
    space: SearchSpace,
    classes: Sequence[str],
    made: Mapping[str, Any],
) -> Summary:
    """Write ``summary.json``, a model file per trial and the chosen one's ``architecture.yaml``.

    Args:
        run: the directory.
        trials: all that ended.
        objectives: decide which is chosen.
        space: names the choices.
        classes: of the data.
        made: see :class:`Summary`.
    """
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
        made=dict(made),
    )
    for trial in trials:
        path = architecture_path(run, trial.number)
        if not path.exists():
            trial.architecture.to_yaml(path, num_classes=len(classes))
    if best is None:  # under new limits
        (run / ARCHITECTURE).unlink(missing_ok=True)
    else:
        best.architecture.to_yaml(run / ARCHITECTURE, num_classes=len(classes))
    write_text(run / SUMMARY, json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def trial_count(run: Path) -> int:
    """How many trials the summary has, if there is one."""
    return len(read_summary(run).trials) if (run / SUMMARY).exists() else 0


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
