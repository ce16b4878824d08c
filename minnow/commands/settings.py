"""The command ``settings``: the reference of all settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel
from typer import Argument, Option

from core.config import SearchConfig, StudentConfig
from core.config_io import known_settings
from core.setting import Setting
from minnow.commands.train import WITHOUT

Command = Literal["search", "distill", "train"]

_MODELS: dict[Command, type[BaseModel]] = {
    "search": SearchConfig,
    "distill": StudentConfig,
    "train": StudentConfig,
}
_INTRODUCTION = """# Settings

Every setting is a key of a run's `config.yaml`. `--set NAME=VALUE` gives any of them on the command line,
in the notation of YAML; many have an option, too. In Python, `minnow.search` and `minnow.distill` take
the option's name with underscores as a keyword, in the plural if it is repeatable (`limits`,
`objectives`), or a section as a dictionary (`train={"weight_decay": 0.1}`). A default in words is decided
once, before work begins, and stored in `config.yaml`. Options win over `--config FILE`, and the file over
the defaults.

`python cli.py settings --markdown` writes this page.
"""


def settings(
    command: Annotated[
        Command | None, Argument(help="The command whose settings to list. (default: all)")
    ] = None,
    markdown: Annotated[
        bool, Option("--markdown", help="Print the documentation's reference page.")
    ] = False,
) -> None:
    """List all settings with default, range and help.

    Example: settings search
    """
    commands: tuple[Command, ...] = ("search", "distill", "train") if command is None else (command,)
    if markdown:
        print(reference(commands), end="")
        return
    from rich import box
    from rich.table import Table

    from minnow.console import output

    for name in commands:
        table = Table(title=name, box=box.SIMPLE_HEAD, title_justify="left")
        for column in ("setting", "option", "default", "range", "help"):
            table.add_column(column, overflow="fold")
        for item in settings_of_command(name):
            option = f"--{item.option}" if item.option else ""
            table.add_row(item.name, option, item.default, item.range, item.help)
        output().print(table)


def settings_of_command(command: Command) -> Iterator[Setting]:
    """Yield the settings of a command."""
    for name, item in known_settings(_MODELS[command]).items():
        if command != "train" or not name.startswith(WITHOUT):
            yield item


def reference(commands: tuple[Command, ...] = ("search", "distill", "train")) -> str:
    """Return the reference page of the settings, in Markdown."""
    lines = [_INTRODUCTION]
    for command in commands:
        lines += [f"## `{command}`", "", "| Setting | Option | Default | Range | Meaning |"]
        lines.append("|---|---|---|---|---|")
        for item in settings_of_command(command):
            option = f"`--{item.option}`" if item.option else ""
            cells = (f"`{item.name}`", option, item.default, item.range, item.help)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)
