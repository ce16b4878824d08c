"""The command ``push``."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Argument, Option

from minnow.commands.options import StudentRun


def push(
    run: StudentRun,
    repository: Annotated[
        str,
        Argument(
            help="Where to: hf:USER/NAME, a model repository of the Hugging Face hub, made if missing."
        ),
    ],
    target: Annotated[
        str | None,
        Option(
            help="Export to upload: a target as for export, timm, or onnx for the ONNX file. "
            "(default: the latest export)"
        ),
    ] = None,
    private: Annotated[
        bool, Option("--private", help="Make the repository private, if it is new.")
    ] = False,
    revision: Annotated[
        str | None, Option(help="Branch to upload to, made if it is missing. (default: main)")
    ] = None,
    dry_run: Annotated[
        bool,
        Option(
            "--dry-run", help="List the files and show the model card; upload nothing, connect nowhere."
        ),
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask for a confirmation on a terminal.")] = False,
) -> None:
    """Upload an export with its model card to the Hugging Face hub.

    Example: push runs/latest hf:USER/photos --private

    Only the files that export wrote are uploaded, without its report.json, and never photos. --dry-run
    lists them. Edit README.md beside them first, if you like.
    """
    from minnow.console import output, say
    from minnow.hub_upload import prepare_upload, upload

    plan = prepare_upload(run, repository, target=target, private=private, revision=revision)
    sizes = {name: len(content) for name, content in plan.files.items()}
    listing = "\n".join(f"  {size / 1e3:>12,.1f} kB  {name}" for name, size in sizes.items())
    branch = "" if plan.revision is None else f", branch {plan.revision}"
    say(f"{plan.folder}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB\n{listing}")
    if dry_run:
        output().print(plan.card, highlight=False, markup=False, soft_wrap=True)
        say(f"dry run: nothing was uploaded to {plan.repository}{branch}")
        return
    visibility = "privately, if it is new" if private else "publicly, if it is new"
    if not yes and not _confirmed(f"Upload them to {plan.repository}{branch} ({visibility})?"):
        say("nothing was uploaded")
        return
    say(f"uploading to {plan.repository}{branch}")
    say(f"uploaded to {upload(plan)}{branch}")


def _confirmed(question: str) -> bool:
    """Ask on a terminal; elsewhere nobody can answer, and the command itself is the consent."""
    from rich.prompt import Confirm

    from minnow.console import notices

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    try:
        return Confirm.ask(question, console=notices(), default=False)
    except EOFError:
        return False
