"""Run directories on disk: choosing one, marking the last one, undoing a false start."""

from __future__ import annotations

import atexit
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from core.errors import UserError, disk_errors
from core.output_path import check_folder
from core.runtime import is_main
from training.bundle_files import CONFIG_FILE

ROOT = Path("runs")
LATEST = ROOT / "latest"
_CLAIM = ".claimed"  # file in a directory that a run has chosen and not begun to fill


def new_run(name: str) -> Path:
    """Choose and make a directory ``runs/NAME``, or ``runs/NAME-2`` and so on where that exists.

    Runs that begin at the same time get different ones. Of processes that train together the main one
    alone makes it. See :func:`unclaimed_on_error`.

    Raises:
        UserError: it cannot be made.
    """
    return next(path for path in numbered(ROOT, name) if _claimed(path))


def last_run(name: str) -> Path:
    """Return the last directory that :func:`new_run` made of a name, whichever others were removed.

    Raises:
        UserError: there is none.
    """
    first = next(numbered(ROOT, name))
    of_name = re.compile(re.escape(first.name) + r"(-\d+)?")
    there = [path for path in ROOT.glob(f"{first.name}*") if of_name.fullmatch(path.name)]
    if not there:
        raise UserError(f"there is no {first} to resume; give --out")
    return max(there, key=lambda path: path.stat().st_mtime_ns)


def numbered(root: Path, name: str) -> Iterator[Path]:
    """Yield ``NAME``, ``NAME-2`` and so on in ``root``, made of plain characters only."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "run"
    yield root / name
    yield from (root / f"{name}-{number}" for number in count(2))


def _claimed(path: Path) -> bool:
    """Make a directory; tell if there was none before."""
    if not is_main():
        return not path.exists()
    with disk_errors(path):
        ROOT.mkdir(exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            return False
        (path / _CLAIM).touch()
    atexit.register(_unclaim, path.absolute())  # Ctrl-C may come before the work begins
    return True


@contextmanager
def unclaimed_on_error(run: Path) -> Iterator[None]:
    """Remove the directory that :func:`new_run` made if the run ends before it begins to fill it."""
    try:
        yield
    except BaseException:
        _unclaim(run)
        raise


def _unclaim(run: Path) -> None:
    """Remove a directory that was chosen and not begun to be filled."""
    with suppress(OSError):
        (run / _CLAIM).unlink()
        run.rmdir()
        run.parent.rmdir()


def check_new(path: Path, what: str = CONFIG_FILE) -> None:
    """Refuse to write into a run that exists.

    Raises:
        UserError: ``path`` holds ``what`` already, is no directory of its own, or is ``runs/latest``.
    """
    if Path(os.path.abspath(path)) == Path(os.path.abspath(LATEST)):
        raise UserError(f"{path} always points at the last search; choose another --out")
    check_out(path)
    check_folder(path)
    if (path / what).exists():
        raise UserError(f"{path} holds a run already; add --resume to go on, or choose another --out")


def check_out(path: Path) -> None:
    """Refuse to make a directory where the link to the last search will be.

    Raises:
        UserError: ``path`` is ``runs/latest``, or below, and there was no search yet.
    """
    link, place = Path(os.path.abspath(LATEST)), Path(os.path.abspath(path))
    if place.is_relative_to(link) and not LATEST.exists():
        raise UserError(f"{LATEST} names the last search, and there is none yet; choose another --out")


def check_latest() -> None:
    """Make sure that a search can become the last one.

    Raises:
        UserError: something else is where the link to it belongs.
    """
    if LATEST.exists() and not LATEST.is_symlink():
        raise UserError(
            f"{LATEST} is no link to the last search, but holds something itself; rename it first"
        )


@dataclass(frozen=True)
class Before:
    """The state of the disk before a run.

    Attributes:
        missing: directories that had to be made, the run's own first.
        present: what its directory held.
        latest: the run that ``runs/latest`` pointed at.
    """

    missing: tuple[Path, ...]
    present: frozenset[Path]
    latest: str | None


def make_run(run: Path) -> Before:
    """Make a run directory, or a folder in one; returns what there was before."""
    missing = tuple(path for path in (run, *run.parents) if not path.exists())
    for claimed in (run, run.parent):
        if (claimed / _CLAIM).exists():
            (claimed / _CLAIM).unlink()
            missing = tuple(dict.fromkeys((run, claimed, ROOT)))
    with disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    latest = os.readlink(LATEST) if LATEST.is_symlink() else None
    return Before(missing, frozenset(run.iterdir()), latest)


@contextmanager
def undone_on_error(
    run: Path,
    before: Before,
    if_nothing: Callable[[], bool] = lambda: True,
    elsewhere: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Work on a run that holds nothing yet: where a setting turns out wrong, nothing is left of it.

    The same if the system refuses what the run needs.

    Args:
        run: locked by this process.
        before: what :func:`make_run` returned.
        if_nothing: whether there is still nothing worth keeping.
        elsewhere: takes back what is not in the directory.
    """
    try:
        yield
    except (UserError, OSError):
        if if_nothing():
            elsewhere()
            _take_back(run, before)
        raise


def _take_back(run: Path, before: Before) -> None:
    if LATEST.is_symlink() and LATEST.resolve() == run.resolve():
        LATEST.unlink()
        if before.latest is not None:
            LATEST.symlink_to(before.latest)
    for path in set(run.iterdir()) - before.present:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with suppress(OSError):  # no longer empty: others have put something there
        for path in before.missing:
            path.rmdir()


def mark_latest(run: Path, warn: Callable[[str], None]) -> None:
    """Let ``runs/latest`` point at ``run``.

    Args:
        run: the run directory.
        warn: called with one line where no link can be made here.
    """
    try:
        ROOT.mkdir(exist_ok=True)
        link = LATEST.with_name(f".latest-{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(run.resolve(), ROOT.resolve()))
        os.replace(link, LATEST)
    except OSError as error:
        warn(
            f"{LATEST} cannot be made here ({error.strerror}), so later commands need the run directory: "
            f"{run}"
        )


def latest() -> Path:
    """Return the run of the last search.

    Raises:
        UserError: there is none.
    """
    if not LATEST.exists():
        raise UserError(
            "there is no earlier search (runs/latest is missing); run a search first, "
            "or give --student a run directory or a model YAML"
        )
    return ROOT / os.readlink(LATEST) if LATEST.is_symlink() else LATEST
