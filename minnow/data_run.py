"""``data check`` and ``data crop``: a data set examined, or made from annotated photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from core.config import DataConfig
from core.errors import UserError
from core.files import write_bytes
from core.output_path import check_file, check_folder
from minnow.console import next_step, output, say, warn
from minnow.progress import ConsoleListener
from training.confident_learning import require_cleanlab
from training.data.check import Report, check_images
from training.data.class_names import twin_warnings
from training.data.coco.annotations import read_coco
from training.data.coco.categories import OWN_NAMES, load_map
from training.data.coco.crop_set import CropOptions, CropReport, make_crops
from training.data.coco.crops import GROUP_BY_PHOTO
from training.data.duplicates import Duplicate, groups_csv
from training.data.grouped_split import parse_shares
from training.data.images import data_options

_MOST_GROUPS, _MOST_FILES = 100, 20  # duplicates that are named
_NAMED = 3  # photos and annotations that could not be used, named for each reason


def check(
    config: DataConfig, *, run: Path | None = None, out: Path | None = None, groups: Path | None = None
) -> bool:
    """Print the contents and the problems of a data set; return whether it can be used.

    Args:
        config: the data set.
        run: run directory with a student trained on it, to look for wrong labels with.
        out: folder for the tables of these; ``None``: ``run``.
        groups: CSV file of the groups of near-duplicates; ``None``: none is written.

    Raises:
        UserError: no such data set or student, or a file that cannot be written.
    """
    if run is not None:
        require_cleanlab()
    if out is not None:
        check_folder(out)
    if groups is not None:
        check_file(groups)
    with ConsoleListener() as listener:
        report = check_images(
            config.spec,
            data_options(config),
            progress=partial(listener.count, "reading images"),
            compared=partial(listener.count, "comparing images"),
        )
    _show(report)
    if groups is not None:
        write_bytes(groups, groups_csv(report.listed, report.groups, report.classes))
        say(f"{report.images:,} images in {groups}")
    if run is not None and report.usable:
        from minnow.label_run import check_run  # which needs torch

        check_run(run, report, run if out is None else out)
    return report.usable


def _show(report: Report) -> None:
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
    _show_groups("duplicate ", report.duplicates)
    _show_groups("near-duplicate ", report.near_duplicates)
    for line in report.notes:
        console.print(f"note: {line}", highlight=False, markup=False)
    for line in report.problems:
        console.print(f"problem: {line}", style="red", highlight=False, markup=False)
    for line in report.warnings:
        console.print(f"warning: {line}", style="yellow", highlight=False, markup=False)
    if report.usable and not report.warnings:
        console.print("nothing to complain about", style="green")


def _show_groups(kind: str, groups: Sequence[Duplicate]) -> None:
    console = output()
    for group in groups[:_MOST_GROUPS]:
        places = " and ".join(
            f"{label} {', '.join(names)}"
            for label, names in (("classes", group.classes), ("splits", group.splits))
            if len(names) > 1
        )
        files = ", ".join(group.files[:_MOST_FILES])
        if len(group.files) > _MOST_FILES:
            files += f" and {len(group.files) - _MOST_FILES:,} more"
        console.print(f"{kind} across {places}: {files}", highlight=False, markup=False)
    if len(groups) > _MOST_GROUPS:
        more = f"{len(groups) - _MOST_GROUPS:,} more groups; --groups FILE writes all"
        console.print(f"{kind} {more}", highlight=False, markup=False)


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


def crop(
    annotations: Path,
    images: Path,
    out: Path,
    *,
    map_name: str | None,
    margin: float,
    min_side: float,
    split: str | None,
    seed: int,
) -> None:
    """Read the boxes, cut them out, and print the counts.

    Raises:
        UserError: a wrong option; see also ``training.data.coco``.
    """
    for name, number in (("--margin", margin), ("--min-side", min_side)):
        if not math.isfinite(number) or number < 0:
            raise UserError(f"{name} is {number:g}: choose 0 or more")
    shares = {} if split is None else parse_shares(split)
    classes = OWN_NAMES if map_name is None else load_map(map_name)
    coco = read_coco(annotations)
    unknown = classes.unknown(coco.categories)
    if unknown and len(unknown) == len(classes.classes) and classes.others is None:
        raise UserError(f"map {map_name} names no category of {annotations}: {unknown[0]}")
    for line in unknown:
        warn(f"map {map_name}: {line}")
    if coco.repeated_ids:
        ids = ", ".join(map(str, coco.repeated_ids[:_NAMED]))
        warn(f"{len(coco.repeated_ids)} annotation ids are in use more than once, such as {ids}")
    for line in twin_warnings(filter(None, map(classes.class_of, coco.categories))):
        warn(line)
    _warn_of({**coco.unusable, **coco.remarks})
    options = CropOptions(margin, min_side, shares, seed)
    try:
        with ConsoleListener() as listener:
            progress = partial(listener.count, "cropping photos")
            report = make_crops(
                coco, images, out, classes, options, progress=progress, warn=listener.warn
            )
    except KeyboardInterrupt:
        say("\nstopped; nothing was written")
        raise SystemExit(130) from None
    _warn_of(
        {
            reason: [f"{file}: {detail}" for file, detail in photos]
            for reason, photos in report.failed.items()
        }
    )
    _print(report, tuple(shares) or ("",))
    say(f"crops in {out}; crops.csv there says which annotation each is")
    whole = [] if shares else ["--group-by", GROUP_BY_PHOTO]
    next_step(["data", "check", out, *whole], ["search", "--data", out, *whole])


def _warn_of(findings: Mapping[str, Sequence[str]]) -> None:
    """Print the number and the first few of what could not be used, for each reason."""
    for reason, places in findings.items():
        more = "; ..." if len(places) > _NAMED else ""
        warn(f"{reason} ({len(places):,}): {'; '.join(places[:_NAMED])}{more}")


def _print(report: CropReport, splits: tuple[str, ...]) -> None:
    total = sum(sum(by_split.values()) for by_split in report.counts.values())
    rows = [
        (name, *(f"{by_split.get(split, 0):,}" for split in splits))
        for name, by_split in report.counts.items()
    ]
    _table(
        f"{total:,} crops of {report.photos:,} photos",
        ("class", *(split or "crops" for split in splits)),
        rows,
    )
    if report.skipped:
        reasons = [(reason, f"{count:,}") for reason, count in report.skipped.items()]
        _table(f"{sum(report.skipped.values()):,} boxes without a crop", ("reason", "boxes"), reasons)
    if report.rare:
        warn(f"too rare to be in every split, left out: {', '.join(report.rare)}; merge with --map")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table and its title, which rich would break to the width of the table."""
    table = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    output().print(title, highlight=False)
    output().print(table)
