"""The commands, Python lines, links and pictures of the documentation are ones that work."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import nas.strategies
from core.config import SearchConfig, StudentConfig
from core.config_io import dotted
from minnow.commands.app import app
from nas.strategies.testing import STRATEGY_CHECKS

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))),
)
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ") for page in PAGES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_BLOCK = re.compile(r"^(?:\S*python |accelerate launch .*?)?cli\.py (.+)$", re.MULTILINE)
INLINE = re.compile(r"`(?:\S*python\s)?cli\.py\s([^`]+)`")
STRATEGY = re.compile(r"--strategy (optuna:\w+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(
    r"`((?:benchmarks|core|deploy|distill|docs|examples|minnow|nas|teachers|tests|training)/[\w./-]+)`"
)
DOTTED = re.compile(
    r"`((?:core|deploy|distill|nas|teachers|training)(?:\.\w+)+)`|^::: (\S+)", re.MULTILINE
)
COMMAND_OPTIONS = re.compile(r"`(--[a-z-]+)")


def blocks(page: str, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(TEXTS[page]) if name == language]


def command_lines() -> list[Any]:
    lines = []
    for page, text in TEXTS.items():
        there = [line for block in blocks(page, "") for line in IN_BLOCK.findall(block)]
        there += INLINE.findall(BLOCK.sub("", text))
        lines += [pytest.param(line, id=f"{page}: {line}") for line in dict.fromkeys(there)]
    return lines


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_taken(line: str) -> None:
    """Its command, options and values are known; nothing is run."""
    command: Any = typer.main.get_command(app)
    context, words = None, shlex.split(line, comments=True)
    while hasattr(command, "resolve_command"):
        context = command.make_context(command.name or "cli.py", [], resilient_parsing=True)
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, words, parent=context)


def test_every_option_that_a_page_names_exists() -> None:
    def options(command: Any) -> set[str]:
        names = {name for option in command.params for name in option.opts}
        return names.union(*map(options, getattr(command, "commands", {}).values()))

    named = {name for text in TEXTS.values() for name in COMMAND_OPTIONS.findall(text)}
    assert len(named) > 20
    assert named - options(typer.main.get_command(app)) <= {
        "--only",  # of a benchmark
        "--num-cpus",  # of Ray
        "--build-arg",  # of docker
        "--gpus",  # of docker
    }


def test_strategies_of_optuna_are_there() -> None:
    names = {name for text in TEXTS.values() for name in STRATEGY.findall(text)}
    assert names
    for name in names:
        nas.strategies.load(name)


@pytest.mark.parametrize("page", PAGES)
def test_python_parses_and_its_imports_resolve(page: str) -> None:
    sources = [*blocks(page, "python"), *re.findall(r"`(from [\w.]+ import \w+)`", TEXTS[page])]
    for node in [node for source in sources for node in ast.walk(ast.parse(source))]:
        if isinstance(node, ast.ImportFrom) and node.module != "climb":
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


def api_calls() -> list[Any]:
    """The calls of ``minnow.NAME(...)`` in the documentation."""
    nodes = [
        node
        for page in PAGES
        for source in blocks(page, "python")
        for node in ast.walk(ast.parse(source))
    ]
    calls = {ast.unparse(node): node for node in nodes if isinstance(node, ast.Call)}
    return [pytest.param(node, id=text) for text, node in calls.items() if text.startswith("minnow.")]


@pytest.mark.parametrize("call", api_calls())
def test_the_python_api_takes_the_arguments(call: ast.Call) -> None:
    function = pkgutil.resolve_name(ast.unparse(call.func))
    keywords = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
    arguments = inspect.signature(function).bind(*call.args, **keywords).arguments
    settings = arguments.get("settings", {})
    kind = StudentConfig if function.__name__ in ("distill", "train") else SearchConfig
    assert len(dotted(kind, settings)) == len(settings)


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page: str) -> None:
    for name in map("".join, DOTTED.findall(TEXTS[page])):
        pkgutil.resolve_name(name)


def test_the_strategy_in_the_readme_keeps_the_contract(tmp_path: Path) -> None:
    (source,) = [block for block in blocks("README.md", "python") if "(Strategy):" in block]
    assert any(source.strip() in block for block in blocks("docs/strategies.md", "python"))
    (tmp_path / "climb.py").write_text(source, encoding="utf-8")
    for check in ("new networks within limits", "resume at every cut, large space", "seeds", "failures"):
        STRATEGY_CHECKS[check](f"{tmp_path / 'climb.py'}:Climb")


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "examples/strategy_plugin/README.md"])
def test_links_lead_to_files_and_headings(page: str) -> None:
    source = ROOT / page
    for link in LINK.findall(source.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (source.parent / name) if name else source
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_files_that_a_page_names_exist(page: str) -> None:
    for name in FILE.findall((ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or Path(name).stem == "NAME", name


def test_registries_that_contributing_names_exist() -> None:
    named = re.findall(r"`([A-Z_]+)` in `([\w/]+\.py)`", TEXTS["CONTRIBUTING.md"])
    assert len(named) == 6
    for name, file in named:
        assert re.search(rf"^{name} = ", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_readme_stays_short() -> None:
    assert TEXTS["README.md"].count("\n") <= 130


def test_pages_are_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page for page in PAGES if page.startswith("docs/") and f" {Path(page).name}" not in site]
    assert not missing
