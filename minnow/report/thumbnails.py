"""Small copies of images inside a page, so that it shows them wherever it is opened."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from core.config import DataConfig
from core.errors import UserError
from training.data.decode import BrokenImageError, quiet_pillow
from training.data.fitting import thumbnail
from training.data.sources import find_source

_SIDE = 128  # longer side, pixels
_QUALITY = 70
#: Characters of all thumbnails of a gallery together.
MAX_SIZE = 900_000


def thumbnails(data: DataConfig, files: Sequence[str], *, most: int = MAX_SIZE) -> dict[str, str]:
    """Return file → ``data:`` URL of a WebP thumbnail.

    Files that are missing or broken are left out, and so are those after which there is no room.

    Args:
        data: settings of the data set; nothing is downloaded.
        files: names in it, the most important first.
        most: characters of all URLs together.

    Raises:
        UserError: the data set is not here.
    """
    source = find_source(data.spec, data.table)
    if not source.is_here:
        raise UserError(f"data set {data.spec!r} would have to be downloaded")
    places = {file: index for index, file in enumerate(source.listing().files)}
    urls: dict[str, str] = {}
    with quiet_pillow():
        for file in dict.fromkeys(files):
            if file not in places:
                continue
            try:
                picture = thumbnail(source.load(places[file]), _SIDE)
            except BrokenImageError:
                continue
            content = io.BytesIO()
            picture.save(content, "WEBP", quality=_QUALITY)
            url = "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
            most -= len(url)
            if most < 0:
                break
            urls[file] = url
    return urls
