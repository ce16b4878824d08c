"""The settings of a base: which network, and the fine-tuning that it shares with a teacher."""

from __future__ import annotations

from core.config import BaseConfig, SearchConfig, StudentConfig, TeacherConfig
from teachers.spec import parse_spec


def base_of_run(config: SearchConfig | StudentConfig) -> BaseConfig | None:
    """Return the base of a search or student and its fine-tuning; ``None``: neither base nor teacher."""
    base = config.base
    if base is None:
        if config.teacher is None:
            return None
        base = BaseConfig(spec=config.teacher.spec)
    return BaseConfig(**base_fine_tuning(base, config.teacher).model_dump(exclude={"tune"}))


def source_word(config: SearchConfig) -> str:
    """Return what a search cuts networks out of, in a word: the base that it names, or its teacher."""
    return "teacher" if config.base is None else "base"


def base_of_student(earlier: SearchConfig | StudentConfig, teacher: str | None) -> BaseConfig | None:
    """Return the base that a student takes over; ``None``: its teacher is the base.

    Args:
        earlier: settings of its search, or of an earlier student of its network.
        teacher: spec of the student's teacher.
    """
    if earlier.base is None and earlier.teacher is not None and earlier.teacher.spec == teacher:
        return None
    return base_of_run(earlier)


def base_fine_tuning(base: BaseConfig, teacher: TeacherConfig | None) -> TeacherConfig:
    """Return a base's fine-tuning: what is not given is as for the teacher of that name, if any."""
    usual = TeacherConfig(spec=base.spec)
    if teacher is not None and base.spec in [spec for spec, _ in parse_spec(teacher.spec)]:
        usual = teacher
    given = {name: value for name, value in base.model_dump().items() if value is not None}
    return usual.model_copy(update={**given, "tune": "all"})
