"""What all tests share: the embedded digits, some of them, and a tiny network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.architecture import Architecture
from nas.spaces.toy import Toy


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory):
    """scikit-learn's digits at 32 px: 1,259 images to train on, 179 to validate, 359 to test."""
    from training.images import open_images

    return open_images("digits", cache=tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def some_digits(digits):
    """200 of them to train on, 60 to validate, 80 to test; a content key of its own."""
    counts = {"train": 200, "val": 60, "test": 80}
    splits = {part: indices[: counts[part]] for part, indices in digits.splits.items()}
    return replace(digits, splits=splits, digest=f"some-{digits.digest}")


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """A network of one block that trains in a fraction of a second, at 32 px."""
    return Toy().decode((0, 0, 0, 0))
