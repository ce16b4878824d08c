"""The command line as typer has it: every command under its name."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer

from core.runtime import check_alone
from minnow.commands import (
    bench,
    compare,
    data,
    demo,
    distill,
    doctor,
    evaluate,
    export,
    fit,
    latency,
    model,
    plugins,
    predict,
    push,
    report,
    search,
    settings,
    target,
    train,
)

app = typer.Typer(
    name="minnow",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Find a small, fast image classifier for your images, and recover by distillation the accuracy "
        "lost to shrinking.\n\n"
        "Start with [bold]fit --data DIR --limit 'latency_ms<=1'[/bold] (DIR has one folder of images "
        "per class), or step by step: [bold]search --data DIR[/bold], then [bold]distill --teacher "
        "tf_efficientnet_lite0[/bold], then [bold]export[/bold]."
    ),
)


@app.callback()
def check_launch(context: typer.Context) -> None:
    """Refuse several processes where all of them would do the same."""
    command = context.invoked_subcommand
    if command is not None and command not in ("distill", "train"):
        check_alone(command)


for command in (
    fit.fit,
    search.search,
    distill.distill,
    train.train,
    evaluate.evaluate,
    compare.compare,
    report.report,
    predict.predict,
    export.export,
    push.push,
    latency.latency,
    settings.settings,
    plugins.plugins,
    demo.demo,
    doctor.doctor,
):
    app.command()(command)
for name, group in (
    ("data", data.app),
    ("model", model.app),
    ("target", target.app),
    ("bench", bench.app),
):
    app.add_typer(group, name=name)


@cache
def command_line() -> Any:
    """Return the command that runs all others; called with the words behind the program's name."""
    return typer.main.get_command(app)
