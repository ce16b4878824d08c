"""The command lines in the documentation are ones that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
import nas.strategies

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/from-optuna-scripts.md", "docs/strategies.md")
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
IN_BLOCK = re.compile(r"^(?:\S*python )?cli\.py (.+)$", re.MULTILINE)
INLINE = re.compile(r"`(?:\S*python\s)?cli\.py\s([^`]+)`")
STRATEGY = re.compile(r"--strategy (optuna:\w+)")


def minnow() -> list[Any]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for block in BLOCK.findall(text) for line in IN_BLOCK.findall(block)]
        lines += INLINE.findall(BLOCK.sub("", text))
        found += [pytest.param(line, id=f"{page}: {line}") for line in dict.fromkeys(lines)]
    return found


@pytest.mark.parametrize("line", minnow())
def test_a_command_line_is_taken(line: str) -> None:
    """Its command, options and values are known; nothing is run."""
    command: Any = typer.main.get_command(cli.app)
    context, words = None, shlex.split(line, comments=True)
    while hasattr(command, "resolve_command"):
        context = command.make_context(command.name or "cli.py", [], resilient_parsing=True)
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, words, parent=context)


def test_strategies_of_optuna_are_there() -> None:
    names = {name for page in PAGES for name in STRATEGY.findall((ROOT / page).read_text("utf-8"))}
    assert names
    for name in names:
        nas.strategies.load(name)
