"""What can be opened as a data set, and what each thing that cannot is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig
from core.errors import UserError
from training.data.images import DataOptions, data_options, open_images
from training.data.pixels import default_size

WriteImages = Callable[..., Path]


def test_class_folders(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path / "pets", {"dog": 10, "cat": 20, "cat/more/deep": 5})
    (root / "README.txt").write_text("no image")
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "cat" / ".hidden.png").write_bytes(b"no image")
    (root / ".git").mkdir()
    images = open_images(str(root))
    assert images.classes == ("cat", "dog") and images.num_classes == 2
    assert images.name == "pets" and images.spec == str(root) and images.flip
    assert images.images.shape == (35, 32, 32, 3) and images.images.dtype == np.uint8
    assert np.bincount(images.labels).tolist() == [25, 10] and images.labels.dtype == np.int64
    assert "cat/more/deep/003.png" in images.files
    assert {part: len(indices) for part, indices in images.splits.items()} == {
        "train": 25,
        "val": 3,
        "test": 7,
    }
    for array in (images.images, images.labels, *images.splits.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_pixels_and_labels_belong_together(tmp_path: Path) -> None:
    for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (tmp_path / name).mkdir()
        for index in range(30):
            shade = tuple(max(0, channel - index) for channel in colour)
            Image.new("RGB", (32, 32), shade).save(tmp_path / name / f"{index}.png")
    images = open_images(str(tmp_path))
    for index, (file, label) in enumerate(zip(images.files, images.labels, strict=True)):
        assert file.startswith(images.classes[label] + "/")
        with Image.open(tmp_path / file) as written:
            assert np.array_equal(images.images[index], np.asarray(written))


def test_given_parts(tmp_path: Path, write_images: WriteImages) -> None:
    counts = {f"{part}/{name}": 8 for part in ("train", "val", "test") for name in "ab"}
    images = open_images(str(write_images(tmp_path, counts)))
    for part in ("train", "val", "test"):
        assert {images.files[index].split("/")[0] for index in images.splits[part]} == {part}
        assert len(images.splits[part]) == 16


def test_val_is_cut_from_train(tmp_path: Path, write_images: WriteImages) -> None:
    counts = {"train/a": 16, "train/b": 24, "test/a": 4, "test/b": 4}
    images = open_images(str(write_images(tmp_path, counts)))
    assert np.bincount(images.labels[images.splits["val"]]).tolist() == [2, 3]
    assert {images.files[index].split("/")[0] for index in images.splits["test"]} == {"test"}


def test_val_is_tested_where_there_is_no_test(tmp_path: Path, write_images: WriteImages) -> None:
    counts = {"train/a": 16, "train/b": 24, "valid/a": 4, "valid/b": 5}
    (tmp_path / "boxes").mkdir()  # a folder of something else
    images = open_images(str(write_images(tmp_path, counts)))
    assert {images.files[index].split("/")[0] for index in images.splits["test"]} == {"valid"}
    assert len(images.splits["test"]) == 9
    assert np.bincount(images.labels[images.splits["val"]]).tolist() == [2, 3]
    assert images.notes == (
        "there is no test/: valid/ is what is tested at the end, and some images of train/ validate",
    )


def test_the_share_that_validates(tmp_path: Path, write_images: WriteImages) -> None:
    for name, counts, sizes in (
        ("whole", {"a": 50, "b": 100}, {"train": 90, "val": 30, "test": 30}),
        (
            "cut",
            {"train/a": 40, "train/b": 40, "test/a": 9, "test/b": 9},
            {"train": 60, "val": 20, "test": 18},
        ),
        (
            "own",
            {f"{part}/{c}": 8 for part in ("train", "val", "test") for c in "ab"},
            dict.fromkeys(("train", "val", "test"), 16),
        ),
    ):
        options = DataOptions(val_share=0.25, split_seed=1)
        images = open_images(str(write_images(tmp_path / name, counts)), options)
        assert {part: len(of) for part, of in images.splits.items()} == sizes
        unused = [note.partition(" ")[0] for note in images.notes if "changes nothing" in note]
        assert unused == (["val_share", "split_seed"] if name == "own" else [])
    with pytest.raises(UserError, match="val_share is 1"):
        DataOptions(val_share=1.0)


def test_few_labels_are_another_data_set_with_the_same_test_images() -> None:
    whole, few = (open_images("digits", data_options(DataConfig(labels_per_class=n))) for n in (None, 10))
    sizes = {part: len(indices) for part, indices in few.splits.items()}
    assert sizes == {"train": 90, "val": 10, "test": 359}
    assert few.test_digest == whole.test_digest
    assert few.digest != whole.digest


def test_pictures_of_trains_are_a_class(tmp_path: Path, write_images: WriteImages) -> None:
    images = open_images(str(write_images(tmp_path, {"train": 5, "bus": 5, "test": 5})))
    assert images.classes == ("bus", "test", "train")


def test_digits() -> None:
    images = open_images("digits")
    assert images.images.shape == (1797, 32, 32, 3)
    assert images.classes == tuple("0123456789") and not images.flip
    assert images.images.min() == 0 and images.images.max() == 255


def test_stored_size(tmp_path: Path, write_images: WriteImages) -> None:
    assert [default_size(sides) for sides in ([10], [32], [33], [150], [1000], [])] == [
        32,
        32,
        64,
        160,
        256,
        32,
    ]
    root = str(write_images(tmp_path, {"a": 3, "b": 3}, size=(200, 70)))
    assert open_images(root).size == 96
    assert open_images(root, DataOptions(size=40)).images.shape[1:3] == (40, 40)


def test_digest_follows_content_not_place(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path / "one", {"a": 10, "b": 10})
    first = open_images(str(root))
    moved = tmp_path / "two"
    shutil.copytree(root, moved)
    assert open_images(str(moved)).digest == first.digest
    others = [
        open_images(str(root), DataOptions(split_seed=1)),
        open_images(str(root), DataOptions(fit="crop")),
        open_images(str(root), DataOptions(size=64)),
    ]
    (moved / "a" / "000.png").rename(moved / "b" / "new.png")
    others.append(open_images(str(moved)))
    assert len({first.digest, *(other.digest for other in others)}) == 5


def test_a_changed_file_is_noticed(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    old = open_images(str(root))
    path = root / "a" / "002.png"
    Image.new("RGB", (40, 32), "red").save(path)
    new = open_images(str(root))
    position = new.files.index("a/002.png")
    assert new.images[position, 9, 9].tolist() == [255, 0, 0]
    assert old.images[position, 9, 9].tolist() != [255, 0, 0]
    assert new.digest != old.digest


def test_broken_files_are_named_and_left_out(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 30, "b": 30})
    whole = (root / "a" / "001.png").read_bytes()
    (root / "a" / "001.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "000.png").write_bytes(b"")
    for _ in range(2):  # decoded, then from the cache
        said: list[str] = []
        images = open_images(str(root), warn=said.append)
        assert images.broken == ("a/001.png", "b/000.png")
        assert len(images.images) == len(images.labels) == len(images.files) == 58
        assert "a/001.png" not in images.files
        assert said[0].startswith("skipped a/001.png: ") and "empty file" in said[1]
    expected = np.asarray(Image.open(root / "a" / "002.png").resize((32, 32)))
    found = images.images[images.files.index("a/002.png")]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_symlinks_are_followed_but_loops_end(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path / "set", {"a": 4, "b": 4})
    elsewhere = write_images(tmp_path / "elsewhere", {"c": 4})
    os.symlink(elsewhere / "c", root / "c")
    os.symlink(root / "a", root / "a" / "again")
    os.symlink(root, root / "b" / "up")
    os.symlink(tmp_path / "nowhere.png", root / "b" / "dangling.png")
    images = open_images(str(root))
    assert images.classes == ("a", "b", "c")
    assert np.bincount(images.labels)[[0, 2]].tolist() == [4, 4]
    assert all(Path(root / name).is_file() for name in images.files)


def _nothing(root: Path, write: WriteImages) -> None:
    pass


def _loose(root: Path, write: WriteImages) -> None:
    write(root, {".": 5})


def _one_class(root: Path, write: WriteImages) -> None:
    write(root, {"only": 5})


def _empty_class(root: Path, write: WriteImages) -> None:
    write(root, {"a": 5, "b": 5, "void": 0})


def _all_empty(root: Path, write: WriteImages) -> None:
    write(root, {"a": 0, "b": 0})


def _small_class(root: Path, write: WriteImages) -> None:
    write(root, {"a": 5, "rare": 2})


def _no_train(root: Path, write: WriteImages) -> None:
    write(root, {"test/a": 5, "test/b": 5, "val/a": 5, "val/b": 5})


def _empty_in_val(root: Path, write: WriteImages) -> None:
    write(root, {"train/a": 5, "train/b": 5, "val/a": 5})
    (root / "val/b").mkdir()


def _differing(root: Path, write: WriteImages) -> None:
    write(root, {"train/a": 5, "train/b": 5, "test/a": 5, "test/z": 5})


def _empty_in_test(root: Path, write: WriteImages) -> None:
    write(root, {"train/a": 5, "train/b": 5, "test/a": 5, "test/b": 0})


def _two_vals(root: Path, write: WriteImages) -> None:
    write(root, {f"{part}/{name}": 3 for part in ("train", "val", "valid", "test") for name in "ab"})


def _line_break(root: Path, write: WriteImages) -> None:
    write(root, {"a": 5, "two\nlines": 5})


def _many_broken(root: Path, write: WriteImages) -> None:
    write(root, {"a": 10, "b": 10})
    for index in range(2):
        (root / "a" / f"{index:03d}.png").write_bytes(b"broken")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nothing, "no class folders"),
        (_loose, "no class folders"),
        (_one_class, "only one class, 'only'"),
        (_empty_class, "class 'void' has no images"),
        (_all_empty, "there are no images"),
        (_small_class, "class 'rare' has 2 usable images"),
        (_no_train, "there is no train/ beside test/, val/"),
        (_empty_in_val, "class 'b' has no images in val/"),
        (_differing, "train/ has no folder for class 'z'"),
        (_empty_in_test, "class 'b' has no images in test/"),
        (_two_vals, "both val/ and valid/"),
        (_line_break, r"class names that are no printable text: 'two\\nlines'"),
        (_many_broken, "more than 5% of its 20 images are broken"),
    ],
)
def test_unusable_folders(
    tmp_path: Path,
    write_images: WriteImages,
    make: Callable[[Path, WriteImages], None],
    message: str,
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    make(root, write_images)
    with pytest.raises(UserError, match=message) as caught:
        open_images(str(root))
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/no/such/folder", "no such folder.*digits.*torchvision:NAME"),
        ("", "no such folder"),
        ("hub:cats", "no such folder"),
        (__file__, "is a file"),
        ("torchvision:Nope", "no torchvision data set 'Nope': choose one of .*CIFAR10"),
    ],
)
def test_unknown_specs(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_images(spec)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 4}, "size is 4"),
        ({"fit": "stretch"}, "squash, crop, pad"),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"labels_per_class": 1}, "labels_per_class is 1"),
    ],
)
def test_options_out_of_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataOptions(**arguments)  # type: ignore[arg-type]


def test_real_photographs(trashnet: Path) -> None:
    images = open_images(str(trashnet))
    assert images.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert images.images.shape == (2016, 160, 160, 3) and not images.broken
    assert np.bincount(images.labels).tolist() == [322, 398, 327, 475, 384, 110]
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        counts = np.bincount(images.labels[images.splits[part]])
        assert np.allclose(counts, np.bincount(images.labels) * share, atol=1)
    with Image.open(trashnet / images.files[700]) as picture:
        expected = np.asarray(picture.resize((160, 160), Image.Resampling.BICUBIC))
    assert np.array_equal(images.images[700], expected)


def test_real_parts(cifar10_small: Path, tmp_path: Path) -> None:
    for folder in cifar10_small.glob("*/*"):
        linked = tmp_path / folder.relative_to(cifar10_small)
        linked.mkdir(parents=True)
        for path in sorted(folder.iterdir())[:12]:
            os.symlink(path, linked / path.name)
    images = open_images(str(tmp_path))
    assert {part: len(of) for part, of in images.splits.items()} == {
        "train": 120,
        "val": 120,
        "test": 120,
    }
    assert images.size == 32 and images.num_classes == 10


def test_other_borders_between_the_same_images_are_another_data_set() -> None:
    images = open_images("digits")
    train, val = images.splits["train"], images.splits["val"]
    moved = images.resplit(train=train[:-1], val=np.append(train[-1], val))
    assert moved.digest != images.resplit(train=train, val=val).digest != images.digest


def test_the_test_images_are_known_whatever_their_size(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 20})
    (root / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(next((root / "a").glob("*.png")).read_bytes())
    small, large = (open_images(str(root), DataOptions(size)) for size in (16, 32))
    assert small.test_digest == large.test_digest and small.digest != large.digest
    assert open_images(str(root), DataOptions(16, split_seed=1)).test_digest != small.test_digest
