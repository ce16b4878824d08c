"""``--help``: short, fast, complete, and true about every default and choice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from core.config import FIT_DEFAULTS, SearchConfig, StudentConfig
from core.config_io import known_settings
from minnow.commands import settings
from minnow.commands.app import app
from training.budget import (
    HALVED_TRIAL,
    INHERITED,
    NEAR_SUPERNET,
    STUDENT,
    SUPERNET,
    TEACHER,
    TRIAL,
    inherited_length,
)

ROOT = Path(__file__).parents[2]
#: Commands whose options are made from settings.
KINDS = {
    "search": SearchConfig,
    "distill": StudentConfig,
    "train": StudentConfig,
    "data check": SearchConfig,
}
MOST_OPTIONS = {"search": 23, "distill": 18, "train": 18}


def leaves(group, prefix=""):
    """Every command of a group and of the groups in it, by its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(leaves(typer.main.get_command(app)))
OPTIONS = [
    pytest.param(name, option, id=f"{name} {option.name}")
    for name, command in COMMANDS.items()
    for option in command.params
    if option.name != "help"
]
#: Options that mean something by being absent.
OPTIONAL = {
    *("strategy_option", "config", "assignments", "json_file", "html_file"),
    *(("bench strategies", "limit"), ("bench ranking", "limit")),
    *(("predict", name) for name in ("out", "submission", "timing")),
    ("model show", "image_size"),
    ("model convert", "image_size"),
}


def stated(option) -> str | None:
    match = re.search(r"\(default: (.*)\)$", option.help or "")
    return match and match[1]


def test_all_commands_are_looked_at():
    assert {"search", "model show", "model convert", "bench ranking", "data crop"} <= COMMANDS.keys()
    assert len(COMMANDS) >= 18


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


@pytest.mark.parametrize("name", KINDS)
def test_defaults_and_choices_are_those_of_the_settings(name):
    items = {item.option: item for item in known_settings(KINDS[name]).values() if item.option}
    made = {option.opts[0].removeprefix("--"): option for option in COMMANDS[name].params}
    checked = 0
    for option_name in items.keys() & made.keys():
        item, option = items[option_name], made[option_name]
        assert stated(option) == item.default
        if item.choices:
            assert option.metavar == f"[{'|'.join(item.choices)}]"
        value = item.field.default
        if isinstance(value, bool | int | float | str):
            text = {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"
            assert item.default in (text, text.removesuffix(".0"))
        checked += 1
    assert checked == {"data check": 3, "train": 24}.get(name, len(items))


def test_fit_states_its_own_defaults():
    items = {name: item.option for name, item in known_settings(SearchConfig).items()}
    made = {option.opts[0].removeprefix("--"): option for option in COMMANDS["fit"].params}
    for name, value in FIT_DEFAULTS.items():
        assert stated(made[items[name]]) == str(value)
    assert stated(made["epochs"]) == known_settings(SearchConfig)["train.epochs"].default


def test_defaults_in_words_are_those_of_the_budget():
    search, student = known_settings(SearchConfig), known_settings(StudentConfig)
    epochs = search["train.epochs"].default
    assert epochs.startswith(f"{TRIAL}; with asha {HALVED_TRIAL}; ")
    most = inherited_length(1).steps
    assert student["train.epochs"].default == (
        f"{STUDENT}; with inherited weights {INHERITED}; below 10 M MACs up to {most:,} steps"
    )
    assert search["teacher.epochs"].default == student["teacher.epochs"].default == f"{TEACHER}"
    assert (
        search["supernet.epochs"].default == f"{SUPERNET}; with one objective and limits {NEAR_SUPERNET}"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_well_and_imports_no_torch(here, minnow, name):
    said = minnow(f"{name} --help")
    assert said.code == 0
    assert "Usage" in said.output


@pytest.mark.parametrize("name", MOST_OPTIONS)
def test_help_shows_few_options(name):
    shown = [option for option in COMMANDS[name].params if not getattr(option, "hidden", False)]
    assert len(shown) <= MOST_OPTIONS[name]
    assert all(option.rich_help_panel for option in shown if option.name != "help")


def test_help_imports_no_torch():
    code = (
        "import sys, cli\n"
        "try: cli.main(['search', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'timm', 'optuna', 'numpy'} & sys.modules.keys(), 'heavy imports'\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_nothing_to_do_shows_the_help(here, minnow):
    said = minnow("")
    assert said.code == 2
    assert "distill" in said.output and said.notices == []


def test_settings_lists_every_setting(here, minnow):
    said = minnow("settings search")
    assert said.code == 0
    flat = "".join(said.output.split())
    assert all(name[:20] in flat for name in ("train.batch_size", "strategy.options", "score.time"))
    page = minnow("settings --markdown").output
    assert all(f"| `{name}` |" in page for name in known_settings(SearchConfig))
    assert page == settings.reference()


def test_the_reference_page_is_current():
    assert (ROOT / "docs/reference-settings.md").read_text(encoding="utf-8") == settings.reference()
