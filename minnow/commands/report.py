"""The command ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def report(
    run: Annotated[Path, Argument(help="Run directory of a search, of a trained student, or of both.")],
    out: Annotated[Path | None, Option(help="HTML file. (default: report.html in RUN)")] = None,
) -> None:
    """Write a run's page anew: history, Pareto front, common traits of good networks, student scores.

    Every search, distill and train leaves one. It opens in a browser, offline.
    """
    from minnow.console import say
    from minnow.report.run_page import write_report

    say(f"wrote {write_report(run, out)}")
