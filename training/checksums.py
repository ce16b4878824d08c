"""SHA-256 checksums of a bundle's files, in a file that ``sha256sum --check`` reads, too.

A file is checked when it is read. One without a line in ``checksums.sha256`` is taken as it is, as in
bundles that were written before there was this file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from core.errors import UserError
from core.reading import HAND_WRITTEN, RECORD, read_bytes
from training.bundle_files import CHECKSUMS_FILE


def checksums(folder: Path, names: Iterable[str]) -> str:
    """Return the text of ``checksums.sha256`` for files in ``folder``."""
    return "".join(f"{_sha256((folder / name).read_bytes())}  {name}\n" for name in names)


def check_unchanged(path: Path, limit: int = RECORD) -> None:
    """Check a file against its line in ``checksums.sha256`` beside it, whatever its line endings.

    Args:
        path: of the file.
        limit: most bytes that it may have.

    Raises:
        UserError: it is not the file that was written, or it is too large.
    """
    sums = path.with_name(CHECKSUMS_FILE)
    if not sums.exists():
        return
    lines = read_bytes(sums, "", limit=HAND_WRITTEN).decode("utf-8", errors="replace").splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}.get(path.name)
    if wanted is None:
        return
    content = read_bytes(path, "", limit=limit)
    if _sha256(content) != wanted and _sha256(content.replace(b"\r\n", b"\n")) != wanted:
        raise UserError(
            f"{path} is damaged: it is not the file that was written with the student; restore it from a "
            f"copy or train the student again (if you changed it yourself, delete its line in {sums})"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
