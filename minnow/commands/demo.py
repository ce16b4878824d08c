"""The command ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from core.config import MAX_SEED


def demo(
    out: Annotated[Path, Option(help="Directory for everything the demo makes.")] = Path("runs/demo"),
    seed: Annotated[int, Option(help="Seed of every random decision.", min=0, max=MAX_SEED)] = 0,
) -> None:
    """Run the whole job on embedded images, in a few minutes: search, distil, export, compare."""
    from core.runtime import share_cores
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        share_cores(listener.note)
        from minnow.demo_run import run_demo

        run_demo(out, seed, listener)
