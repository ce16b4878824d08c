"""The part of a run's page that says what was asked for, and with what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import SearchConfig
from core.config_io import to_yaml
from minnow.report.html import cell, table, text
from minnow.report.search_section import Searched
from minnow.report.summary import Summary
from minnow.run_directory import CONFIG
from nas.objectives import Objectives
from training.bundle import read_metrics


def settings(searched: Searched | None, student: Path | None) -> list[str]:
    """What was searched and trained, and with which versions."""
    parts = ["<h2>Settings</h2>"]
    if searched is not None:
        facts = [*_of_search(searched.config), *_of_summary(searched.summary)]
        rows = [("", [cell(name, kind="left"), cell(value, kind="text")]) for name, value in facts]
        parts.append(table(["<search", "<"], rows, name="settings"))
        hidden = searched.config.model_copy(update={"storage": None})  # which may hold a password
        parts.append(_folded("config.yaml of the search", to_yaml(hidden)))
    if student is not None:
        versions = _versions(read_metrics(student)["versions"])
        parts.append(f"<p>{text(f'Student trained with {versions}.')}</p>")
        config = (student / CONFIG).read_text(encoding="utf-8")
        parts.append(_folded("config.yaml of the student", config))
    return parts


def _of_search(config: SearchConfig) -> list[tuple[str, str]]:
    train, sides = config.train, config.space.resolutions
    options = ", ".join(f"{name}={value}" for name, value in config.strategy.options.items())
    budget = [f"{config.trials} trials of {train.epochs} epochs, batches of {train.batch_size} images"]
    if config.confirmations:
        budget.append(f"the last {config.confirmations} confirm the best networks")
    if config.fidelity != "full":
        budget.append(f"fidelity {config.fidelity}")
    if config.timeout is not None:
        budget.append(f"at most {config.timeout:g} s")
    if config.workers > 1:
        budget.append(f"{config.workers} at a time")
    teacher = "none"
    if config.teacher is not None:
        teacher = f"{config.teacher.spec}, loss {config.loss.name} with weight {config.loss.weight:g}"
    size = "" if config.data.size is None else f", stored at {config.data.size} px"
    score = f"against F1 {config.score.f1:g} in {config.score.time:g} s"
    timed = [("score", score)] if Objectives.parse(config.objectives, config.limits).timed else []
    return [
        ("data", f"{config.data.spec}{size}, {config.data.fit}, split seed {config.data.split_seed}"),
        ("space", f"{config.space.name}{'' if sides is None else f', sides {_listed(sides)} px'}"),
        ("strategy", f"{config.strategy.name}{f' ({options})' if options else ''}"),
        ("objectives", _listed(config.objectives)),
        ("limits", _listed(config.limits) or "none"),
        *timed,
        ("budget", "; ".join(budget)),
        ("teacher", teacher),
        ("balance", config.balance.mode),
        ("seed", str(config.seed)),
    ]


def _of_summary(summary: Summary) -> list[tuple[str, str]]:
    facts = []
    if images := summary.made.get("images"):
        facts.append(("images", ", ".join(f"{count:,} {part}" for part, count in images.items())))
    if summary.classes:
        facts.append((f"{len(summary.classes)} classes", _listed(summary.classes)))
    if versions := summary.made.get("versions"):
        facts.append(("versions", _versions(versions)))
    return facts


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))


def _folded(name: str, content: str) -> str:
    return f"<details><summary>{text(name)}</summary><pre>{text(content)}</pre></details>"
