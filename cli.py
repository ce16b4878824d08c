"""Minnow's command line: options become settings, settings go to one function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from minnow.commands import bench, data, finished, model, search, students

app = typer.Typer(
    name="minnow",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Find a small, fast image classifier for your images, and teach it what shrinking cost.\n\n"
        "Start with [bold]search --data DIR[/bold] (a directory with one folder of images per class), "
        "then [bold]distill --teacher tf_efficientnet_lite0[/bold], then [bold]export[/bold]."
    ),
)


@app.callback()
def launched(context: typer.Context) -> None:
    """Refuse several processes where they would all do the same."""
    command = context.invoked_subcommand
    if command is not None and command not in ("distill", "train"):
        from core.runtime import check_alone

        check_alone(command)


def plugins() -> None:
    """List every space, strategy, loss and teacher source."""
    from minnow.plugin_list import list_plugins

    list_plugins()


def demo(
    out: Annotated[Path, typer.Option(help="Directory for everything the demo makes.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Of every random decision.", min=0, max=2**32 - 1)] = 0,
) -> None:
    """The whole job on the embedded digits, in a few minutes: search, distil, export, compare."""
    from minnow.cores import share_cores
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        share_cores(listener)
        from minnow.demo_run import run_demo

        run_demo(out, seed, listener)


for command in (
    search.search,
    students.distill,
    students.train,
    finished.evaluate,
    finished.compare,
    finished.report,
    finished.predict,
    finished.export,
    finished.latency,
    plugins,
    demo,
):
    app.command()(command)
for name, group in (("data", data.app), ("model", model.app), ("bench", bench.app)):
    app.add_typer(group, name=name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2."""
    sys.exit(_guarded(lambda: app(arguments, standalone_mode=False)))


def _guarded(run: Callable[[], Any]) -> int:
    from core.errors import UserError

    try:
        return run() or 0
    except UserError as error:
        _complain(str(error))
    except OSError as error:
        from core.errors import disk_advice

        path = Path(error.filename2 or error.filename or "to the disk")
        if (advice := disk_advice(error, path)) is None:
            raise
        _complain(advice)
    except Exception as error:
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
