"""The list of an export's files, and its model card, which people edit."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from core.errors import UserError, short
from core.files import write_text
from core.reading import HAND_WRITTEN, read_bytes, read_text
from training.data.decode import EXTENSIONS

CARD = "README.md"
NEW_CARD = "README.new.md"
LIST = "export.sha256"  # sha256sum --check reads it
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})")
_MOST_FILES = 100
_LARGEST = 5_000_000_000  # bytes of a file to upload


def check_own(folder: Path, names: Iterable[str], marker: str) -> None:
    """Check that an export replaces no files of another origin.

    Args:
        folder: to export to.
        names: of the files that the export writes.
        marker: file that only an earlier export of the kind has left.

    Raises:
        UserError: some of the files are there, and the marker is not.
    """
    foreign = [name for name in names if (folder / name).exists()]
    if foreign and not (folder / marker).exists():
        raise UserError(f"{folder} holds {', '.join(foreign)}, but no export: choose another folder")


def leave_card(folder: Path, names: Iterable[str], card: str) -> str | None:
    """Write the model card and the list of the files of an export.

    A card that was edited, or that another program wrote, stays; the new one then lies beside it.

    Args:
        folder: of the export.
        names: of its files, without the card.
        card: text of the card.

    Returns:
        A one-line warning where an edited card stays, else ``None``.

    Raises:
        UserError: the disk is full or read-only.
    """
    path, fresh = folder / CARD, folder / NEW_CARD
    edited = path.exists() and _digest(read_bytes(path, "")) != _listed(folder).get(CARD)
    if edited and path.read_bytes() == card.encode():
        edited = False
    write_text(fresh if edited else path, card)
    if not edited:
        fresh.unlink(missing_ok=True)
    digests = {name: _digest((folder / name).read_bytes()) for name in sorted(names)}
    digests[CARD] = _digest(card.encode())
    write_text(folder / LIST, "".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    if not edited:
        return None
    return f"{path} was edited and stays as it is; the new model card is {fresh}"


def exported_files(folder: Path) -> dict[str, bytes]:
    """Return the content of an export's files by name, the card first.

    Raises:
        UserError: there is no list of files; a file is missing, was changed since the export, is a link
            or an image, or is too large.
    """
    listed = _listed(folder)
    if CARD not in listed:
        raise UserError(f"{folder} holds no export with a model card; write one with export")
    return {name: _content(folder / name, listed[name]) for name in sorted(listed, key=CARD.__ne__)}


def _content(path: Path, digest: str) -> bytes:
    """Return the content of a listed file; the card may have been edited."""
    if path.suffix.lower() in EXTENSIONS:
        raise UserError(f"{path} is an image, which is no part of an export; export again")
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; export again") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is no regular file; export again")
    if status.st_size > _LARGEST:
        raise UserError(
            f"{path} is too large to upload: {status.st_size / 1e9:.1f} GB of at most "
            f"{_LARGEST / 1e9:.0f}; upload it with 'hf upload'"
        )
    content = read_bytes(path, "", limit=_LARGEST)
    if path.name != CARD and _digest(content) != digest:
        raise UserError(f"{path} was changed since its export; export again")
    return content


def _listed(folder: Path) -> dict[str, str]:
    """Return the digests of an export's files by name; empty where there is no list.

    Raises:
        UserError: the list is damaged; names the line.
    """
    path = folder / LIST
    if not path.exists():
        return {}
    lines = read_text(path, "", limit=HAND_WRITTEN, remedy="export again").splitlines()
    digests = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or len(lines) > _MOST_FILES:
            raise UserError(f"{path} is damaged at {short(line)}; delete it and export again")
        digests[match[2]] = match[1]
    return digests


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
