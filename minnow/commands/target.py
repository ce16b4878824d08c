"""The commands ``target profile`` and ``target list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from core.config import MAX_SEED

if TYPE_CHECKING:
    from minnow.target_profile import ProfileJob

app = typer.Typer(no_args_is_help=True, help="List targets, or measure a device into a profile.")


@app.command("profile")
def target_profile(
    out: Annotated[Path, Option(help="JSON file to write, or to go on with.")],
    target: Annotated[str, Option(help="Runtime, precision and device, as for search.")] = "onnxruntime",
    space: Annotated[str, Option(help="Search space of the networks.")] = "elastic",
    teacher: Annotated[
        str | None,
        Option(
            help="Network that those of the space elastic are cut out of. (default: "
            "tf_efficientnet_lite0)"
        ),
    ] = None,
    networks: Annotated[
        int, Option("--networks", "-n", help="Number of networks, spread over the sizes.", min=4)
    ] = 40,
    classes: Annotated[
        int, Option(help="Width of their classifiers; searches may have others.", min=2)
    ] = 10,
    resolution: Annotated[
        str | None,
        Option(help="Input sides of the space, pixels, as in 64,96,128. (default: 32,64,96,128,160,224)"),
    ] = None,
    seed: Annotated[int, Option(help="Seed of the choice of networks.", min=0, max=MAX_SEED)] = 0,
) -> None:
    """Measure networks on a device, for a file that predicts the latencies of all others.

    Example: target profile --target onnxruntime@ssh:pi@raspberrypi --out pi4.json

    'search --target pi4.json' then needs the device no more. Every measurement is stored at once; the
    same command goes on after an interruption, and with a larger -n.
    """
    from core.runtime import share_cores
    from minnow.console import interruptible, next_step, output
    from minnow.progress import ConsoleListener
    from minnow.target_profile import ProfileJob, run_profile

    job = ProfileJob(target, out, space, teacher, networks, classes, _sides(resolution), seed)
    with ConsoleListener() as listener, interruptible(*_typed(job)):
        share_cores(listener.note)
        profile = run_profile(job, listener)
    errors = profile.errors
    output().print(
        f"{profile.source}\n"
        f"left out of the fit: rank correlation {errors.rank_correlation:.3f}, "
        f"{errors.within_10_percent:.0%} within 10 %, median error {errors.median_error:.1%}, "
        f"95 % within {errors.quantile_95:.1%}\n"
        f"limits on a predicted latency keep a margin of {errors.margin:.1%}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    next_step(["search", "--target", out, "--limit", "latency_ms<=MS"])


@app.command("list")
def target_list() -> None:
    """List the targets, and what is missing here to convert networks for each."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    import deploy.targets
    from core.errors import UserError
    from minnow.console import output

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("target", "precision", "converts here", "what it is"):
        table.add_column(column, no_wrap=column == "target")
    for plugin in deploy.targets.REGISTRY.describe():
        try:
            target = deploy.targets.load(plugin.name)()
            target.check()
            ready, precision = "yes", target.precision
        except UserError as error:
            ready, precision = f"no: {error}", "-"
        table.add_row(plugin.name, precision, escape(ready), escape(plugin.summary))
    output().print(table)


def _sides(text: str | None) -> tuple[int, ...] | None:
    """Return input sides as the setting ``space.resolutions`` reads them.

    Raises:
        UserError: no list of numbers.
    """
    from core.config import SearchConfig
    from core.config_io import merged

    if text is None:
        return None
    return merged(SearchConfig, SearchConfig(), {"space.resolutions": text}).space.resolutions


def _typed(job: ProfileJob) -> list[object]:
    """Return the words of the command that goes on with a profile."""
    words: list[object] = ["target", "profile", "--target", job.target, "--space", job.space]
    words += [] if job.teacher is None else ["--teacher", job.teacher]
    words += ["-n", job.networks, "--classes", job.num_classes]
    words += [] if job.resolutions is None else ["--resolution", ",".join(map(str, job.resolutions))]
    return [*words, "--seed", job.seed, "--out", job.out]
