"""A crop shows what its box was drawn around, however the photo is stored."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from core.errors import UserError
from training.data.coco.annotations import Annotation, Photo
from training.data.coco.boxes import Box
from training.data.coco.categories import OWN_NAMES, parse_map
from training.data.coco.crops import (
    OtherSizeError,
    Wanted,
    crop_stem,
    cut_crops,
    locate,
    sized,
    wanted_of,
)
from training.data.decode import TURNS, BrokenImageError

SIZE = (96, 64)
RED = Box(8, 16, 24, 16)  # of the photo as it is shown


def _save(path: Path, orientation: int) -> None:
    """Grey, with the red block at RED once a program turns it as EXIF says."""
    shown = np.full((SIZE[1], SIZE[0], 3), 128, dtype=np.uint8)
    shown[16:32, 8:32] = 255, 0, 0
    back = {6: 8, 8: 6}.get(orientation, orientation)  # the turn that undoes it
    image = Image.fromarray(shown)
    stored = image if orientation == 1 else image.transpose(TURNS[back])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


def _wanted(box: Box) -> Wanted:
    return Wanted(Annotation(1, "can", box, False), "can", box)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_turned_photo(tmp_path: Path, ending: str, orientation: int) -> None:
    path = tmp_path / f"photo.{ending}"
    _save(path, orientation)
    ((picture, saving),) = cut_crops(path, SIZE, [_wanted(RED)], 0.0)
    assert picture.size == (24, 16) and saving.ending == (".jpg" if ending == "jpg" else ".png")
    assert np.abs(np.asarray(picture, dtype=int)[2:-2, 2:-2] - (254, 0, 0)).max() < 12


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_photo(tmp_path: Path, ending: str, orientation: int) -> None:
    path = tmp_path / f"photo.{ending}"
    _save(path, orientation)
    with Image.open(path) as stored:
        raw = np.asarray(stored) if ending != "tif" else None
    places = {5: (16, 8), 6: (16, 64), 7: (32, 64), 8: (32, 8)}  # of the block's corner, counted by hand
    x, y = places[orientation]
    if raw is not None:
        assert raw[y + 12, x + 8, 0] > 200 and raw[y + 12, x + 8, 1] < 50
    ((picture, _),) = cut_crops(path, SIZE[::-1], [_wanted(Box(x, y, 16, 24))], 0.0)
    assert picture.size == (24, 16)  # shown as the photo is shown
    assert np.abs(np.asarray(picture, dtype=int)[2:-2, 2:-2] - (254, 0, 0)).max() < 12


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_whose_size_the_file_does_not_say(tmp_path: Path, orientation: int) -> None:
    _save(tmp_path / "photo.jpg", orientation)
    photo = Photo("photo.jpg", None, ())
    assert sized(photo, tmp_path / "photo.jpg") == Photo("photo.jpg", SIZE, ())
    assert sized(photo, None) is photo and sized(photo, tmp_path) is photo
    ((picture, _),) = cut_crops(tmp_path / "photo.jpg", SIZE, [_wanted(RED)], 0.0)
    assert picture.size == (24, 16)


def test_margin_shows_what_is_around(tmp_path: Path) -> None:
    _save(tmp_path / "photo.png", 1)
    ((picture, _),) = cut_crops(tmp_path / "photo.png", SIZE, [_wanted(RED)], 0.5)
    assert picture.size == (8 + 24 + 12, 12 + 16 + 12)  # the left border is 8 pixels away
    assert picture.getpixel((43, 39)) == (128, 128, 128) and picture.getpixel((8, 12)) == (255, 0, 0)


def test_photos_that_cannot_be_used(tmp_path: Path) -> None:
    _save(tmp_path / "photo.jpg", 1)
    with pytest.raises(OtherSizeError, match="96 x 64 pixels, its boxes are for 64 x 96"):
        list(cut_crops(tmp_path / "photo.jpg", SIZE[::-1], [_wanted(RED)], 0.0))
    (tmp_path / "half.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("no photo")
    for name in ("half.jpg", "text.jpg", "nothing.jpg"):
        with pytest.raises(BrokenImageError):
            list(cut_crops(tmp_path / name, SIZE, [_wanted(RED)], 0.0))


def test_why_boxes_give_no_crop() -> None:
    whole = Annotation(9, "can", Box(0, 0, 30, 20), False)
    annotations = (
        Annotation(1, "shoe", Box(0, 0, 30, 30), False),
        Annotation(2, "can", Box(0, 0, 30, 30), True),
        Annotation(3, "can", Box(5, 5, 0, 30), False),
        Annotation(4, "can", Box(25, 25, -20, -20), False),
        Annotation(5, "can", Box(100, 5, 30, 30), False),
        Annotation(6, "can", Box(77, 5, 30, 30), False),  # 19 pixels of it are in the photo
        Annotation(7, "can", Box(-10, -10, 30, 30), False),
        whole,
        whole,
    )
    wanted, skipped = wanted_of(Photo("a.jpg", SIZE, annotations), parse_map({"Metal": ["can"]}), 20)
    assert [(one.annotation.id, one.label) for one in wanted] == [(7, "Metal"), (9, "Metal")]
    assert wanted[0].box == Box(0, 0, 20, 20)
    assert sorted(skipped.values()) == [1, 1, 1, 1, 1, 2]
    assert skipped["empty or inverted box"] == 2 and skipped["box outside its photo"] == 1
    assert not wanted_of(Photo("a.jpg", SIZE, ()), OWN_NAMES, 0)[0]


def test_names_lead_back() -> None:
    def name(file: str, number: int | str = 17) -> str:
        return crop_stem(Photo(file, SIZE, ()), Annotation(number, "can", RED, False))

    assert name("batch_1/000006.jpg") == "batch_1_000006-box17"
    assert name("a b/ü?.JPG", "x/1") == "a_b_ü_-boxx_1"
    assert name(".hidden/.x") == "hidden_-box17"
    assert len(name("한" * 200 + ".jpg").encode()) <= 200 and name("한" * 200 + ".jpg").startswith("한")


def test_photos_are_found_below_their_folder_only(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for name in ("images/sub/a.jpg", "outside.jpg"):
        (tmp_path / name).write_bytes(b"x")
    os.symlink("sub/a.jpg", images / "inside.jpg")
    os.symlink("loop.jpg", images / "loop.jpg")
    os.mkfifo(images / "pipe.jpg")
    files = ("sub/a.jpg", "inside.jpg", "none.jpg", "loop.jpg", "pipe.jpg", "sub", "x" * 300)
    found = locate(images, [Photo(file, SIZE, ()) for file in files])
    assert found == [images / "sub/a.jpg"] * 2 + [None] * 2 + [images / "pipe.jpg", images / "sub", None]
    for path in found[4:6]:  # they are there, and nothing waits for them
        assert path is not None
        with pytest.raises(BrokenImageError, match="not a file"):
            list(cut_crops(path, SIZE, [_wanted(RED)], 0.0))
    assert locate(images, [Photo("sub\\a.jpg", SIZE, ())]) == [images / "sub/a.jpg"]
    (images / "sub\\a.jpg").write_bytes(b"y")
    assert locate(images, [Photo("sub\\a.jpg", SIZE, ())]) == [images / "sub\\a.jpg"]
    os.symlink("../outside.jpg", images / "link.jpg")
    os.symlink("..", images / "up")
    for file in ("link.jpg", "up/outside.jpg"):
        with pytest.raises(UserError, match="link that leaves"):
            locate(images, [Photo(file, SIZE, ())])
    with pytest.raises(UserError, match="is no folder"):
        locate(images / "none", [])
