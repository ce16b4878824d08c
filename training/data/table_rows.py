"""Rows as a listing, and those that cannot be used, collected by reason and told in one line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from core.errors import cut, named
from training.data.class_names import sort_classes, twin_warnings
from training.data.listing import Listing, Remarks, class_problems
from training.data.pixels import MAX_BROKEN
from training.data.table_splits import NamedSplits

_LONGEST_DETAIL = 80  # characters


class BadRows:
    """Rows without use, by reason.

    A row that lacks its file or its label is left out, as a broken file is; too many of them, and rows
    that contradict each other, make a table unusable.

    Args:
        total: rows of the table.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._lacking: dict[str, list[str]] = defaultdict(list)
        self._wrong: dict[str, list[str]] = defaultdict(list)
        self._repeated: list[str] = []

    def lacks(self, reason: str, row: int, detail: str = "") -> None:
        """Note a row that lacks something."""
        self._lacking[reason].append(_place(row, detail))

    def contradicts(self, reason: str, row: int, detail: str) -> None:
        """Note a row that is wrong, or at odds with another one."""
        self._wrong[reason].append(_place(row, detail))

    def repeats(self, row: int) -> None:
        """Note a row that says the same as another one."""
        self._repeated.append(str(row))

    @property
    def problems(self) -> tuple[str, ...]:
        """One line about all rows that must be mended; none if all others can be used without them."""
        lacking = sum(map(len, self._lacking.values()))
        if not self._wrong and lacking <= MAX_BROKEN * self._total:
            return ()
        count = lacking + sum(map(len, self._wrong.values()))
        reasons = _listed({**self._wrong, **self._lacking})
        return (f"{count:,} of {self._total:,} rows cannot be used: {reasons}: mend or remove them",)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line about rows that are left out, and one about those that repeat another."""
        lines = []
        if self._lacking and not self.problems:
            lines.append(f"rows that are left out: {_listed(self._lacking)}")
        if self._repeated:
            rows = named(self._repeated)
            lines.append(f"rows that repeat another one and count once ({len(self._repeated):,}): {rows}")
        return tuple(lines)


def listing_of(
    files: Sequence[str],
    labels: Sequence[str],
    image_splits: Sequence[str],
    given: NamedSplits,
    bad: BadRows,
    *,
    classes: Sequence[str] | None = None,
    notes: Sequence[str],
    left_out: Sequence[str],
) -> Listing:
    """Return the listing of images that rows name.

    Args:
        files: of the images.
        labels: class name of each.
        image_splits: split of each.
        given: the splits.
        bad: the rows without use.
        classes: class names in label order, among others; ``None``: those of the images, sorted.
        notes: as of a listing's remarks.
        left_out: lines about splits that are not used.
    """
    present = set(labels)
    order = sort_classes(present) if classes is None else tuple(n for n in classes if n in present)
    label_of = {name: index for index, name in enumerate(order)}
    indices = tuple(label_of[name] for name in labels)
    problems = bad.problems + given.problems
    warnings = (*bad.warnings, *left_out, *twin_warnings(order))
    return Listing(
        order,
        tuple(files),
        indices,
        tuple(image_splits),
        tuple(given.words),
        problems or class_problems(order, indices, tuple(image_splits), given.words),
        remarks=Remarks(tuple(notes), warnings) + given.remarks,
    )


def _place(row: int, detail: str) -> str:
    return f"row {row}" + (f" ({cut(detail, _LONGEST_DETAIL)})" if detail else "")


def _listed(reasons: dict[str, list[str]]) -> str:
    return "; ".join(f"{reason} ({len(places):,}): {named(places)}" for reason, places in reasons.items())
