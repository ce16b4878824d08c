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


NO_LISTS = [
    (lambda c: c.pop("images"), "no 'images'"),
    (lambda c: c.pop("annotations"), "no 'annotations'"),
    (lambda c: c.update(annotations={}), "'annotations' must be a list"),
    (lambda c: c.update(categories=None), "'categories' must be a list"),
]


@pytest.mark.parametrize(("spoil", "message"), NO_LISTS, ids=[message for _, message in NO_LISTS])
def test_a_file_without_its_lists_is_refused(spoil, message: str, tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    spoil(content)
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_coco(path)
    assert message in str(error.value) and "boxes.json" in str(error.value)
    assert "\n" not in str(error.value)


NO_BOX = "annotation without a box of four finite numbers"
NO_PHOTO = "annotation of a photo that is not listed, or cannot be used"
NO_CATEGORY = "annotation of a category that is not listed, or cannot be used"
#: What spoils one of the two annotations, its reason, and the place that is named.
UNUSABLE = [
    *(
        (_set("annotations", 0, "bbox", box), NO_BOX, f"annotations[0] (id 1): bbox is {shown}")
        for box, shown in (
            ([1, 2, float("nan"), 4], "[1, 2, NaN, 4]"),
            ([float("inf")] * 2 + [-float("inf")] * 2, "[Infinity, Infinity, -Infinity, -Infinity]"),
            ([1, 2, 3], "[1, 2, 3]"),
            ([1, 2, "3", 4], '[1, 2, "3", 4]'),
            ([1, 2, 3, 10**400], "[1, 2, 3, 1000"),
            (None, "null"),
        )
    ),
    (_drop("annotations", 0, "bbox"), NO_BOX, "annotations[0] (id 1): no bbox"),
    (_drop("annotations", 0, "image_id"), NO_PHOTO, "annotations[0] (id 1): no image_id"),
    (_set("annotations", 0, "image_id", 8), NO_PHOTO, "image_id is 8"),
    (_set("annotations", 0, "image_id", [1]), NO_PHOTO, "image_id is [1]"),
    (_set("annotations", 0, "image_id", True), NO_PHOTO, "image_id is true"),
    (_set("annotations", 0, "category_id", 9), NO_CATEGORY, "category_id is 9"),
    (_drop("annotations", 0, "category_id"), NO_CATEGORY, "no category_id"),
    (_set("annotations", 0, "iscrowd", 2), "annotation whose iscrowd is neither 0 nor 1", "iscrowd is 2"),
    (
        lambda c: c["annotations"].__setitem__(0, 3),
        NO_PHOTO.split(" of")[0] + " of another type than an object",
        "[0] is 3",
    ),
]


@pytest.mark.parametrize(("spoil", "reason", "place"), UNUSABLE, ids=[place for *_, place in UNUSABLE])
def test_an_annotation_that_cannot_be_used_is_counted(spoil, reason: str, place: str) -> None:
    content = copy.deepcopy(GOOD)
    spoil(content)
    coco = parse_coco(content)
    assert [one.category for photo in coco.photos for one in photo.annotations] == ["can"]
    assert list(coco.unusable) == [reason]
    (found,) = coco.unusable[reason]
    assert place in found and len(found) < 200
    content["annotations"].pop()
    with pytest.raises(
        UserError, match=r"none of its 1 annotations can be used: .* \(1\): annotations\[0\]"
    ):
        parse_coco(content)


OUTSIDE = "images outside the image folder"
#: What spoils a photo or a category, the remark, the place, and whether its annotations are lost.
REMARKS = [
    (_drop("images", 1, "id"), "images without an id", "images[1]: no id", True),
    (_set("images", 1, "id", True), "images without an id", "images[1]: id is true", True),
    (_set("images", 1, "id", 1.5), "images without an id", "images[1]: id is 1.5", True),
    (_drop("images", 1, "file_name"), "images without a file_name", '(id "b"): no file_name', True),
    (_set("images", 1, "file_name", " "), "images without a file_name", 'file_name is " "', True),
    *(
        (_set("images", 1, "file_name", name), OUTSIDE, f"file_name is {json.dumps(name)}", True)
        for name in (
            "../x.jpg",
            "a/../../x.jpg",
            "/etc/x.jpg",
            "C:\\x.jpg",
            "..\\x.jpg",
            "\\\\host\\x.jpg",
        )
    ),
    (_set("images", 1, "file_name", "a\0b"), "images with a name that no file can have", "a\\u0000b", True),
    (lambda c: c["images"].__setitem__(1, "y"), "images of another type than an object", 'images[1] is "y"', True),
    (_drop("categories", 1, "name"), "categories without a name", "categories[1] (id 5): no name", True),
    (_drop("categories", 1, "id"), "categories without an id", "categories[1]: no id", True),
    *(
        (_set("images", 1, "width", width), "photos without a usable width and height: their own size is taken", "images[1]", False)
        for width in ("40", 0, 30.5, float("inf"), 10**400, None)
    ),
    (_drop("images", 1, "height"), "photos without a usable width and height: their own size is taken", "images[1]", False),
    *(
        (change, "annotations without an id, named by their place", "annotations[0]", False)
        for change in (
            _drop("annotations", 0, "id"),
            *(_set("annotations", 0, "id", value) for value in (None, True, [1], 1.5)),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "remark", "place", "lost"), REMARKS)
def test_what_else_is_wrong_is_said(spoil, remark: str, place: str, lost: bool) -> None:
    content = copy.deepcopy(GOOD)
    spoil(content)
    coco = parse_coco(content)
    assert list(coco.remarks) == [remark] and place in coco.remarks[remark][0]
    left = [one.category for photo in coco.photos for one in photo.annotations]
    assert sorted(left) == (["can"] if lost else ["can", "cup"])
    assert sum(map(len, coco.unusable.values())) == lost


def test_an_id_of_two_photos_or_categories_names_neither() -> None:
    content = copy.deepcopy(GOOD)
    content["images"].append({"id": 7, "file_name": "z.jpg", "width": 4, "height": 3})
    content["categories"].append({"id": 5, "name": "mug"})
    content["annotations"].append({"id": 2, "image_id": "b", "category_id": 0, "bbox": [1, 2, 3, 4]})
    coco = parse_coco(content)
    assert [photo.file for photo in coco.photos] == ["y.png"] and coco.categories == ("can",)
    assert coco.photos[0].annotations[0].id == 2
    assert {reason: len(of) for reason, of in coco.unusable.items()} == {NO_PHOTO: 1, NO_CATEGORY: 1}
    assert [of[0] for of in coco.remarks.values()] == [
        "categories[2] and categories[1] (id 5)",
        "images[2] and images[0] (id 7)",
    ]


def test_entries_that_are_there_twice_count_once() -> None:
    content = copy.deepcopy(GOOD)
    content["images"] *= 2
    content["categories"] *= 2
    assert parse_coco(content) == parse_coco(GOOD)


def test_what_is_meant_is_taken() -> None:
    """Ids that are whole floats, null for iscrowd, a number as a name, Windows' separators."""
    content = copy.deepcopy(GOOD)
    content["images"][0] |= {"id": 7.0, "file_name": "a\\x.jpg"}
    content["categories"][0] = {"id": 0.0, "name": 12}
    content["annotations"][1] |= {"id": 3.0, "iscrowd": None}
    coco = parse_coco(content)
    assert not coco.unusable and not coco.remarks and coco.categories == ("12", "cup")
    (one,) = coco.photos[0].annotations
    assert (one.id, type(one.id), one.crowd, one.category) == (3, int, False, "12")
    assert coco.photos[0].file == "a\\x.jpg"


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


def test_boxes_of_infinities_in_the_real_taco(taco: Path, tmp_path: Path) -> None:
    """As in its unofficial file, in which 15 boxes are [inf, inf, -inf, -inf]."""
    content = json.loads(taco.read_bytes())
    for index in range(0, 4500, 300):
        content["annotations"][index]["bbox"] = [float("inf")] * 2 + [-float("inf")] * 2
    (tmp_path / "unofficial.json").write_text(json.dumps(content))
    coco = read_coco(tmp_path / "unofficial.json")
    assert sum(len(photo.annotations) for photo in coco.photos) == 4784 - 15
    assert {reason: len(of) for reason, of in coco.unusable.items()} == {NO_BOX: 15}
    assert not coco.remarks
