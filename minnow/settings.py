"""The settings of a run: the caller's over a file's, over those of a search or an earlier run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from core.config import BalanceConfig, DataConfig, SearchConfig, StrategyConfig, StudentConfig
from core.config_io import SettingError, dotted, given_names, merged, overlaid, read_config
from core.errors import UserError
from minnow import run_creation
from minnow.base_settings import base_of_student
from minnow.data_file import with_data_file
from minnow.listener import Listener
from minnow.permission import Config, check_code, storage_to_write
from minnow.run_directory import ChosenNetwork, choose
from minnow.unused_settings import Unused, unused_in_data, unused_in_search, unused_in_student
from nas.objectives import parse_limit
from training.budget import confirmations
from training.bundle_files import CONFIG_FILE, find_bundle


def search_settings(
    changes: Mapping[str, Any],
    *,
    file: Path | None = None,
    out: Path | None = None,
    resume: bool = False,
    distilled: bool = False,
    listener: Listener,
) -> tuple[SearchConfig, Path]:
    """Return the settings and the run directory of a search.

    Args:
        changes: settings to values, by dotted name or by keyword, see :func:`core.config_io.dotted`.
        file: YAML of settings below ``changes``.
        out: run directory; ``None``: a new one, or with ``resume`` the last.
        resume: start from the settings in the run directory.
        distilled: whether its student is trained as well, with the same loss.
        listener: receives what was taken by default, and warnings.

    Raises:
        UserError: unreadable file, wrong value, a setting without effect, nothing to resume; a file
            names code, or a storage, that the caller does not.
    """
    given = dotted(SearchConfig, changes)
    limits = given.get("limits")
    for limit in limits if isinstance(limits, list | tuple) else ():
        if isinstance(limit, str):  # the settings themselves refuse all else
            parse_limit(limit)
    given, from_file = with_data_file(given, listener)
    if from_file:
        given["shared"] = tuple(name for name in from_file if name.startswith("train."))
    over = SearchConfig() if file is None else read_config(SearchConfig, file)
    files = [] if file is None else [(file, over)]
    if resume:
        if out is None:
            out = run_creation.latest()
            listener.note(f"no run directory given: resuming {out}")
        base = _of_run(out)
        config = _resumed(base, over, given)
        files = [*files, (out / CONFIG_FILE, base)]
    else:
        base = over.model_copy(update={"study": None})  # another study than the file's
        if "spec" not in base.data.model_fields_set and "data.spec" not in given:
            listener.note("no data given: using the embedded digits (scikit-learn, 1,797 images)")
        config = merged(SearchConfig, _without_tau(base, given), given)
    own = _stated(given, from_file)
    check_code(config, own, files)
    storage = storage_to_write(config.storage, own.get("storage"), files)
    _check_used(unused_in_search(config, distilled=distilled), own, given_names(over), file, listener)
    return config.model_copy(update={"storage": storage}), out or _new_run(config)


def student_settings(
    changes: Mapping[str, Any],
    *,
    student: str | None,
    pick: str,
    file: Path | None = None,
    out: Path | None = None,
    resume: bool = False,
    prefix: str,
    storage: str | None = None,
    listener: Listener,
) -> tuple[ChosenNetwork, StudentConfig, Path]:
    """Return the network, the settings and the run directory of a final training.

    The data, its storage, the augmentation and a balance come from the search, or from the trained
    student whose network it is, and the fine-tuning of the teacher if it is the same.

    Args:
        changes: as of :func:`search_settings`.
        student: run directory of a search or a student, or a model file; ``None``: the last search.
        pick: trial of the search.
        file: YAML of settings below ``changes``.
        out: run directory; ``None``: the search's for ``distill``, else a new one, or with ``resume`` the
            last of this network.
        resume: whether a training is resumed.
        prefix: ``distill`` or ``train``; the start of the name of a new run directory.
        storage: URL of the study of the search, where the caller names it.
        listener: receives what was taken by default, and warnings.

    Raises:
        UserError: no such student or trial, unreadable file, wrong value, a setting without effect.
    """
    given = dotted(StudentConfig, changes)
    if prefix == "train":
        _check_alone(given)
    if student is None:
        student = str(run_creation.latest())
        listener.note(f"no student given: using the last search, {student}")
    chosen = choose(student, pick, storage)
    over = StudentConfig() if file is None else read_config(StudentConfig, file)
    base = StudentConfig()
    earlier = chosen.search or chosen.student
    whose = "the search's" if chosen.search is not None else "the earlier student's"
    if earlier is not None:
        teacher = given.get("teacher.spec")
        if prefix == "distill" and teacher is over.teacher is None and earlier.teacher is not None:
            teacher = earlier.teacher.spec
            listener.note(f"no teacher given: using {whose}, {teacher}")
        base = _passed_on(base, earlier, teacher, listener)
        if prefix == "distill" and chosen.architecture.base is not None:
            base = base.model_copy(update={"base": base_of_student(earlier, teacher)})
    base = overlaid(base, over)
    if prefix == "distill" and base.teacher is None and "teacher.spec" not in given:
        raise SettingError("teacher.spec", "missing; give a teacher, as in tf_efficientnet_lite0")
    if "data.spec" not in given and "spec" not in over.data.model_fields_set:
        origin = "the embedded" if earlier is None else whose
        listener.note(f"no data given: using {origin} data, {base.data.spec}")
    given, from_file = with_data_file(given, listener)
    config = merged(StudentConfig, _without_tau(base, given), given)
    own = _stated(given, from_file)
    files: list[tuple[Path, Config]] = [] if file is None else [(file, over)]
    if earlier is not None:
        files.append(((chosen.run or find_bundle(student)) / CONFIG_FILE, earlier))
    check_code(config, own, files)
    _check_used(unused_in_student(config), own, given_names(over), file, listener)
    if chosen.architecture.base is None and any(name.startswith("base.") for name in own):
        raise SettingError("base.spec", "has no effect: the network is cut out of no other; leave it out")
    chosen = chosen.at(config.data.size)
    listener.note(f"student: {chosen.name}, {chosen.architecture.resolution} px")
    if out is None:
        beside = chosen.run if prefix == "distill" else None
        made = run_creation.last_run if resume else run_creation.new_run
        out = beside or made(f"{prefix}-{Path(student).stem}")
    return chosen, config, out


def data_settings(changes: Mapping[str, Any], listener: Listener) -> DataConfig:
    """Return the settings of the data alone, from changes as of :func:`search_settings`.

    Raises:
        UserError: a wrong value, a setting without effect on the data.
    """
    changed = dotted(SearchConfig, changes)
    own = _stated(changed)
    given, _ = with_data_file(changed, listener, only="data.")
    data = merged(SearchConfig, SearchConfig(), given).data
    others = tuple(name for name in own if not name.startswith("data."))
    unused = [Unused(others, "the data are looked at without a training"), *unused_in_data(data)]
    _check_used(unused, own, (), None, listener)
    return data


def _of_run(run: Path) -> SearchConfig:
    """Return the settings of the search in a run directory.

    Raises:
        UserError: there is none, or they are damaged.
    """
    if not (run / CONFIG_FILE).exists():
        raise UserError(f"{run} holds no run to resume; start one there without resume")
    return read_config(SearchConfig, run / CONFIG_FILE)


def _resumed(base: SearchConfig, over: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    """Return the settings of a run with those of a file and of the caller over them.

    Raises:
        UserError: a value is wrong.
    """
    if base.confirm == confirmations(base.model_copy(update={"confirm": None})):
        base = base.model_copy(update={"confirm": None})  # decided again, for the new number of trials
    config = overlaid(base, over).model_copy(update={"study": base.study})
    config = merged(SearchConfig, _without_tau(config, given), given)
    options = "strategy.options" in given or "options" in over.strategy.model_fields_set
    if config.strategy.name != base.strategy.name and not options:  # they are the other strategy's
        config = config.model_copy(update={"strategy": StrategyConfig(name=config.strategy.name)})
    return config


def _new_run(config: SearchConfig) -> Path:
    strategy = Path(config.strategy.name.partition(":")[0]).stem
    data = Path(config.data.spec).resolve().name if "/" in config.data.spec else config.data.spec
    return run_creation.new_run(f"{data}-{config.space.name}-{strategy}")


def _passed_on(
    config: StudentConfig, earlier: Config, teacher: str | None, listener: Listener
) -> StudentConfig:
    """Return a student's settings with what it takes over from its search or an earlier student."""
    if teacher is None:
        data = earlier.data.model_copy(update={"unlabelled": None})  # nothing labels them
        earlier = earlier.model_copy(update={"data": data})
    names = ["data", "augment", "target", "seed"]
    if earlier.balance.mode not in (None, "none"):  # a network that was searched so is trained so
        names.append("balance")
    if earlier.teacher is not None and earlier.teacher.spec == teacher:
        names.append("teacher")
    config = config.model_copy(update={name: getattr(earlier, name) for name in names})
    if isinstance(earlier, SearchConfig) and earlier.shared:
        values = {f"train.{name}": value for name, value in earlier.train.model_dump().items()}
        shared = {name: values[name] for name in earlier.shared if name in values}
        words = ", ".join(f"{name} {value}" for name, value in shared.items())
        listener.note(f"as in the search's data file: {words}")
        config = merged(StudentConfig, config, shared)
    return config


