"""From command-line options to settings: files, defaults, and saying aloud what was taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import INHERITED_RATE, DataConfig, SearchConfig, StrategyConfig, StudentConfig
from core.config_io import merged, overlaid, read_config
from core.errors import UserError
from minnow import run_creation
from minnow.console import say
from minnow.data_file import with_data_file
from minnow.run_directory import CONFIG, ChosenNetwork, choose
from minnow.starting_weights import inherits
from nas.objectives import parse_limit

_WHERE = "command line"
_OPTIONS = {
    "strategy.options": "--strategy-option",
    "loss.options": "--loss-option",
    "loss.feature_options": "--feature-option",
}


def search_settings(
    changes: Mapping[str, Any], *, file: Path | None, out: Path | None, resume: bool
) -> tuple[SearchConfig, Path]:
    """Settings and run directory of a search.

    Args:
        changes: dotted setting to value; ``None`` leaves it.
        file: YAML of settings below ``changes``.
        out: run directory; ``None``: a new one, or with ``resume`` the last.
        resume: start from the settings in the run directory.

    Raises:
        UserError: unreadable file, wrong value, nothing to resume.
    """
    parsed, theirs = with_data_file(_parsed(changes))
    if theirs:
        parsed["shared"] = tuple(name for name in theirs if name.startswith("train."))
    if resume:
        run = out or run_creation.latest()
        if out is None:
            say(f"no --out given: resuming {run}")
        if not (run / CONFIG).exists():
            raise UserError(f"{run} holds no run to resume; leave --resume out to start one there")
        base = read_config(SearchConfig, run / CONFIG)
        over = SearchConfig() if file is None else read_config(SearchConfig, file)
        config = overlaid(base, over).model_copy(update={"study": base.study})
        config = merged(SearchConfig, config, parsed, _WHERE)
        given = parsed.get("strategy.options") is not None or "options" in over.strategy.model_fields_set
        if config.strategy.name != base.strategy.name and not given:  # the other's options
            config = config.model_copy(update={"strategy": StrategyConfig(name=config.strategy.name)})
        return config, run
    base = SearchConfig() if file is None else read_config(SearchConfig, file)
    base = base.model_copy(update={"study": None})  # it is another one than the file's
    if "spec" not in base.data.model_fields_set and changes["data.spec"] is None:
        say("no --data given: using the embedded digits (scikit-learn, 1,797 images)")
    config = merged(SearchConfig, base, parsed, _WHERE)
    if out is None:
        strategy = Path(config.strategy.name.partition(":")[0]).stem
        name = Path(config.data.spec).resolve().name if "/" in config.data.spec else config.data.spec
        out = run_creation.new_run(f"{name}-{config.space.name}-{strategy}")
    return config, out


def student_settings(
    changes: Mapping[str, Any],
    *,
    student: str | None,
    pick: str,
    file: Path | None,
    out: Path | None,
    prefix: str,
) -> tuple[ChosenNetwork, StudentConfig, Path]:
    """Network, settings and run directory of a final training.

    The data, its storage, the augmentation and a balance come from the search where there is one, and
    how to fine-tune a teacher where it had the same one.

    Raises:
        UserError: no such student or trial, unreadable file, wrong value.
    """
    if student is None:
        student = str(run_creation.latest())
        say(f"no --student given: using the last search, {student}")
    chosen = choose(student, pick)
    base = StudentConfig()
    over = base if file is None else read_config(StudentConfig, file)
    if chosen.search is not None:
        names = ["data", "augment", "seed"]
        if chosen.search.balance.mode != "none":  # a network that was searched so is trained so
            names.append("balance")
        teacher = chosen.search.teacher
        if teacher is not None and teacher.spec == changes.get("teacher.spec"):
            names.append("teacher")
        base = base.model_copy(update={name: getattr(chosen.search, name) for name in names})
        if chosen.search.shared:
            base = _shared(base, chosen.search)
    base = overlaid(base, over)
    if changes["data.spec"] is None and "spec" not in over.data.model_fields_set:
        origin = "the search's" if chosen.search is not None else "the embedded"
        say(f"no --data given: using {origin} data, {base.data.spec}")
    parsed, _ = with_data_file(_parsed(changes))
    rated = (
        parsed["train.learning_rate"] is not None
        or "learning_rate" in over.train.model_fields_set
        or (chosen.search is not None and "train.learning_rate" in chosen.search.shared)
    )
    config = merged(StudentConfig, base, parsed, _WHERE)
    if inherits(chosen, config) and not rated:  # weights that know the images are not to be shaken up
        config = merged(StudentConfig, config, {"train.learning_rate": INHERITED_RATE}, _WHERE)
    chosen = chosen.at(config.data.size)
    say(f"student: {chosen.name}, {chosen.architecture.resolution} px")
    if out is None:
        beside = chosen.run if prefix == "distill" else None
        out = beside or run_creation.new_run(f"{prefix}-{Path(student).stem}")
    return chosen, config, out


def data_settings(changes: Mapping[str, Any]) -> DataConfig:
    """Settings of ``data check``."""
    dotted, _ = with_data_file({f"data.{name}": value for name, value in changes.items()}, only="data.")
    own = {name.removeprefix("data."): value for name, value in dotted.items()}
    return merged(DataConfig, DataConfig(), own, _WHERE)


def _shared(config: StudentConfig, search: SearchConfig) -> StudentConfig:
    """A student's settings with what the search's data file says about training."""
    values = {f"train.{name}": value for name, value in search.train.model_dump().items()}
    theirs = {name: values[name] for name in search.shared if name in values}
    say(f"as in the search's data file: {', '.join(f'{name} {v}' for name, v in theirs.items())}")
    return merged(StudentConfig, config, theirs, str(CONFIG))


def _parsed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are text on the command line become what the settings hold."""
    parsed = dict(changes)
    for limit in parsed.get("limits") or ():
        parse_limit(limit)
    if parsed.get("space.resolutions") is not None:
        parsed["space.resolutions"] = _sides(parsed["space.resolutions"])
    if parsed.get("timeout") is not None:
        parsed["timeout"] = seconds(parsed["timeout"])
    for setting, flag in _OPTIONS.items():
        if parsed.get(setting) is not None:
            parsed[setting] = named_options(flag, parsed[setting])
    if parsed.get("score") is not None:
        parts = [part.strip() for part in parsed.pop("score").split(",")]
        for name, value in named_options("--score-reference", parts).items():
            parsed[f"score.{name}"] = value
    if parsed.get("balance") is not None:
        parsed["balance"] = {"mode": parsed["balance"]}
    return parsed


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--resolution {text!r}: write it as 96 or 64,96,128") from None


def named_options(flag: str, pairs: list[str]) -> dict[str, Any]:
    """Values of ``name=value``, read as YAML.

    Args:
        flag: the option they were given with, for messages.
        pairs: as typed.

    Raises:
        UserError: malformed.
    """
    import yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"{flag} {pair!r}: write it as name=value")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"{flag} {pair!r}: the value cannot be read as YAML") from None
    return options


def seconds(text: str) -> float:
    """Seconds in ``10m``, ``1h30m``, ``45s`` or ``600``.

    Raises:
        UserError: none of these.
    """
    import re

    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    total = 0.0
    if match is not None:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        total = hours * 3600.0 + minutes * 60.0 + rest
    if total <= 0:
        raise UserError(f"--timeout {text!r}: write it as 90s, 10m or 1h30m")
    return total
