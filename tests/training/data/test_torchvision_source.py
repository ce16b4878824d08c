"""Data sets of torchvision: real digits, written to disk in MNIST's own format."""

from __future__ import annotations

import inspect
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core.errors import UserError
from training.data.decode import BrokenImageError
from training.data.images import open_images
from training.data.torchvision_source import DATASETS, TorchvisionSource


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def fashion(own_cache: Path) -> Path:
    """scikit-learn's digits where torchvision looks for FashionMNIST."""
    digits = load_digits()
    pixels = np.stack(
        [
            np.asarray(Image.fromarray((image * 15.9).astype(np.uint8)).resize((28, 28)))
            for image in digits.images
        ]
    )
    labels = digits.target.astype(np.uint8)
    raw = own_cache / "torchvision" / "FashionMNIST" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(_idx(pixels[part]))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(_idx(labels[part]))
    return raw


def test_own_split_and_names(fashion: Path) -> None:
    images = open_images("torchvision:FashionMNIST")
    digits = load_digits()
    assert images.name == "FashionMNIST" and images.flip
    assert images.classes[0] == "T-shirt/top" and images.num_classes == 10
    assert images.images.shape == (1797, 32, 32, 3)
    assert np.array_equal(images.labels, digits.target)
    assert images.splits["test"].tolist() == list(range(1500, 1797))
    assert 170 <= len(images.splits["val"]) <= 205
    assert len(images.splits["train"]) + len(images.splits["val"]) == 1500
    ink = images.images.astype(float).mean(axis=(1, 2, 3))
    assert np.corrcoef(ink, digits.images.mean(axis=(1, 2)))[0, 1] > 0.99


def test_second_open_and_changed_files(fashion: Path) -> None:
    first = open_images("torchvision:FashionMNIST")
    calls: list[int] = []
    second = open_images("torchvision:FashionMNIST", progress=lambda done, _: calls.append(done))
    assert calls == [] and second.digest == first.digest
    labels = fashion / "t10k-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    labels.write_bytes(content)
    assert open_images("torchvision:FashionMNIST").digest != first.digest


def test_the_class_is_the_first_of_several_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """QMNIST describes a digit in eight columns."""

    class Digits:
        targets = np.array([[3, 9], [1, 8]])

        def __len__(self) -> int:
            return 2

    source = TorchvisionSource("QMNIST")
    monkeypatch.setattr(source, "_open", lambda: {"": Digits()})
    assert source.listing().labels == (3, 1)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    # Cutting the network of this process: what torchvision makes of it is its own.
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("CIFAR10", "MNIST", "Food101"):
        with pytest.raises(
            UserError, match=f"torchvision:{name} cannot be opened or downloaded"
        ) as caught:
            open_images(f"torchvision:{name}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_arguments_exist(name: str) -> None:
    """Every entry of the table selects its parts with arguments that torchvision has."""
    import torchvision.datasets

    factory = getattr(torchvision.datasets, name)
    signature = inspect.signature(factory.__init__)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for arguments in DATASETS[name].values():
        for argument in ("download", *arguments):
            assert argument in signature.parameters or open_ended


def test_a_broken_image_is_left_out(fashion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = TorchvisionSource.load

    def broken(self: TorchvisionSource, index: int) -> Image.Image:
        if index == 0:
            raise BrokenImageError("cut off")
        return load(self, index)

    monkeypatch.setattr(TorchvisionSource, "load", broken)
    images = open_images("torchvision:FashionMNIST")
    assert len(images.images) == 1796 and len(images.broken) == 1
