"""``--help`` says everything, and what it says about defaults is true."""

from __future__ import annotations

import re
from functools import reduce

import pytest
import typer

import cli
from core.config import SearchConfig, StudentConfig
from training.budget import HALVED_TRIAL, STUDENT, TEACHER, TRIAL

GROUP = typer.main.get_command(cli.app)
COMMANDS = {
    **{name: command for name, command in GROUP.commands.items() if name not in ("data", "bench")},
    **{f"data {name}": command for name, command in GROUP.commands["data"].commands.items()},
    "bench strategies": GROUP.commands["bench"].commands["strategies"],
}
OPTIONS = [
    pytest.param(name, option, id=f"{name} {option.name}")
    for name, command in COMMANDS.items()
    for option in command.params
    if option.name != "help"
]
#: Options that mean something by being absent.
OPTIONAL = {
    *(
        "timeout",
        "limit",
        "strategy_option",
        "loss_option",
        "feature_option",
        "config",
        "json_file",
        "html_file",
    ),
    *(
        ("search", "teacher"),
        ("latency", "image_size"),
        ("predict", "out"),
        ("predict", "submission"),
        ("predict", "timing"),
    ),
}
SETTINGS = {
    "space": "space.name",
    "strategy": "strategy.name",
    "trials": "trials",
    "fidelity": "fidelity",
    "loss": "loss.name",
    "loss_weight": "loss.weight",
    "balance": "balance.mode",
    "workers": "workers",
    "seed": "seed",
    "fit": "data.fit",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "optimizer": "train.optimizer",
    "clip_grad": "train.clip_grad",
    "patience": "train.patience",
    "mixup": "augment.mixup",
    "scheduler": "train.scheduler",
    "precision": "train.precision",
}


def stated(option) -> str | None:
    match = re.search(r"\(default: (.*)\)", option.help or "")
    return match and match[1]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_explained_with_its_default(name, option):
    assert option.help and len(option.help) > 10
    if option.param_type_name == "argument" or option.required or getattr(option, "is_flag", False):
        return
    if option.name in OPTIONAL or (name, option.name) in OPTIONAL:
        assert option.default is None
    elif option.default is None:
        assert stated(option)
    else:
        assert option.show_default


@pytest.mark.parametrize("name", ["search", "distill", "train"])
def test_stated_defaults_are_those_of_the_settings(name):
    config = SearchConfig() if name == "search" else StudentConfig()
    checked = 0
    for option in COMMANDS[name].params:
        if option.name in SETTINGS:
            value = reduce(getattr, SETTINGS[option.name].split("."), config)
            assert stated(option) == f"{value}", option.name
            checked += 1
        elif option.name in ("epochs", "teacher_epochs"):
            usual = TRIAL if name == "search" else STUDENT
            length = TEACHER if option.name == "teacher_epochs" else usual
            assert stated(option).startswith(str(length))
            if name == "search" and option.name == "epochs":
                assert f"by default {HALVED_TRIAL.epochs} or {HALVED_TRIAL.steps} steps" in option.help
    assert checked >= 5


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_well(here, minnow, name):
    said = minnow(f"{name} --help")
    assert said.code == 0
    assert "Usage" in said.output


def test_nothing_to_do_shows_the_help(here, minnow):
    said = minnow("")
    assert said.code == 2
    assert "distill" in said.output and said.notices == []
