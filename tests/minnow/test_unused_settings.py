"""No setting is ignored silently: it has an effect, or it is an error that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import SearchConfig, StudentConfig
from core.config_io import SettingError, known_settings, merged
from minnow.settings import search_settings, student_settings
from minnow.unused_settings import unused_in_search, unused_in_student

#: A network that is cut out of no other.
EXAMPLE = Path(__file__).parents[2] / "benchmarks/student_trashnet.yaml"
ELASTIC = {"space.name": "elastic", "teacher.spec": "lite0"}
#: A run that a setting has no effect in; the rest of its settings.
WITHOUT_EFFECT: list[tuple[type, str, dict[str, Any]]] = [
    (SearchConfig, "loss.name", {}),
    (SearchConfig, "loss.feature_weight", {"teacher.spec": "lite0"}),
    (SearchConfig, "loss.feature_options", {"teacher.spec": "lite0", "loss.features": "none"}),
    (SearchConfig, "supernet.epochs", {}),
    (SearchConfig, "supernet.views", {**ELASTIC, "evaluator": "inherit"}),
    (SearchConfig, "space.importance", {}),
    (SearchConfig, "space.importance", {**ELASTIC, "evaluator": "train"}),
    (SearchConfig, "train.batch_size", {**ELASTIC, "evaluator": "inherit"}),
    (SearchConfig, "loss.weight", {**ELASTIC, "evaluator": "inherit"}),
    (SearchConfig, "train.learning_rate", ELASTIC),
    (SearchConfig, "train.warmup", {"fidelity": "asha"}),
    (SearchConfig, "train.label_smoothing", {"teacher.spec": "lite0"}),
    (SearchConfig, "score.f1", {}),
    (SearchConfig, "balance.tau", {}),
    (SearchConfig, "augment.magnitude", {"augment.operations": 0}),
    (SearchConfig, "trial_gpus", {"trial_gpus": 0.5}),
    (StudentConfig, "loss.weight", {}),
    (StudentConfig, "live_teacher", {}),
    (StudentConfig, "loss.feature_weight", {"teacher.spec": "lite0", "loss.features": "none"}),
    (StudentConfig, "train.label_smoothing", {"teacher.spec": "lite0"}),
    (StudentConfig, "augment.magnitude", {"augment.operations": 0}),
]
#: The same settings in a run that uses them.
WITH_EFFECT: list[tuple[type, str, dict[str, Any]]] = [
    (SearchConfig, "loss.name", {"teacher.spec": "lite0"}),
    (SearchConfig, "loss.feature_weight", {"teacher.spec": "lite0", "loss.features": "hint"}),
    (SearchConfig, "loss.weight", {**ELASTIC, "evaluator": "inherit", "train.epochs": 2}),
    (SearchConfig, "loss.weight", {**ELASTIC, "evaluator": "supernet"}),
    (SearchConfig, "supernet.epochs", ELASTIC),
    (SearchConfig, "space.importance", ELASTIC),
    (SearchConfig, "train.batch_size", ELASTIC),
    (SearchConfig, "train.batch_size", {**ELASTIC, "evaluator": "inherit", "train.epochs": 2}),
    (SearchConfig, "train.learning_rate", {**ELASTIC, "train.epochs": 2}),
    (SearchConfig, "train.warmup", {}),
    (SearchConfig, "score.f1", {"objectives": ["score:min"]}),
    (SearchConfig, "balance.tau", {"balance.mode": "logit-adjust"}),
    (SearchConfig, "trial_gpus", {"executor": "ray"}),
    (StudentConfig, "loss.feature_weight", {"teacher.spec": "lite0"}),
    (StudentConfig, "balance.tau", {}),
    (StudentConfig, "train.label_smoothing", {}),
]


def rules(kind: type, changes: dict[str, Any]) -> list[Any]:
    config = merged(kind, kind(), changes)
    return list(unused_in_search(config) if kind is SearchConfig else unused_in_student(config))


@pytest.mark.parametrize(("kind", "name", "others"), WITHOUT_EFFECT)
def test_a_setting_without_effect_is_known_with_its_reason(kind, name, others) -> None:
    assert name in known_settings(kind)
    (rule,) = [rule for rule in rules(kind, others) if rule.covers(name)]
    assert len(rule.reason) > 15


@pytest.mark.parametrize(("kind", "name", "others"), WITH_EFFECT)
def test_a_setting_with_effect_is_not_refused(kind, name, others) -> None:
    assert name in known_settings(kind)
    assert not any(rule.covers(name) for rule in rules(kind, others))


@pytest.mark.parametrize("name", ["loss.name", "loss.feature_weight"])
def test_a_loss_has_effect_where_the_student_is_trained_as_well(name) -> None:
    config = merged(SearchConfig, SearchConfig(), {**ELASTIC, "evaluator": "inherit"})
    assert any(rule.covers(name) for rule in unused_in_search(config))
    assert not any(rule.covers(name) for rule in unused_in_search(config, distilled=True))


@pytest.mark.parametrize("kind", [SearchConfig, StudentConfig])
def test_rules_name_settings_that_exist(kind) -> None:
    names = known_settings(kind)
    for changes in ({}, {"teacher.spec": "lite0"}):
        for rule in rules(kind, changes):
            for own in (*rule.names, *rule.but):
                assert own in names or any(name.startswith(own) for name in names if own.endswith("."))


def test_what_was_given_without_effect_is_an_error_and_of_a_file_a_warning(
    tmp_path: Path, keeping
) -> None:
    with pytest.raises(SettingError, match=r"^supernet\.epochs: has no effect: ") as error:
        search_settings({"supernet.epochs": 3}, out=tmp_path / "run", listener=keeping)
    assert error.value.setting == "supernet.epochs" and not keeping.warnings
    (tmp_path / "shared.yaml").write_text("supernet: {epochs: 3}\nloss: {name: kd}\n")
    config, _ = search_settings({}, file=tmp_path / "shared.yaml", out=tmp_path / "run", listener=keeping)
    assert config.supernet.epochs == 3
    (line,) = keeping.warnings  # kd is what it would be anyway
    assert "shared.yaml: supernet.epochs has no effect" in line


def test_what_is_left_to_minnow_has_no_effect_anywhere(tmp_path: Path, keeping) -> None:
    left = {"supernet.epochs": None, "data.table.label": None}
    search_settings(left, out=tmp_path / "run", listener=keeping)
    student = {"student": str(EXAMPLE), "pick": "best", "out": tmp_path / "alone", "prefix": "train"}
    student_settings({"live_teacher": None, "base.spec": None}, **student, listener=keeping)
    assert not keeping.warnings
