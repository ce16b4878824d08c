"""The base: the network that students of the space elastic are cut out of, fine-tuned like a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from core.config import AugmentConfig, BaseConfig, SearchConfig, StudentConfig, TeacherConfig
from core.config_io import SettingError
from core.errors import UserError
from distill.supernet import has_supernet
from minnow.base_settings import base_fine_tuning, base_of_run
from minnow.listener import Listener
from minnow.run_directory import ChosenNetwork
from minnow.teacher import fine_tuned
from nas.architecture import Architecture
from nas.networks.timm_architecture import architecture_from_timm
from teachers import find_pretrained
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from teachers.spec import parse_spec, split_side
from training.data.images import ImageSet

_SETTING = "base.spec"


def resolve_base(config: SearchConfig, listener: Listener) -> SearchConfig:
    """Return the settings of an elastic search with its base decided among several teachers.

    A single teacher is the base itself: the settings stay without one.

    Raises:
        SettingError: networks can be cut out of none of several teachers.
        UserError: unknown teacher, or weights that cannot be read or downloaded.
    """
    specs = [] if config.teacher is None else [spec for spec, _ in parse_spec(config.teacher.spec)]
    if config.base is not None or len(specs) < 2:
        return config
    reasons = []
    for spec in specs:
        try:
            architecture_of(spec)
        except SettingError as error:
            reasons.append(error.reason)
            continue
        listener.note(f"no base given: students are cut out of {spec}, the first teacher that can be cut")
        return config.model_copy(update={"base": BaseConfig(spec=spec)})
    raise SettingError(_SETTING, reasons[0])


def architecture_of(spec: str) -> Architecture:
    """Return the architecture of a base.

    Raises:
        SettingError: networks cannot be cut out of it.
        UserError: unknown network, or weights that cannot be read or downloaded.
    """
    if len(parse_spec(spec)) > 1:
        raise SettingError(_SETTING, f"students are cut out of one network, got {spec}; name one")
    pretrained = find_pretrained(split_side(spec)[0])
    try:
        return architecture_from_timm(pretrained.model, pretrained.name, pretrained.resolution)
    except UserError as error:
        raise SettingError(_SETTING, str(error)) from None


def search_base(
    config: SearchConfig, teacher: PreparedTeacher | None, data: ImageSet, listener: Listener
) -> Teacher | None:
    """Return the fine-tuned base of a search; ``None`` where trials inherit nothing.

    Args:
        config: of the search, with its evaluator and base decided.
        teacher: the base itself, where the settings name no other.
        data: the images.
        listener: receives progress and one line.

    Raises:
        UserError: unknown base, or one whose fine-tuning fails.
    """
    if config.evaluator == "train" or teacher is None:
        return None
    if config.base is None:
        return teacher.ensemble.members[0]
    return _make(base_fine_tuning(config.base, config.teacher), data, config.augment, listener)


def inherits(chosen: ChosenNetwork, config: StudentConfig) -> bool:
    """Tell if a student has weights to inherit."""
    if chosen.architecture.base is None or config.from_scratch:
        return False
    return config.teacher is not None or config.base is not None or _of_supernet(chosen)


def student_base(
    chosen: ChosenNetwork,
    config: StudentConfig,
    teachers: Sequence[Teacher],
    data: ImageSet,
    listener: Listener,
) -> Teacher | None:
    """Return the fine-tuned base of a student; ``None`` where it starts from a supernet or at random.

    Args:
        chosen: network to train.
        config: settings of the training.
        teachers: fine-tuned; searched for the base, where the settings name none.
        data: the images.
        listener: receives progress and one line.

    Raises:
        SettingError: the network was cut out of another base, or starts from a supernet.
        UserError: unknown base, or one whose fine-tuning fails.
    """
    name = chosen.architecture.base
    if name is None or not inherits(chosen, config):
        return None
    if _of_supernet(chosen):
        searched = None if chosen.search is None else base_of_run(chosen.search)
        if config.base is not None and searched is not None and config.base.spec != searched.spec:
            raise SettingError(
                _SETTING,
                f"has no effect: the network starts from the supernet of {chosen.run}; leave it out",
            )
        return None
    if config.base is None:
        for teacher in teachers:
            if teacher.name == name:
                return teacher
    settings = base_fine_tuning(config.base or BaseConfig(spec=name), config.teacher)
    base = _make(settings, data, config.augment, listener)
    if base.name != name:
        raise SettingError(
            _SETTING,
            f"the network is cut out of {name}, so it cannot inherit from {base.name}; "
            f"give {name}, or set from_scratch",
        )
    return base


def _of_supernet(chosen: ChosenNetwork) -> bool:
    return chosen.run is not None and has_supernet(chosen.run)


def _make(settings: TeacherConfig, data: ImageSet, augment: AugmentConfig, listener: Listener) -> Teacher:
    """Fine-tune a base, or load it from the cache that it shares with teachers.

    Raises:
        UserError: unknown network, or weights that cannot be read or downloaded.
    """
    try:
        return fine_tuned(settings, data, augment, listener, role="base")
    except UserError as error:
        raise SettingError(_SETTING, str(error)) from None
