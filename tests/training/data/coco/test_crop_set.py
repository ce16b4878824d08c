"""A data set of crops: every box once, a photo in one part, everything that is missing counted."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import training.data.coco.crops
from core.errors import UserError
from training.data.coco.annotations import Annotation, Coco, Photo, read_coco
from training.data.coco.boxes import Box
from training.data.coco.categories import OWN_NAMES, load_map, parse_map
from training.data.coco.crop_set import CropOptions, make_crops
from training.data.images import open_images

SPLIT = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.fixture
def collection(tmp_path: Path) -> tuple[Coco, Path]:
    """40 photos of 64 x 48 pixels with one to four boxes of three classes, in two folders."""
    rng = np.random.default_rng(0)
    photos, number = [], 0
    for index in range(40):
        file = f"batch_{index % 2}/{index // 2:03d}.{'png' if index % 4 else 'jpg'}"
        path = tmp_path / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(48, 64, 3), dtype=np.uint8)).save(path)
        boxes = []
        for _ in range(rng.integers(1, 5)):
            number += 1
            box = Box(*rng.integers(0, 20, 2).tolist(), *rng.integers(20, 28, 2).tolist())
            boxes.append(Annotation(number, "abc"[rng.integers(3)], box, False))
        photos.append(Photo(file, (64, 48), tuple(boxes)))
    return Coco(("a", "b", "c"), tuple(photos), ()), tmp_path / "images"


def _files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix in (".jpg", ".png"))


def test_every_box_once_and_a_photo_in_one_part(collection, tmp_path: Path) -> None:
    coco, images = collection
    out = tmp_path / "out"
    report = make_crops(coco, images, out, OWN_NAMES, CropOptions(shares=SPLIT))
    rows = list(csv.DictReader((out / "crops.csv").open(encoding="utf-8")))
    assert [row["file"] for row in rows] == _files(out)
    boxes = {str(a.id): (p.file, a) for p in coco.photos for a in p.annotations}
    assert sorted(row["annotation"] for row in rows) == sorted(boxes)
    parts = defaultdict(set)
    for row in rows:
        file, annotation = boxes[row["annotation"]]
        part, label, name = row["file"].split("/")
        assert (row["photo"], row["category"], label) == (file, annotation.category, annotation.category)
        assert name.startswith(file.replace("/", "_")[:-4]) and name[-4:] == file[-4:]
        parts[file].add(part)
    assert all(len(of) == 1 for of in parts.values())
    counts = Counter(tuple(row["file"].split("/")[:2]) for row in rows)
    assert {(p, c): n for c, of in report.counts.items() for p, n in of.items()} == counts
    assert report.photos == 40 and not report.skipped and not report.rare
    assert not list(tmp_path.glob(".*"))
    opened = open_images(str(out))
    assert {part: len(of) for part, of in opened.splits.items()} == Counter(
        r["file"].split("/")[0] for r in rows
    )


def test_crops_of_lossless_photos_are_the_pixels(collection, tmp_path: Path) -> None:
    coco, images = collection
    make_crops(coco, images, tmp_path / "out", OWN_NAMES, CropOptions(margin=0))
    for row in csv.DictReader((tmp_path / "out/crops.csv").open(encoding="utf-8")):
        if not row["photo"].endswith(".png"):
            continue
        x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
        with (
            Image.open(images / row["photo"]) as photo,
            Image.open(tmp_path / "out" / row["file"]) as crop,
        ):
            assert np.array_equal(np.asarray(crop), np.asarray(photo)[y : y + height, x : x + width])


def test_the_seed_decides_and_nothing_else(collection, tmp_path: Path) -> None:
    coco, images = collection
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        make_crops(coco, images, tmp_path / name, OWN_NAMES, CropOptions(shares=SPLIT, seed=seed))
    one, same, other = (_files(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    for name in one:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()


def test_each_photo_is_opened_once(collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco, images = collection
    opened: list[Path] = []
    real = training.data.coco.crops.open_image_file
    monkeypatch.setattr(
        "training.data.coco.crops.open_image_file", lambda path: (opened.append(path), real(path))[1]
    )
    make_crops(coco, images, tmp_path / "out", OWN_NAMES, CropOptions(shares=SPLIT))
    assert len(opened) == len(set(opened)) == 40


def test_what_cannot_be_used_is_counted(collection, tmp_path: Path) -> None:
    coco, images = collection
    files = [photo.file for photo in coco.photos]
    of = {photo.file: len(photo.annotations) for photo in coco.photos}
    (images / files[0]).unlink()
    (images / files[1]).write_bytes((images / files[1]).read_bytes()[:200])
    Image.new("RGB", (48, 64)).save(images / files[2])
    report = make_crops(coco, images, tmp_path / "out", OWN_NAMES, CropOptions(shares=SPLIT))
    reasons = ("photo missing", "photo broken", "photo of another size")
    assert report.skipped == {reason: of[file] for reason, file in zip(reasons, files, strict=False)}
    assert {reason: [file for file, _ in found] for reason, found in report.failed.items()} == {
        reason: [file] for reason, file in zip(reasons, files, strict=False)
    }
    made = sum(sum(counts.values()) for counts in report.counts.values())
    assert made + sum(report.skipped.values()) == sum(of.values())


@pytest.mark.parametrize("shares", [{}, SPLIT, {"train": 0.8, "val": 0.2}])
def test_a_class_too_rare_for_the_splits_is_left_out(collection, tmp_path: Path, shares) -> None:
    coco, images = collection
    extra = Annotation("rare", "rare", Box(0, 0, 30, 30), False)
    photos = list(coco.photos)
    for index in (3, 9):
        photos[index] = Photo(photos[index].file, (64, 48), (*photos[index].annotations, extra))
    coco = Coco((*coco.categories, "rare"), tuple(photos), ())
    report = make_crops(coco, images, tmp_path / "out", OWN_NAMES, CropOptions(shares=shares))
    assert report.rare == ("rare",) and list(report.counts) == ["a", "b", "c"]
    assert report.skipped == {"class too rare to be in every split": 2}
    assert open_images(str(tmp_path / "out")).classes == ("a", "b", "c")


def test_equal_names_get_numbers(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "x").mkdir()
    for name in ("x_y.png", "X_Y.png", "x/y.png"):
        Image.new("RGB", (30, 30)).save(images / name)
    box = Annotation(1, "a", Box(0, 0, 30, 30), False)
    photos = tuple(Photo(name, (30, 30), (box,)) for name in ("x_y.png", "X_Y.png", "x/y.png"))
    make_crops(Coco(("a",), photos, (1,)), images, tmp_path / "out", OWN_NAMES, CropOptions())
    assert _files(tmp_path / "out") == ["a/X_Y-box1-2.png", "a/x_y-box1-3.png", "a/x_y-box1.png"]


def test_nothing_to_make(collection, tmp_path: Path) -> None:
    coco, images = collection
    cases = [
        (images, parse_map({"A": ["d"]}), CropOptions(), "category left out by the map"),
        (images, OWN_NAMES, CropOptions(min_side=99), "shorter side under min_side"),
        (
            tmp_path,
            OWN_NAMES,
            CropOptions(),
            "photo missing 40 times, batch_0/000.jpg: .* the image folder must",
        ),
        (images, parse_map({"../x": ["a"]}), CropOptions(), "no folder can be called '../x'"),
        (images / "none", OWN_NAMES, CropOptions(), "is no folder"),
    ]
    for place, classes, options, message in cases:
        with pytest.raises(UserError, match=message):
            make_crops(coco, place, tmp_path / "out", classes, options)
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_photos_of_another_size_say_which(collection, tmp_path: Path) -> None:
    coco, images = collection
    half = tuple(Photo(photo.file, (128, 96), photo.annotations) for photo in coco.photos)
    with pytest.raises(UserError, match="64 x 48 pixels, its boxes are for 128 x 96; give the photos as"):
        make_crops(Coco(coco.categories, half, ()), images, tmp_path / "out", OWN_NAMES, CropOptions())


def test_taco_with_a_few_of_its_photos(taco: Path, tmp_path: Path) -> None:
    """The seven photos whose boxes leave them, and the smallest ones, as grey images of their sizes."""
    coco = read_coco(taco)
    leaving = {371, 387, 707, 859, 1621, 1777, 2186}
    here = [p for p in coco.photos if leaving & {a.id for a in p.annotations}]
    here += sorted(coco.photos, key=lambda photo: photo.size[0] * photo.size[1])[:25]
    for photo in here:
        path = tmp_path / "images" / photo.file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", photo.size, 120).save(path)
    report = make_crops(coco, tmp_path / "images", tmp_path / "out", load_map("taco6"), CropOptions())
    rows = {int(row["annotation"]): row for row in csv.DictReader((tmp_path / "out/crops.csv").open())}
    classes = load_map("taco6")
    for photo in here:
        for one in photo.annotations:
            if one.id in leaving and classes.class_of(one.category) in report.counts:
                with Image.open(tmp_path / "out" / rows[one.id]["file"]) as crop:
                    more = 0.1 * max(one.box.width, one.box.height)
                    assert crop.width <= one.box.width + 2 * more + 2
                    assert crop.size[0] <= photo.size[0] and crop.size[1] <= photo.size[1]
    total = sum(sum(of.values()) for of in report.counts.values()) + sum(report.skipped.values())
    assert total == 4784 and len(report.failed["photo missing"]) > 1000
