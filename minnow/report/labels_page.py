"""``label_errors.html``: images whose label may be wrong, with thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

from core.config import DataConfig
from minnow.label_check import LabelError
from minnow.report.gallery import Shot
from minnow.report.rendering import Cell, Head, Row, Table, render_page
from minnow.report.thumbnails import thumbnails

_SHOWN = 200  # images with a thumbnail


def labels_page(errors: Sequence[LabelError], images: int, data: DataConfig) -> str:
    """Return HTML with a thumbnail of each of the first images, and a table of all.

    Args:
        errors: the clearest first.
        images: number of images that were checked.
        data: settings of the data set.

    Raises:
        UserError: the data set is not here.
    """
    urls = thumbnails(data, [error.file for error in errors[:_SHOWN]])
    shots = [
        Shot(
            urls[error.file],
            error.file,
            f"{error.suggested} {error.confidence:.2f}",
            f"label: {error.given}",
        )
        for error in errors[:_SHOWN]
        if error.file in urls
    ]
    lead = f"{len(errors):,} of {images:,} images of {data.spec}, the clearest first."
    return render_page(
        "labels.html.jinja",
        "Labels that may be wrong",
        plots=False,
        lead=lead,
        shots=shots,
        table=_table(errors),
    )


def _table(errors: Sequence[LabelError]) -> Table:
    heads = [Head(name, left=True) for name in ("file", "split", "label", "suggested")]
    rows = [
        Row(
            [
                *(Cell(text, classes="text") for text in (e.file, e.split, e.given, e.suggested)),
                Cell(f"{e.confidence:.3f}", value=e.confidence),
                Cell(", ".join(e.sources), classes="text"),
            ]
        )
        for e in errors
    ]
    return Table("errors", [*heads, Head("confidence"), Head("evidence", left=True)], rows, sortable=True)
