"""Folders as people have them: parts by any name, system files, special files, look-alike classes."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.check import Report, check_images
from training.data.file_tree import SYSTEM_NAMES
from training.data.images import ImageSet, open_images

WriteImages = Callable[..., Path]
NFC, NFD = (unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD"))


def _parts(names: Mapping[str, int], classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, int]:
    return {f"{part}/{name}": count for part, count in names.items() for name in classes}


def _both(root: Path) -> tuple[ImageSet, Report, list[str]]:
    """The set as it is opened and as it is checked, and what opening it warns of."""
    said: list[str] = []
    images, report = open_images(str(root), warn=said.append), check_images(str(root))
    assert report.usable and report.classes == images.classes and report.notes == images.notes
    assert set(said) <= set(report.warnings) | {f"skipped {name}: {why}" for name, why in report.broken}
    return images, report, said


def _folders_of(images: ImageSet, part: str) -> set[str]:
    return {images.files[index].split("/")[0] for index in images.splits[part]}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "Test"),
        ("train_set", "test_set"),
        ("trainset", "testset"),
        ("seg_train", "seg_test"),
        ("training-data", "evaluation"),
        ("Train Images", "dev"),
    ],
)
def test_parts_have_many_names(tmp_path: Path, write_images: WriteImages, train: str, test: str) -> None:
    images, report, _ = _both(write_images(tmp_path, _parts({train: 16, test: 6})))
    assert images.classes == ("cat", "dog") and report.own_splits
    assert _folders_of(images, "train") == _folders_of(images, "val") == {train}
    assert _folders_of(images, "test") == {test}


@pytest.mark.parametrize(
    ("val", "test"), [("Validation", "Testing"), ("dev", "eval"), ("eval", "test"), ("val", "Evaluation")]
)
def test_three_parts(tmp_path: Path, write_images: WriteImages, val: str, test: str) -> None:
    images, _, _ = _both(write_images(tmp_path, _parts({"Train": 8, val: 4, test: 6})))
    assert [_folders_of(images, part) for part in ("train", "val", "test")] == [{"Train"}, {val}, {test}]


def test_top_folders_with_the_same_folders_in_them(tmp_path: Path, write_images: WriteImages) -> None:
    images, report, said = _both(write_images(tmp_path, _parts({"Lot1": 24, "Lot2": 24})))
    assert images.classes == ("Lot1", "Lot2")
    (line,) = report.warnings
    assert "'Lot1', 'Lot2'" in line and "'cat', 'dog'" in line and said == [line]


def test_one_folder_in_every_class_is_no_warning(tmp_path: Path, write_images: WriteImages) -> None:
    _, report, _ = _both(write_images(tmp_path, {"cat/images": 24, "dog/images": 24}))
    assert not report.warnings


def test_what_stands_beside_the_parts_is_named(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {**_parts({"train": 30, "test": 20}), "extra": 2, "more/cat": 2})
    write_images(root, {"train": 2, ".": 1})
    images, report, said = _both(root)
    assert images.classes == ("cat", "dog") and len(images.files) == 100
    lines = " | ".join(report.warnings)
    assert "beside the splits of the data: extra/, more/" in lines
    assert "in no class folder (2): train/000.png, train/001.png" in lines
    assert "in no class folder (1): 000.png" in lines and len(said) == 3


@pytest.mark.parametrize("unlabelled", ["test", "test/NoLabel", "Testing/images"])
def test_an_unlabelled_test_is_left_out(
    tmp_path: Path, write_images: WriteImages, unlabelled: str
) -> None:
    images, report, _ = _both(write_images(tmp_path, {**_parts({"train": 30}), unlabelled: 7}))
    assert images.classes == ("cat", "dog") and len(images.files) == 60
    assert {part: len(of) for part, of in images.splits.items()} == {"train": 42, "val": 6, "test": 12}
    assert not report.own_splits
    assert images.notes[0].startswith(f"{unlabelled.split('/')[0]}/ is left out: ")
    assert images.notes[1] == "without a labelled test/ some images of train/ validate and others test"


def test_an_unlabelled_test_beside_train_and_val(tmp_path: Path, write_images: WriteImages) -> None:
    images, _, _ = _both(write_images(tmp_path, {**_parts({"train": 30, "val": 10}), "test": 5}))
    assert images.classes == ("cat", "dog") and _folders_of(images, "test") == {"val"}
    assert "test/ is left out: its images (5) are in no class folders" in images.notes


def test_train_alone_is_split(tmp_path: Path, write_images: WriteImages) -> None:
    images, _, _ = _both(write_images(tmp_path, _parts({"train": 30})))
    assert images.classes == ("cat", "dog") and len(images.splits["test"]) == 12


def test_system_files_are_ignored_at_any_depth(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path / "set", {"a": 24, "b/deep": 24})
    plain = open_images(str(root))
    names = [*sorted(SYSTEM_NAMES), ".ipynb_checkpoints", ".Trashes", "@EADIR", "thumbs.DB"]
    folders = {f"{place}/{name}": 1 for place in (".", "a", "b/deep") for name in names}
    write_images(root, folders)
    for name in ("a/._000.png", "b/._x.jpg", "._y.png", "b/deep/.hidden.png"):
        (root / name).write_bytes(b"no image")
    images, report, _ = _both(root)
    assert images.digest == plain.digest and images.files == plain.files
    assert not report.warnings
    (note,) = report.notes
    assert "._* (3)" in note and "@eadir (3)" in note and "16 more" in note


def test_special_files_are_named_and_nothing_waits_for_them(
    tmp_path: Path, write_images: WriteImages
) -> None:
    root = write_images(tmp_path, {"a": 24, "b": 24})
    os.mkfifo(root / "a/pipe.png")
    (root / "a/to-pipe.png").symlink_to("pipe.png")
    (root / "a/circle").symlink_to("circle")
    (root / "b/gone.png").symlink_to("nowhere.png")
    (root / "loop").symlink_to("loop")
    images, report, said = _both(root)
    assert len(images.files) == 48 and not images.broken
    (line,) = report.warnings
    assert said == [line] and line.startswith("skipped, since they are no regular files (5): ")
    for words in (
        "a/pipe.png: a named pipe",
        "a/to-pipe.png: a named pipe",
        "a/circle: a link that leads in a circle",
        "b/gone.png: a link to nothing",
        "loop: a link that leads in a circle",
    ):
        assert words in line


def test_a_file_that_becomes_a_pipe_is_broken(tmp_path: Path, write_images: WriteImages) -> None:
    """Between the listing and the reading: it is not waited for."""
    from training.data.folders import FolderSource

    source = FolderSource(write_images(tmp_path, {"a": 3, "b": 3}))
    listing = source.listing()
    (tmp_path / listing.files[0]).unlink()
    os.mkfifo(tmp_path / listing.files[0])
    assert source.digests(tmp_path / "cache")[0] == "unreadable: a named pipe, not a file"
    assert len(source.sides()) == 5
    with pytest.raises(Exception, match="a named pipe, not a file"):
        source.load(0)


def test_images_beyond_the_limit_are_broken_files(
    tmp_path: Path, write_images: WriteImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(tmp_path, {"a": 24, "b": 24})
    Image.new("L", (60, 50)).save(root / "a/large.png")
    monkeypatch.setenv("MINNOW_MAX_MEGAPIXELS", "0.002")
    images, report, _ = _both(root)
    assert images.broken == ("a/large.png",)
    assert "60 x 50 px, more than 0.002 million pixels" in report.broken[0][1]
    monkeypatch.delenv("MINNOW_MAX_MEGAPIXELS")
    assert len(open_images(str(root)).files) == 49


def test_one_class_in_two_unicode_forms(tmp_path: Path, write_images: WriteImages) -> None:
    assert NFC != NFD
    counts = {f"train/{NFC}": 20, f"val/{NFD}": 20, f"test/{NFC}": 20}
    counts |= {f"{part}/wurst": 20 for part in ("train", "val", "test")}
    images, report, _ = _both(write_images(tmp_path, counts))
    assert images.classes == (NFC, "wurst") and not report.warnings
    assert np.bincount(images.labels).tolist() == [60, 60]
    assert all(len(images.splits[part]) == 40 for part in ("train", "val", "test"))


def test_a_class_in_one_form_keeps_its_name(tmp_path: Path, write_images: WriteImages) -> None:
    images, _, _ = _both(
        write_images(tmp_path, {f"{part}/{n}": 5 for part in ("train", "test") for n in (NFD, "b")})
    )
    assert images.classes == (NFD, "b")


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (NFC, NFD, "Unicode form"),
        ("Cat", "cat", "upper and lower case"),
        ("dog", "dog ", "spaces"),
        ("red fox", "red  fox", "spaces"),
        ("Red_fox", "red fox", "case, spaces"),
        ("a\u200bb", "ab", None),
    ],
)
def test_classes_that_look_alike(
    tmp_path: Path, write_images: WriteImages, one: str, other: str, difference: str | None
) -> None:
    report = check_images(str(write_images(tmp_path, {one: 24, other: 24, "else": 24})))
    if len(report.classes) == 2:
        pytest.skip("this file system takes both for one name")
    lines = [line for line in report.warnings if "count as 2" in line]
    assert len(lines) == 1 and repr(one) in lines[0] and repr(other) in lines[0]
    assert (difference or "invisible") in lines[0]


def test_twins_across_parts_are_told_from_missing_classes(
    tmp_path: Path, write_images: WriteImages
) -> None:
    counts = {"train/Cat": 20, "train/dog": 20, "test/cat": 20, "test/dog": 20}
    report = check_images(str(write_images(tmp_path, counts)))
    assert not report.usable and "'Cat' and 'cat'" in report.warnings[0]
