"""``data check``."""

from __future__ import annotations

from functools import partial

from rich import box
from rich.markup import escape
from rich.table import Table

from core.config import DataConfig
from minnow.console import output
from minnow.progress import ConsoleListener
from training.data.check import Report, check_images
from training.data.images import data_options


def check(config: DataConfig) -> bool:
    """Print the contents and the problems of a data set; return whether it can be used."""
    with ConsoleListener() as listener:
        report = check_images(
            config.spec, data_options(config), progress=partial(listener.count, "reading images")
        )
    console = output()
    console.print(_counts(report))
    if report.sizes is not None:
        s = report.sizes
        console.print(
            f"sizes   {s.min_width}-{s.max_width} x {s.min_height}-{s.max_height} px, "
            f"median {s.median_width:g} x {s.median_height:g}; stored at {report.stored_size} px",
            highlight=False,
        )
    modes = ", ".join(f"{mode} {count:,}" for mode, count in report.modes.items())
    console.print(f"modes   {modes or 'none'}", highlight=False)
    console.print(f"largest class / smallest  {report.imbalance:.1f}", highlight=False)
    for name, reason in report.broken:
        console.print(f"broken     {name}: {reason}", highlight=False, markup=False)
    for group in report.duplicates:
        places = " and ".join(
            f"{label} {', '.join(names)}"
            for label, names in (("classes", group.classes), ("splits", group.parts))
            if len(names) > 1
        )
        files = ", ".join(group.files)
        console.print(f"duplicate  across {places}: {files}", highlight=False, markup=False)
    for line in report.notes:
        console.print(f"note: {line}", highlight=False, markup=False)
    for line in report.problems:
        console.print(f"problem: {line}", style="red", highlight=False, markup=False)
    for line in report.warnings:
        console.print(f"warning: {line}", style="yellow", highlight=False, markup=False)
    if report.usable and not report.warnings:
        console.print("nothing to complain about", style="green")
    return report.usable


def _counts(report: Report) -> Table:
    table = Table(
        title=f"{report.name}: {report.images:,} images", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("class")
    for split in report.counts:
        table.add_column(split if report.own_splits else f"{split} (by Minnow)", justify="right")
    for index, name in enumerate(report.classes):
        table.add_row(escape(name), *(f"{counts[index]:,}" for counts in report.counts.values()))
    return table
