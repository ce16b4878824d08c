"""What an annotation file says, and that each thing wrong in it is named with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from training.data.coco.annotations import parse_coco, read_coco
from training.data.coco.boxes import Box, clipped

GOOD: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a/x.jpg", "width": 40, "height": 30.0},
        {"id": "b", "file_name": "y.png", "width": 8, "height": 9},
    ],
    "categories": [{"id": 0, "name": "can"}, {"id": 5, "name": "cup"}],
    "annotations": [
        {"id": 1, "image_id": "b", "category_id": 5, "bbox": [1, 2, 3, 4.5]},
        {"id": 1, "image_id": 7, "category_id": 0, "bbox": [-1, 0, 0, -4], "iscrowd": 1},
    ],
}


def test_photos_and_their_boxes() -> None:
    coco = parse_coco(GOOD)
    assert coco.categories == ("can", "cup") and coco.repeated_ids == (1,)
    first, second = coco.photos
    assert (first.file, first.size) == ("a/x.jpg", (40, 30))
    assert first.annotations[0].crowd and first.annotations[0].box.empty
    assert second.annotations[0].box == Box(1, 2, 3, 4.5)
    assert second.annotations[0].category == "cup" and not second.annotations[0].crowd


def _set(key: str, index: int, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[key][index].__setitem__(name, value)


def _drop(key: str, index: int, name: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[key][index].pop(name)


WRONG = [
    (lambda c: c.pop("images"), "no 'images'"),
    (lambda c: c.update(annotations={}), "'annotations' must be a list"),
    (lambda c: c.update(categories=[3]), "categories[0] is 3"),
    *((_drop("images", 1, k), f"images[1] has no '{k}'") for k in ("id", "file_name", "width", "height")),
    *((_drop("annotations", 0, k), f"[0] has no '{k}'") for k in ("image_id", "category_id", "bbox")),
    (_drop("categories", 0, "name"), "categories[0] has no 'name'"),
    (_set("images", 0, "width", "40"), 'images[0]: width is "40"'),
    (_set("images", 0, "width", 0), "images[0]: width is 0"),
    (_set("images", 0, "height", 30.5), "height is 30.5"),
    (_set("images", 0, "height", float("inf")), "height is Infinity"),
    (_set("images", 0, "height", 10**400), "height is 1000"),
    (_set("images", 0, "id", True), "images[0]: id is true"),
    (_set("images", 1, "id", 7), "images[1]: id is 7: images[0] has it too"),
    (_set("categories", 1, "id", 0), "categories[1]: id is 0: categories[0] has it too"),
    (_set("annotations", 0, "image_id", 8), "annotations[0]: image_id is 8: no such id in images"),
    (_set("annotations", 1, "category_id", 9), "category_id is 9: no such id in categories"),
    (_set("annotations", 1, "category_id", [1]), "category_id is [1]"),
    (_set("annotations", 0, "bbox", [1, 2, float("nan"), 4]), "bbox is [1, 2, NaN, 4]: expected four"),
    (_set("annotations", 0, "bbox", [1, 2, 3]), "bbox is [1, 2, 3]"),
    (_set("annotations", 0, "bbox", [1, 2, "3", 4]), "expected four finite numbers"),
    (_set("annotations", 0, "bbox", None), "bbox is null"),
    (_set("annotations", 0, "iscrowd", 2), "iscrowd is 2"),
    (_set("images", 0, "file_name", ""), "expected a text"),
    *(
        (_set("images", 0, "file_name", name), "leaves the image folder")
        for name in (
            "../x.jpg",
            "a/../../x.jpg",
            "/etc/x.jpg",
            "C:\\x.jpg",
            "..\\x.jpg",
            "\\\\host\\x.jpg",
        )
    ),
    (_set("images", 0, "file_name", "a\0b"), "no file can have this name"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_named(spoil, message: str, tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    spoil(content)
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_coco(path)
    assert message in str(error.value) and "boxes.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff\xfe\x00", b"", b"null", b"[" * 100_000])
def test_no_annotation_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "boxes.json").write_bytes(content)
    with pytest.raises(UserError, match=r"boxes\.json"):
        read_coco(tmp_path / "boxes.json")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_coco(tmp_path / "boxes.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_coco(tmp_path)


def test_the_real_taco(taco: Path) -> None:
    coco = read_coco(taco)
    boxes = [(one.box, photo.size) for photo in coco.photos for one in photo.annotations]
    assert (len(coco.photos), len(coco.categories), len(boxes)) == (1500, 60, 4784)
    assert coco.repeated_ids == (309, 4040)
    leaving = [
        min(box.x, box.y, size[0] - box.x - box.width, size[1] - box.y - box.height) < -1e-6
        for box, size in boxes
    ]
    assert sum(leaving) == 7
    assert not any(clipped(box, size).empty for box, size in boxes)
