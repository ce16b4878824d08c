"""Sources whose images are files on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from core.errors import UserError
from core.runtime import ordered_map
from training.data.decode import (
    BrokenImageError,
    file_content,
    open_image,
    open_image_file,
    quiet_pillow,
    unreadable,
)
from training.data.fingerprint import (
    content_digest,
    digest_files,
    forget_digests,
    is_digest,
)
from training.data.listing import Remarks, Source


class FileSource(Source):
    """One image file for each name of the listing.

    Args:
        root: folder that the names start from.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.resolve().name
        self._cache: Path | None = None
        self._digests: tuple[str, ...] | None = None

    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read, see :class:`training.data.listing.Source`."""
        return self.listing().digest(self.digests(cache))

    def digests(self, cache: Path) -> tuple[str, ...]:
        """Content digest of every file of the listing; an unreadable one has its reason."""
        if self._digests is None:
            self._cache = cache
            self._digests = digest_files(self.root, self.listing().files, cache)
        return self._digests

    @property
    def remarks(self) -> Remarks:
        """Remarks, see :class:`training.data.listing.Listing`."""
        return self.listing().remarks

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        name = self.listing().files[index]
        try:
            content = file_content(self.root / name)
        except OSError as error:
            raise BrokenImageError(unreadable(error)) from error
        if self._digests is not None and self._cache is not None:
            expected = self._digests[index]
            if is_digest(expected) and content_digest(content) != expected:
                forget_digests(self.root, self._cache)
                raise UserError(
                    f"{self.root / name} changed while it was being read: run the command again"
                )
        return open_image(content)

    def sides(self) -> Sequence[int]:
        """Return short sides in pixels."""
        count = len(self.listing().files)
        with quiet_pillow():
            return [side for side in ordered_map(self._short_side, count) if side]

    def _short_side(self, index: int) -> int:
        try:
            with open_image_file(self.root / self.listing().files[index]) as image:
                return min(image.size)
        except BrokenImageError:
            return 0
