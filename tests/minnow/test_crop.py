"""``data crop`` through the command line, and that its output works right away."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(here: Path) -> Path:
    """``photos/``, 30 pictures with a dark and a light box each, and ``boxes.json``."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(30):
        pixels = rng.normal(128, 20, (80, 100, 3))
        pixels[10:40, 10:40] -= 90
        pixels[10:40, 60:90] += 90
        (here / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(here / f"photos/{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 100, "height": 80})
        for category, x in ((1, 10), (2, 60)):
            box = {"image_id": index, "category_id": category, "bbox": [x, 10, 30, 30]}
            annotations.append({"id": len(annotations), **box})
    annotations.append({"id": 999, "image_id": 0, "category_id": 3, "bbox": [0, 0, 30, 30]})
    names = ((1, "ink"), (2, "snow"), (3, "odd"))
    categories = [{"id": number, "name": name} for number, name in names]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (here / "boxes.json").write_text(json.dumps(content))
    (here / "map.yaml").write_text("dark: [ink]\nlight: [snow]\n")
    return here / "photos"


CROP = "data crop --coco boxes.json --images photos --out crops"


@pytest.mark.parametrize(
    ("split", "columns", "counts"),
    [
        ("--split 70/10/20", "train val test", "dark 21 3 6"),
        ("--split 80/20", "train val", "dark 24 6"),
        ("", "crops", "dark 30"),
    ],
)
def test_the_output_works_right_away(photos, minnow, split, columns, counts):
    said = minnow(f"{CROP} --map map.yaml {split}")
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.output.splitlines()]
    assert f"class {columns}" in lines and counts in lines and counts.replace("dark", "light") in lines
    assert "60 crops of 30 photos" in lines and "category left out by the map 1" in lines
    check, search = said.output.partition("Next:")[2].strip().splitlines()
    assert ("--group-by" in check) is ("--group-by" in search) is not split
    checked = minnow(*shlex.split(check)[2:])
    assert checked.code == 0 and "problem" not in checked.output and "duplicate" not in checked.output
    short = "--space toy --trials 1 --epochs 1 --out new --image-size 32"
    found = minnow(*shlex.split(f"{search} {short}")[2:])
    assert found.code == 0
    if split == "--split 80/20":
        note = "there is no test/: val/ is what is tested at the end, and some images of train/ validate"
        assert f"note: {note}" in checked.output and f"data: {note}" in found.notices
        assert any("42 train, 6 val, 12 test" in line for line in found.notices)


def test_categories_are_classes_without_a_map(photos, minnow):
    said = minnow(CROP)
    assert said.code == 0 and sorted(path.name for path in photos.with_name("crops").iterdir()) == [
        "crops.csv",
        "ink",
        "snow",
    ]
    assert any("too rare to be in every split, left out: odd" in line for line in said.notices)


def test_missing_and_broken_photos_are_said(photos, minnow):
    (photos / "0.png").unlink()
    (photos / "1.png").write_bytes(b"no photo")
    said = minnow(f"{CROP} --map map.yaml")
    assert said.code == 0
    assert "warning: photo missing (1): 0.png: no such file" in said.notices
    assert "warning: photo broken (1): 1.png: not an image that can be read" in said.notices


def test_what_cannot_be_used_is_counted_and_named(photos, minnow):
    """A careless file: all that can be used is used, and a photo's own size where the file has none."""
    content = json.loads(Path("boxes.json").read_text())
    for index in range(5):
        content["annotations"][index]["bbox"] = [float("inf"), float("inf"), -float("inf"), -float("inf")]
    content["annotations"][8]["image_id"] = 12345
    del content["annotations"][9]["id"]
    content["annotations"][10]["iscrowd"] = None
    for image in content["images"]:
        del image["width"]
    content["images"][29]["file_name"] = r"..\photos\29.png"
    Path("boxes.json").write_text(json.dumps(content))
    said = minnow(f"{CROP} --map map.yaml")
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.output.splitlines()]
    assert "annotation without a box of four finite numbers 5" in lines
    assert "annotation of a photo that is not listed, or cannot be used 3" in lines
    notices = "\n".join(said.notices)
    assert "finite numbers (5): annotations[0] (id 0): bbox is [Infinity, Infinity, -Infinity" in notices
    assert "images outside the image folder (1): images[29] (id 29): file_name is" in notices
    assert "annotations without an id, named by their place (1): annotations[9]" in notices
    assert (
        "photos without a usable width and height: their own size is taken (29): images[0]; images[1]"
        in notices
    )
    assert "52 crops of" in said.output  # 60, without 5, 1 and the 2 of the last photo


WRONG = [
    ("data crop", "--coco"),
    (CROP.replace("boxes.json", "no.json"), "no.json", "does not exist"),
    (CROP.replace("boxes.json", "map.yaml"), "map.yaml", "not valid JSON"),
    (CROP.replace("photos", "no"), "no is no folder"),
    (CROP.replace("crops", "photos"), "photos", "not empty"),
    (CROP.replace("crops", "map.yaml"), "map.yaml", "is a file"),
    (CROP.replace("crops", "map.yaml/crops"), "map.yaml/crops", "choose another"),
    (f"{CROP} --map taco7", "taco7", "taco6"),
    (f"{CROP} --map boxes.json", "map boxes.json"),
    (f"{CROP} --map taco6", "names no category"),
    (f"{CROP} --margin -1", "--margin"),
    (f"{CROP} --margin nan", "--margin"),
    (f"{CROP} --min-side inf", "--min-side"),
    (f"{CROP} --min-side 31", "shorter side", "61"),
    (f"{CROP} --split 80", "80/20"),
    (f"{CROP} --seed -1", "--seed"),
]


@pytest.mark.parametrize(("command", "words"), [(first, rest) for first, *rest in WRONG], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_what_is_wrong_is_one_line(photos, minnow, command, words):
    before = sorted(photos.parent.rglob("*"))
    complaint = minnow(command).complaint
    assert all(word in complaint for word in words)
    assert sorted(photos.parent.rglob("*")) == before


def test_ctrl_c_leaves_nothing(photos, minnow, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.data.coco.crop_set.split_groups", interrupted)
    said = minnow(f"{CROP} --split 80/20")
    assert said.code == 130 and said.notices[-1] == "stopped; nothing was written"
    assert not photos.with_name("crops").exists() and not list(photos.parent.glob(".crops*"))
