"""Folders of Fashion-MNIST images, a part of the training images and all test images.

Usage: apt-get install dataset-fashion-mnist   (Debian and Ubuntu; MIT licence)
       python benchmarks/fashion_mnist.py OUT [--source DIR] [--train 400] [--val 100]

Zalando's photos of clothes (Xiao et al. 2017), 28 px, grey, ten classes of equal size. OUT gets
``train``, ``val`` and ``test`` with a folder for each class, which ``--data OUT`` takes as its splits:
the first images of every class train, the next ones validate, and the 10,000 of the test set test.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

_SOURCE = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package
_SIDE = 28
_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"
)  # fmt: skip


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="new directory")
    parser.add_argument("--source", type=Path, default=_SOURCE, help="directory of the four .gz files")
    parser.add_argument("--train", type=int, default=400, help="training images of each class")
    parser.add_argument("--val", type=int, default=100, help="validation images of each class")
    given = parser.parse_args()
    if not given.source.is_dir():
        parser.error(f"{given.source} does not exist; install dataset-fashion-mnist, or give --source")
    given.out.mkdir(parents=True)
    images, labels = read(given.source, "train")
    for number, name in enumerate(_CLASSES):
        its = images[labels == number]
        write(given.out / "train" / name, its[: given.train])
        write(given.out / "val" / name, its[given.train : given.train + given.val])
    images, labels = read(given.source, "t10k")
    for number, name in enumerate(_CLASSES):
        write(given.out / "test" / name, images[labels == number])


def read(source: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images ``(n, 28, 28)`` uint8 and their labels ``(n,)``, each behind a header of words."""
    images, labels = (
        np.frombuffer(
            gzip.decompress((source / f"{split}-{kind}-idx{dims}-ubyte.gz").read_bytes()),
            np.uint8,
            offset=4 * (1 + dims),
        )
        for kind, dims in (("images", 3), ("labels", 1))
    )
    return images.reshape(-1, _SIDE, _SIDE), labels


def write(folder: Path, images: np.ndarray) -> None:
    """Write images as PNG files."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05}.png")


if __name__ == "__main__":
    main()
