"""What differs is shown, however long the rest is."""

from __future__ import annotations

import random

import pytest

from nas.identity import first_difference


def test_short_values_are_shown_whole() -> None:
    found = first_difference(
        {"a": 1, "train": {"epochs": 1, "x": [1]}}, {"a": 1, "train": {"epochs": 2, "x": [1]}}
    )
    assert found is not None
    assert (found.setting, found.has, found.asked) == ("train.epochs", "1", "2")
    found = first_difference({}, {"teacher": "ü"})
    assert found is not None and (found.has, found.asked) == ("null", '"ü"')
    assert first_difference({"a": {"b": [1, None]}}, {"a": {"b": [1, None]}}) is None
    assert first_difference({"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "later": None}, "c": 2}) is None


@pytest.mark.parametrize("place", [0, 50, 150, 399])
def test_long_values_are_cut_to_where_they_differ(place: int) -> None:
    text = "".join(random.Random(0).choices("abcdef", k=400))
    other = f"{text[:place]}XYZ{text[place + 1 :]}"
    found = first_difference({"spec": text}, {"spec": other})
    assert found is not None
    assert "XYZ" in found.asked and "XYZ" not in found.has
    assert text[place] in found.has and found.has != found.asked
    assert max(len(found.has), len(found.asked)) <= 90
    assert found.has.startswith("...") == found.asked.startswith("...") == (place > 20)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["x" * 100], ["x" * 100, "y"]),
        ("x" * 100, "x" * 101),
        ("x" * 100, None),
        (list(range(100)), list(range(1, 100))),
        ({"a": "x" * 200}, "x" * 200),
    ],
)
def test_the_two_texts_are_never_the_same(one: object, other: object) -> None:
    for stored, wanted in ((one, other), (other, one)):
        found = first_difference({"spec": stored}, {"spec": wanted})
        assert found is not None and found.has != found.asked
        assert max(len(found.has), len(found.asked)) <= 90
