"""Images without labels beside a data set: which are taken, and what stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from training.data.fitting import square
from training.data.images import DataOptions, ImageSet, open_images
from training.data.unlabelled import JoinedImages, repeated


@pytest.fixture
def photos(write_images, tmp_path) -> Path:
    return write_images(tmp_path / "photos", {"a": 20, "b": 20})


@pytest.fixture
def more(tmp_path) -> Path:
    """Seven other images at several depths, and a text."""
    rng, root = np.random.default_rng(7), tmp_path / "other"
    for index in range(7):
        folder = root / "/".join("deep"[: index % 3])
        folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(256, size=(32, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    (root / "notes.txt").write_text("no image")
    return root


def joined(photos: Path, more: Path, **options) -> ImageSet:
    return open_images(str(photos), DataOptions(size=32, unlabelled=str(more), **options))


def test_they_stand_behind_the_labelled_images_without_a_label(photos, more):
    plain, data = open_images(str(photos), DataOptions(size=32)), joined(photos, more)
    assert data.unlabelled.tolist() == list(range(40, 47))
    assert set(data.labels[data.unlabelled]) == {-1}
    assert data.learned.tolist() == [*plain.splits["train"], *data.unlabelled]
    for part in ("train", "val", "test"):
        assert data.splits[part].tolist() == plain.splits[part].tolist()
    indices = np.array([46, 3, 40, 39])
    assert np.array_equal(data.images[indices][[1, 3]], plain.images[[3, 39]])
    for place in (0, 2):
        index = indices[place]
        with Image.open(more / data.files[index]) as image:
            expected = square(image, 32, "squash")
        assert np.array_equal(data.images[indices][place], expected)
    assert len(data.images) == len(data.labels) == len(data.files) == 47


def test_the_labelled_data_is_what_it_would_be_alone(photos, more):
    plain, data = open_images(str(photos), DataOptions(size=32)), joined(photos, more)
    assert data.labelled.digest == plain.digest != data.digest
    assert plain.labelled is plain and not len(plain.unlabelled)
    assert data.test_digest == plain.test_digest
    few = data.resplit(unlabelled=data.unlabelled[:3])
    assert few.labelled.digest == plain.digest and few.digest != data.digest
    val = data.splits["val"]
    assert data.resplit(train=val).labelled.digest == plain.resplit(train=val).digest


def test_copies_of_images_with_a_split_are_left_out_whatever_their_name(photos, more):
    data = joined(photos, more)
    of = {part: data.files[data.splits[part][0]] for part in ("train", "val", "test")}
    for part, name in of.items():
        with Image.open(photos / name) as image:
            image.save(more / f"copy-of-{part}.bmp")  # the same pixels in other bytes
    again = joined(photos, more)
    assert len(again.unlabelled) == 7 and len(again.files) == 50
    assert not [again.files[i] for i in again.unlabelled if "copy" in again.files[i]]
    assert any("left out" in note and note.endswith(": 3") for note in again.notes)


def test_the_folder_of_the_data_itself_gives_what_it_has_no_label_for(photos):
    """With fewer labels, the images that lost theirs are without labels; the tested ones are not."""
    data = joined(photos, photos, labels_per_class=5)
    split = {data.files[i] for part in ("train", "val", "test") for i in data.splits[part]}
    rest = {data.files[i] for i in data.unlabelled}
    assert len(rest) == len(data.unlabelled) == 40 - len(split)
    assert not rest & split and len(split) == 10 + 8
    with pytest.raises(UserError, match="among the labelled ones"):
        joined(photos, photos)


def test_content_decides_the_digest_and_not_the_place(photos, more, tmp_path):
    first = joined(photos, more)
    moved = Path(shutil.move(more, tmp_path / "moved"))
    with pytest.raises(UserError, match=r"no directory .*other.* of unlabelled images"):
        joined(photos, more)
    assert joined(photos, moved).digest == first.digest
    next(moved.rglob("*.png")).unlink()
    assert joined(photos, moved).digest != first.digest


def test_broken_and_missing_images_are_told(photos, more, tmp_path, write_images):
    write_images(more / "z", {"": 40}, size=(30, 30))
    (more / "broken.png").write_bytes(b"no image")
    said: list[str] = []
    data = open_images(str(photos), DataOptions(size=32, unlabelled=str(more)), warn=said.append)
    assert data.broken == ("broken.png",) and said == [line for line in said if "broken.png" in line]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        joined(photos, tmp_path / "empty")


def test_joined_arrays_are_indexed_as_one():
    whole = np.random.default_rng(0).integers(256, size=(9, 4, 4, 3), dtype=np.uint8)
    both = JoinedImages(whole[:5], whole[5:])
    for indices in ([8, 0, 4, 5, 5], [0], [8], []):
        chosen = np.array(indices, dtype=np.int64)
        assert np.array_equal(both[chosen], whole[chosen])
    assert len(both) == 9


def test_images_of_the_same_middle_row_are_compared_in_full():
    images = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    images[1, 0], images[2, 3] = 1, 2
    others = images[[2, 0, 1]].copy()
    others[2, 1, 1, 1] = 9
    assert repeated(images, others, np.array([0, 1, 2])).tolist() == [True, False, True]
    assert repeated(images, others, np.array([2])).tolist() == [False] * 3