C = TypeVar("C", SearchConfig, StudentConfig)


def _without_tau(config: C, given: Mapping[str, Any]) -> C:
    """Return settings without the strength of a balance whose mode is about to change."""
    if "balance.mode" not in given:
        return config
    return config.model_copy(update={"balance": BalanceConfig()})


def _check_alone(given: Mapping[str, Any]) -> None:
    """Refuse settings of a teacher for a training without one.

    Raises:
        SettingError: the first of them.
    """
    of_teacher = ("live_teacher", "data.unlabelled")
    for name in _stated(given):
        if name.startswith(("teacher.", "loss.")) or name in of_teacher:
            raise SettingError(name, "train has no teacher; use distill, or leave this setting out")


def _stated(given: Mapping[str, Any], besides: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings that have a value, which ``None`` is not: it leaves the decision to Minnow."""
    return {name: value for name, value in given.items() if value is not None and name not in besides}


def _check_used(
    unused: Iterable[Unused],
    given: Iterable[str],
    in_file: Iterable[str],
    file: Path | None,
    listener: Listener,
) -> None:
    """Refuse settings that have no effect, and warn of those of a file, which may serve other commands.

    Raises:
        SettingError: the caller gave a setting that has no effect.
    """
    reasons = list(unused)
    for name in given:
        for rule in reasons:
            if rule.covers(name):
                raise SettingError(name, f"has no effect: {rule.reason}")
    for name in in_file:
        for rule in reasons:
            if rule.covers(name):
                listener.warn(f"{file}: {name} has no effect: {rule.reason}")
