"""Minnow's command line: it registers the commands and turns errors into one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from core.config_io import SettingError
from core.errors import UserError
from minnow.commands import (
    bench,
    compare,
    data,
    demo,
    distill,
    evaluate,
    export,
    fit,
    latency,
    model,
    plugins,
    predict,
    report,
    search,
    settings,
    train,
)
from minnow.typed import as_typed

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
        from core.runtime import check_alone

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
    latency.latency,
    settings.settings,
    plugins.plugins,
    demo.demo,
):
    app.command()(command)
for name, group in (("data", data.app), ("model", model.app), ("bench", bench.app)):
    app.add_typer(group, name=name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error that the user can mend ends in one line and exit code 2."""
    sys.exit(_guarded(lambda: app(arguments, standalone_mode=False)))


def _guarded(run: Callable[[], Any]) -> int:
    try:
        return run() or 0
    except SettingError as error:
        _complain(as_typed(error))
    except UserError as error:
        _complain(str(error))
    except OSError as error:
        from core.errors import disk_advice

        path = Path(error.filename2 or error.filename or "to the disk")
        if (advice := disk_advice(error, path)) is None:
            raise
        _complain(advice)
    except Exception as error:
        from core.errors import one_line, out_of_memory

        if out_of_memory(error):
            _complain(
                f"not enough memory ({one_line(error)[:200]}); lower --batch-size or --image-size, or "
                "use fewer --workers"
            )
            return 2
        # A usage error. Newer versions of typer bundle click, so that its class has no fixed home.
        if not hasattr(error, "format_message"):
            raise
        if message := error.format_message():  # none where the help was shown instead
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "minnow"
            _complain(f"{message.rstrip('.')}; see {command} --help")
    return 2


def _complain(message: str) -> None:
    from core.runtime import is_main

    if is_main():
        print(f"minnow: error: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
