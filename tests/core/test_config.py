"""Settings: defaults, unknown keys, ranges, changes, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import (
    BalanceConfig,
    DataConfig,
    SearchConfig,
    StudentConfig,
    TeacherConfig,
    TrainConfig,
)
from core.config_io import (
    SettingError,
    dotted,
    known_settings,
    merged,
    overlaid,
    parse_config,
    read_config,
    to_yaml,
)
from core.errors import UserError


def test_nothing_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    assert read_config(SearchConfig, tmp_path / "config.yaml") == SearchConfig()
    assert parse_config(StudentConfig, {}, "here") == StudentConfig()


@pytest.mark.parametrize(
    ("content", "key", "known"),
    [
        ({"trails": 3}, "'trails'", ["trials", "strategy", "storage"]),
        ({"train": {"epoch": 3}}, "'train.epoch'", ["epochs", "batch_size"]),
        ({"teacher": {"spec": "x", "size": 3}}, "'teacher.size'", ["spec", "resolution"]),
        ({"data": {"fits": "pad"}}, "'data.fits'", ["fit", "split_seed"]),
        ({"augment": {"x": 1}}, "'augment.x'", ["operations", "cutout"]),
        ({"space": {"x": 1}}, "'space.x'", ["name", "resolutions"]),
        ({"strategy": {"x": 1}}, "'strategy.x'", ["name", "options"]),
        ({"loss": {"x": 1}}, "'loss.x'", ["name", "weight"]),
    ],
)
def test_unknown_settings_list_the_known(content: dict[str, Any], key: str, known: list[str]) -> None:
    with pytest.raises(UserError) as error:
        parse_config(SearchConfig, content, "config.yaml")
    message = str(error.value)
    assert message.startswith(f"config.yaml: unknown setting {key}; known here: ")
    assert "\n" not in message
    assert all(name in message.split("known here: ")[1].split("; did")[0].split(", ") for name in known)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"trials": 0}, "trials"),
        ({"trials": "many"}, "trials"),
        ({"trials": 2.5}, "trials"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"seed": -1}, "seed"),
        ({"seed": 20261127084450}, "seed"),  # a time; numpy's older generators take 32 bits
        ({"workers": 0}, "workers"),
        ({"train": {"epochs": -1}}, "train.epochs"),
        ({"train": {"learning_rate": 0}}, "train.learning_rate"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
        ({"train": {"learning_rate": float("inf")}}, "train.learning_rate"),
        ({"train": {"warmup": 1}}, "train.warmup"),
        ({"train": {"clip_grad": -1}}, "train.clip_grad"),
        ({"train": {"patience": -1}}, "train.patience"),
        ({"train": 3}, "train"),
        ({"data": {"fit": "stretch"}}, "data.fit"),
        ({"data": {"size": 4}}, "data.size"),
        ({"augment": {"magnitude": 31}}, "augment.magnitude"),
        ({"augment": {"cutout": 1.5}}, "augment.cutout"),
        ({"loss": {"weight": 2}}, "loss.weight"),
        ({"teacher": {}}, "teacher.spec"),
        ({"objectives": "f1"}, "objectives"),
        ({"space": {"resolutions": ["big"]}}, "space.resolutions.0"),
    ],
)
def test_values_out_of_range_name_their_key(content: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as error:
        parse_config(SearchConfig, content, "config.yaml")
    assert str(error.value).startswith(f"config.yaml: {key}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            {"mode": "smote"},
            "balance.mode: input should be 'none', 'sampler', 'logit-adjust' or 'post-hoc'",
        ),
        ({"mode": "post-hoc", "tau": -1}, "balance.tau: input should be greater"),
        ({"mode": "sampler", "tau": 1}, "balance: tau belongs to logit-adjust and post-hoc"),
        ({"sampler": True}, "unknown setting 'balance.sampler'; known here: mode, tau"),
    ],
)
def test_a_wrong_balance_is_one_line(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError) as error:
        parse_config(StudentConfig, {"balance": content}, "config.yaml")
    assert str(error.value).startswith(f"config.yaml: {complaint}")
    assert "\n" not in str(error.value)


def test_the_loss_is_adjusted_fully_unless_tau_is_given() -> None:
    assert BalanceConfig(mode="logit-adjust").loss_tau == 1
    assert BalanceConfig(mode="logit-adjust", tau=0.5).loss_tau == 0.5
    for mode in ("none", "sampler", "post-hoc"):
        assert parse_config(BalanceConfig, {"mode": mode}, "here").loss_tau is None


@pytest.mark.parametrize("content", [[1], "text", 3, None])
def test_settings_are_a_mapping(content: object) -> None:
    with pytest.raises(UserError, match="expected a mapping"):
        parse_config(SearchConfig, content, "config.yaml")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"a: [", "cannot be read"), (b"\xff\xfe\x00", "cannot be read"), (b"- 1", "expected a mapping")],
)
def test_files_that_are_no_settings(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_config(SearchConfig, path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_config(SearchConfig, tmp_path / "config.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_config(SearchConfig, tmp_path)


def test_a_file_leaves_what_it_does_not_say() -> None:
    config = SearchConfig(data=DataConfig(spec="here", size=64), trials=7, limits=("params<=8k",))
    over = SearchConfig.model_validate({"data": {"fit": "pad"}, "teacher": {"spec": "lite0"}})
    found = overlaid(config, over)
    assert found.data == DataConfig(spec="here", size=64, fit="pad")
    assert (found.trials, found.limits) == (7, ("params<=8k",))
    assert found.teacher == TeacherConfig(spec="lite0")
    assert overlaid(found, SearchConfig(teacher=None, trials=2)).teacher is None
    assert overlaid(config, SearchConfig()) == config


def test_changes_replace_what_they_name_and_nothing_else() -> None:
    config = SearchConfig(data=DataConfig(spec="here", size=64), trials=7)
    changes = {"train.epochs": 3, "data.fit": "pad", "timeout": 5, "teacher.spec": "lite0"}
    changed = merged(SearchConfig, config, changes)
    assert changed.train.epochs == 3
    assert changed.data == DataConfig(spec="here", size=64, fit="pad")
    assert (changed.trials, changed.seed, changed.timeout) == (7, 0, 5)
    assert changed.teacher == TeacherConfig(spec="lite0")
    assert config.train.epochs == SearchConfig().train.epochs, "the old one stays as it was"
    assert merged(SearchConfig, changed, {"train.epochs": None}).train.epochs is None
    with pytest.raises(UserError, match=r"unknown setting 'train\.epoch'.*did you mean 'train\.epochs'"):
        merged(SearchConfig, config, {"train.epoch": 3})
    with pytest.raises(SettingError, match=r"^train\.epochs: ") as error:
        merged(SearchConfig, config, {"train.epochs": -1})
    assert error.value.setting == "train.epochs"


def test_a_setting_of_a_missing_section_says_what_is_missing() -> None:
    with pytest.raises(SettingError, match=r"^teacher\.epochs: there is no teacher; give one"):
        merged(SearchConfig, SearchConfig(), {"teacher.epochs": 3})


def test_keywords_are_the_options_in_the_plural_where_they_take_several() -> None:
    keywords = {
        "data": "photos",
        "limits": ["params<=8k"],
        "batch_size": 8,
        "teacher": None,
        "epochs": None,
        "loss_options": {"temperature": 2},
        "train": {"weight_decay": 0.1, "warmup": 0.2},
        "augment.cutout": 0.5,
    }
    assert dotted(SearchConfig, keywords) == {
        "data.spec": "photos",
        "limits": ["params<=8k"],
        "train.batch_size": 8,
        "train.epochs": None,
        "loss.options": {"temperature": 2},
        "train.weight_decay": 0.1,
        "train.warmup": 0.2,
        "augment.cutout": 0.5,
    }
    with pytest.raises(UserError, match=r"unknown setting 'foo'; the command settings lists all"):
        dotted(SearchConfig, {"foo": 1})
    with pytest.raises(UserError, match=r"unknown setting 'limit'; did you mean 'limits'"):
        dotted(SearchConfig, {"limit": ["params<=8k"]})
    with pytest.raises(UserError, match=r"'train\.weightdecay'; did you mean 'train\.weight_decay'"):
        dotted(SearchConfig, {"train": {"weightdecay": 1}})


@pytest.mark.parametrize("kind", [SearchConfig, StudentConfig])
def test_every_setting_says_what_it_is_and_what_none_means(kind: Any) -> None:
    settings = known_settings(kind)
    assert len(settings) > 30
    for name, item in settings.items():
        assert item.help.endswith("."), name
        extra = item.field.json_schema_extra
        assert isinstance(extra, dict)
        assert (extra["auto"] is not None) == (item.optional or item.field.is_required()), name
    options = [item.option for item in settings.values() if item.option]
    assert len(options) == len(set(options))
    keywords = {item.keyword for item in settings.values() if item.keyword}
    assert len(keywords) == len(options)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("600", 600)])
def test_a_timeout_is_a_time(text: str, seconds: float) -> None:
    assert SearchConfig.model_validate({"timeout": text}).timeout == seconds


@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(),
        SearchConfig(
            data=DataConfig(spec="a folder: with a colon", fit="crop"),
            limits=("params<=300k", "f1>=80%"),
            timeout=1.5,
            teacher=TeacherConfig(spec="lite0", resolution=96),
            train=TrainConfig(epochs=2, learning_rate=1e-5),
        ),
        StudentConfig(seed=4, balance=BalanceConfig(mode="post-hoc", tau=0.5)),
    ],
)
def test_file_round_trip(tmp_path: Path, config: Any) -> None:
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert read_config(type(config), tmp_path / "config.yaml") == config
