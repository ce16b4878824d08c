"""The data check reports what is wrong and fails on none of it."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from training.data.check import Report, check_images
from training.data.duplicates import groups_csv
from training.data.images import DataOptions, open_images

WriteImages = Callable[..., Path]


def test_a_clean_set(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 30, "b": 60})
    seen: list[int] = []
    report = check_images(str(root), progress=lambda done, total: seen.append(total - done))
    assert report.usable and report.problems == () and report.warnings == ()
    assert report.images == 90 and seen[-1] == 0 and len(seen) == 90
    assert report.counts == {"train": (21, 42), "val": (3, 6), "test": (6, 12)}
    assert report.imbalance == 2.0 and report.modes == {"RGB": 90}
    assert report.sizes is not None
    assert (report.sizes.min_width, report.sizes.max_height) == (40, 32)
    assert report.stored_size == 32 and not report.own_splits


def test_files_of_16_bits_that_hold_12_are_pointed_out(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 30, "b": 30})
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(root / "a/deep.png")
    report = check_images(str(root))
    assert "almost black: 1 image without a value above 16" in " | ".join(report.warnings)


def test_counts_are_those_of_the_split_that_is_used(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 31, "b": 17})
    (root / "a" / "005.png").write_bytes(b"")
    options = DataOptions(split_seed=3)
    report, images = check_images(str(root), options), open_images(str(root), options)
    for part, indices in images.splits.items():
        assert sum(report.counts[part]) == len(indices)
    assert report.broken == (("a/005.png", "empty file"),)
    assert [line for line in report.warnings if "will be skipped" in line]


def test_duplicates_across_classes_and_parts(tmp_path: Path, write_images: WriteImages) -> None:
    folders = {f"{part}/{name}": 25 for part in ("train", "val", "test") for name in "ab"}
    root = write_images(tmp_path, folders)
    shutil.copy(root / "train/a/000.png", root / "train/b/copy.png")
    Image.open(root / "train/a/001.png").save(root / "test/a/same-pixels.bmp")
    shutil.copy(root / "val/a/002.png", root / "val/a/again.png")
    report = check_images(str(root))
    assert report.usable and report.own_splits and report.repeats == 1
    assert len(report.duplicates) == 2
    across = {group.files: group for group in report.duplicates}
    labels = across["train/a/000.png", "train/b/copy.png"]
    assert labels.classes == ("a", "b") and labels.splits == ("train",) and labels.same_file
    leak = across["test/a/same-pixels.bmp", "train/a/001.png"]
    assert leak.classes == ("a",) and leak.splits == ("train", "test") and not leak.same_file
    said = " | ".join(report.warnings)
    assert "1 picture is in more than one class" in said
    assert "1 picture is in more than one split" in said
    assert "1 image repeat" in said


def test_near_duplicates_across_classes_and_parts(tmp_path: Path, write_images: WriteImages) -> None:
    folders = {f"{part}/{name}": 25 for part in ("train", "val", "test") for name in "ab"}
    root = write_images(tmp_path, folders, (64, 48))
    image = Image.open(root / "train/a/000.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "test/a/mirrored.png")
    shutil.copy(root / "train/a/000.png", root / "train/a/exact.png")
    Image.open(root / "val/b/001.png").resize((128, 96)).save(root / "val/a/larger.png")
    Image.open(root / "val/a/002.png").resize((128, 96)).save(root / "val/a/again.png")
    report = check_images(str(root))
    assert report.usable and not report.duplicates and report.repeats == 1 and report.near_repeats == 1
    groups = {group.files: group for group in report.near_duplicates}
    leak = groups["test/a/mirrored.png", "train/a/000.png", "train/a/exact.png"]
    assert leak.classes == ("a",) and leak.splits == ("train", "test")
    labels = groups["val/a/larger.png", "val/b/001.png"]
    assert labels.classes == ("a", "b") and labels.splits == ("val",) and len(groups) == 2
    said = " | ".join(report.warnings)
    assert "near-duplicates in more than one class: 1 group;" in said
    assert "near-duplicates in more than one split: 1 group;" in said
    assert "1 image nearly repeat" in said
    train = [image.file for image in report.listed if image.split == "train"]
    asked = ["test/a/mirrored.png", "test/a/000.png", "test/a/no-such.png"]
    assert report.repeated_in(asked, train).tolist() == [True, False, False]


def test_groups_as_a_table(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 20})
    shutil.copy(root / "a/003.png", root / "b/copy.png")
    report = check_images(str(root))
    rows = list(
        csv.DictReader(groups_csv(report.listed, report.groups, report.classes).decode().splitlines())
    )
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows) and len(rows) == 41
    group_of = {row["path"]: row["group"] for row in rows}
    assert group_of["a/003.png"] == group_of["b/copy.png"] and len(set(group_of.values())) == 40
    assert {row["path"]: row["label"] for row in rows}["b/copy.png"] == "b"
    assert Counter(row["split"] for row in rows) == {
        part: sum(counts) for part, counts in report.counts.items()
    }


def test_images_are_read_once(tmp_path: Path, write_images: WriteImages) -> None:
    """Until one of them changes, or what is stored about them is damaged."""
    root, cache = write_images(tmp_path / "set", {"a": 20, "b": 20}), tmp_path / "cache"
    (root / "a/000.png").write_bytes(b"no image")
    read: list[int] = []

    def check() -> Report:
        read.clear()
        return check_images(str(root), cache=cache, progress=lambda done, total: read.append(done))

    first = check()
    assert len(read) == 40 and check() == first and not read
    (stored,) = (cache / "looks").iterdir()
    stored.write_text(stored.read_text().replace("RGB", "CMYK", 1))
    assert check() == first and len(read) == 40
    Image.new("RGB", (50, 50)).save(root / "b/000.png")
    assert check() != first and len(read) == 40


def test_everything_wrong_at_once(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 60, "b": 6, "void": 0})
    for index in range(10):
        (root / "a" / f"{index:03d}.png").write_bytes(b"no image")
    Image.new("L", (9, 200)).save(root / "b" / "tall.jpg")
    report = check_images(str(root))
    assert not report.usable
    assert len(report.broken) == 10 and report.broken[0][0] == "a/000.png"
    assert report.imbalance == float("inf") and report.counts == {"all": (50, 7, 0)}
    assert report.modes == {"RGB": 56, "L": 1}
    assert report.sizes is not None and report.sizes.max_height == 200
    said = " | ".join(report.problems)
    assert "class 'void' has no images" in said and "10 of 67 images are broken" in said
    assert any("'b' (7)" in line for line in report.warnings)
    with pytest.raises(UserError):
        open_images(str(root))


@pytest.mark.parametrize(
    ("folders", "problem"),
    [
        ({}, "no class folders"),
        ({"a": 0, "b": 0}, "no images"),
        ({"a": 5}, "only one class"),
        ({"a": 5, "rare": 2}, "'rare' has 2 usable images"),
        ({"train/a": 5, "train/b": 5, "test/a": 5}, "test/ has no folder for class 'b'"),
    ],
)
def test_unusable_sets_are_reported_and_refused_alike(
    tmp_path: Path, write_images: WriteImages, folders: dict[str, int], problem: str
) -> None:
    root = write_images(tmp_path, folders)
    report = check_images(str(root))
    assert not report.usable and problem in report.problems[0]
    with pytest.raises(UserError, match=problem):
        open_images(str(root))


def test_broken_class(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 80, "b": 3})
    for path in (root / "b").iterdir():
        path.write_bytes(b"")
    report = check_images(str(root))
    assert any("class 'b' has 0 usable images" in line for line in report.problems)
    with pytest.raises(UserError, match="class 'b' has 0 usable images"):
        open_images(str(root))


def test_imbalance_is_a_warning(tmp_path: Path, write_images: WriteImages) -> None:
    report = check_images(str(write_images(tmp_path, {"a": 120, "b": 20})))
    assert report.usable and any("6.0 times" in line for line in report.warnings)


def test_ignored_files_are_counted(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 20})
    for index in range(3):
        (root / "a" / f"{index}.HEIC").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("")
    (line,) = check_images(str(root)).warnings
    assert line.endswith("ignored: .heic (3), .txt (1)")


def test_missing_path() -> None:
    with pytest.raises(UserError, match="no such folder"):
        check_images("/no/such/folder")


def test_digits_and_real_photographs(trashnet: Path) -> None:
    digits = check_images("digits")
    assert digits.usable and digits.images == 1797 and digits.modes == {"L": 1797}
    report = check_images(str(trashnet))
    assert report.usable and report.images == 2016
    assert report.imbalance == pytest.approx(475 / 110)
