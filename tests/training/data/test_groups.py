"""Images of one group are in one split, by a pattern or a column, and what spoils that is said."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from training.data.check import check_images
from training.data.images import DataOptions, open_images
from training.data.split import make_splits

WriteImages = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path, write_images: WriteImages) -> Path:
    """60 images of "a" and 40 of "b", with bursts of four in the names: a/burst07-2.png."""
    root = write_images(tmp_path / "photos", {"a": 60, "b": 40})
    for path in root.rglob("*.png"):
        number = int(path.stem)
        path.rename(path.with_name(f"burst{number // 4:02d}-{number % 4}.png"))
    return root


def group_of(file: str) -> str:
    return file.rpartition("-")[0]


@pytest.mark.parametrize("pattern", [r"^.*burst\d+", r"^(.*)-\d", r"([ab]/burst\d+)"])
def test_groups_stay_whole_and_classes_in_proportion(photos: Path, pattern: str) -> None:
    images = open_images(str(photos), DataOptions(group_by=pattern))
    of_group: dict[str, set[str]] = {}
    for part, indices in images.splits.items():
        for index in indices:
            of_group.setdefault(group_of(images.files[index]), set()).add(part)
    assert len(of_group) == 25 and all(len(parts) == 1 for parts in of_group.values())
    counts = {part: np.bincount(images.labels[of]).tolist() for part, of in images.splits.items()}
    assert sum(map(sum, counts.values())) == 100
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        for count, total in zip(counts[part], (60, 40), strict=True):
            assert abs(count - share * total) <= 4  # one group
    assert images.notes == ("25 groups; images of the largest, 'a/burst00': 4",) or "burst" not in pattern


def test_a_split_without_groups_is_as_before_and_one_with_them_another(photos: Path) -> None:
    plain, grouped = open_images(str(photos)), open_images(str(photos), DataOptions(group_by=r"burst\d+"))
    straddling = {group_of(plain.files[index]) for index in plain.splits["test"]} & {
        group_of(plain.files[index]) for index in plain.splits["train"]
    }
    assert straddling  # what groups are for
    assert plain.digest != grouped.digest
    again = open_images(str(photos), DataOptions(group_by=r"burst\d+"))
    other = open_images(str(photos), DataOptions(group_by=r"burst\d+", split_seed=1))
    assert again.digest == grouped.digest != other.digest


def test_groups_are_part_of_the_digest_where_the_split_is_the_same(
    tmp_path: Path, write_images: WriteImages
) -> None:
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in "ab"}
    root = write_images(tmp_path, counts)
    by_folder, by_name = (open_images(str(root), DataOptions(group_by=g)) for g in (r"^\w+/\w", r"^.*\d"))
    assert all(np.array_equal(by_folder.splits[p], by_name.splits[p]) for p in by_folder.splits)
    assert by_folder.digest != by_name.digest


def test_a_column_names_the_groups(photos: Path) -> None:
    files = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    with (photos / "t.csv").open("w", newline="") as table:
        rows = [[file, file[0], "" if file.startswith("b") else group_of(file)] for file in files]
        csv.writer(table).writerows([["path", "label", "Burst"], *rows])
    images = open_images(str(photos / "t.csv"), DataOptions(group_by="burst"))
    parts = {images.files[i]: part for part, of in images.splits.items() for i in of}
    assert all(len({parts[f] for f in files if group_of(f) == g}) == 1 for g in map(group_of, files[:60]))
    assert images.notes[-1] == (
        "15 groups; images of the largest, 'a/burst00': 4; images in no group, each for itself: 40"
    )
    assert any(len({parts[f] for f in files if group_of(f) == g}) > 1 for g in map(group_of, files[60:]))


@pytest.mark.parametrize("share", [None, 0.5])
def test_val_is_cut_from_train_by_groups(photos: Path, share: float | None) -> None:
    files = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    with (photos / "t.csv").open("w", newline="") as table:
        tested = {"a/burst00", "a/burst01", "b/burst09"}
        rows = [[f, f[0], "test" if group_of(f) in tested else "train"] for f in files]
        csv.writer(table).writerows([["path", "label", "split"], *rows])
    options = DataOptions(group_by=r"^.*burst\d+", val_share=share)
    images = open_images(str(photos / "t.csv"), options)
    groups = {part: {group_of(images.files[i]) for i in of} for part, of in images.splits.items()}
    assert groups["test"] == tested and not groups["train"] & groups["val"]
    wanted = 88 * (1 / 8 if share is None else share)
    assert abs(len(images.splits["val"]) - wanted) <= 4  # one group


def test_groups_across_own_splits_are_a_warning(tmp_path: Path, write_images: WriteImages) -> None:
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in "ab"}
    said: list[str] = []
    open_images(str(write_images(tmp_path, counts)), DataOptions(group_by=r"\d+"), warn=said.append)
    assert any(
        line.startswith("groups in more than one split of the data set itself (4): '000'")
        for line in said
    )


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("object", "group_by 'object' matches no image, as in 'a/burst00-0.png': give a column"),
        ("(", "is no column and no regular expression"),
        ("x" * 2000, "2,000 characters: give at most 1,000"),
        (
            r"^\w",
            "class 'a' is in 1 group and needs at least 3, one for each split: choose smaller groups",
        ),
    ],
)
def test_groups_that_cannot_be_used(photos: Path, group_by: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        open_images(str(photos), DataOptions(group_by=group_by))
    assert "\n" not in str(caught.value)
    report = check_images(str(photos), DataOptions(group_by=group_by))
    assert not report.usable and message in report.problems[0]


def test_a_column_that_is_not_there_is_answered_with_those_that_are(photos: Path) -> None:
    files = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.png"))]
    with (photos / "t.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["path", "label", "thing"], *([f, f[0], ""] for f in files)])
    spec = str(photos / "t.csv")
    with pytest.raises(
        UserError, match=r"'object' matches .*: give a column \('path', 'label', 'thing'\)"
    ):
        open_images(spec, DataOptions(group_by="object"))
    with pytest.raises(UserError, match=r"'thing' is an empty column"):
        open_images(spec, DataOptions(group_by="thing"))


def test_a_group_with_most_of_a_class_is_a_warning(photos: Path) -> None:
    report = check_images(str(photos), DataOptions(group_by=r"b/burst0[0-6]|.*burst\d+"))
    assert not any("holds most" in line for line in report.warnings)
    report = check_images(str(photos), DataOptions(group_by=r"b/burst(?=0[0-6])|.*burst\d+"))
    (line,) = (line for line in report.warnings if "holds most" in line)
    assert "'b' (28 of 40 in 'b/burst')" in line and "'a'" not in line
    assert report.usable and any(note.startswith("19 groups;") for note in report.notes)


def test_groups_of_single_images_change_nothing(photos: Path) -> None:
    report = check_images(str(photos), DataOptions(group_by=r".+"))
    assert any("groups change nothing" in line for line in report.warnings)


def test_a_class_in_too_few_groups_is_named() -> None:
    labels, groups = np.repeat([0, 1], [9, 4]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4])
    with pytest.raises(UserError, match="class 'b' is in 2 groups and needs at least 3"):
        make_splits(labels, [""] * 13, ("a", "b"), 0, groups=groups)
