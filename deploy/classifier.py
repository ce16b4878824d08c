"""A trained model that takes images as people have them: files, Pillow images, arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from core.errors import UserError
from training.bundle import CONFIG_FILE, Bundle
from training.data.decode import FITS, BrokenImageError, Fit, open_image, square
from training.preprocess import prepare

ImageLike = str | Path | Image.Image | np.ndarray
BATCH_SIZE = 64


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image.

    Attributes:
        label: the most probable class.
        probability: its softmax probability, 0..1.
        probabilities: of every class, in the order of the logits; they sum to 1.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier:
    """A trained model, ready to use; ``deploy.load(path)`` makes one.

    A file goes through the decoding, resizing and normalisation of training, so it gets the logits
    that evaluation gives it.

    Args:
        bundle: the trained model; its ``config`` must hold ``data: {size, fit}``, the side (pixels)
            and the fit that images were stored with for training.

    Raises:
        UserError: the bundle's ``config.yaml`` does not say how images are decoded.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.size, self.fit = _stored_format(bundle)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.bundle.classes

    @property
    def resolution(self) -> int:
        """Side of the network's input, pixels."""
        return self.bundle.architecture.resolution

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> list[Prediction]:
        """Classify one image or many.

        Args:
            images: a file path, a Pillow image, a uint8 array ``(H, W, 3)`` (or ``(H, W)`` grey,
                ``(H, W, 4)`` with alpha), a batch ``(N, H, W, 3)``, or an iterable of these.

        Returns:
            One prediction per image, in order; a list of one for a single image.

        Raises:
            UserError: a file that is missing or no image, or an array of another kind; names it.
        """
        rows = torch.from_numpy(self.logits(images)).double().softmax(dim=1).tolist()
        return [self._prediction(row) for row in rows]

    def logits(self, images: ImageLike | Iterable[ImageLike]) -> np.ndarray:
        """Logits ``(N, C)`` float32 of the images, as :meth:`predict` takes them."""
        each = _each(images)
        parts = [self._forward(part) for part in iter(lambda: [*islice(each, BATCH_SIZE)], [])]
        if not parts:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        return np.concatenate(parts)

    def _forward(self, images: list[ImageLike]) -> np.ndarray:
        stored = np.stack([decode(image, self.size, self.fit) for image in images])
        pixels = torch.from_numpy(stored).permute(0, 3, 1, 2)
        with torch.inference_mode():
            inputs = prepare(pixels, self.resolution, self.bundle.normalization)
            return cast(np.ndarray, self.bundle.model(inputs).float().numpy())

    def _prediction(self, probabilities: list[float]) -> Prediction:
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        named = dict(zip(self.classes, probabilities, strict=True))
        return Prediction(self.classes[best], probabilities[best], named)


def decode(image: ImageLike, size: int, fit: Fit) -> np.ndarray:
    """One image as training stores it: ``(size, size, 3)`` uint8 RGB.

    A file gets exactly training's pixels. A Pillow image or an array is there in full already,
    where training lets a large JPEG scale down while decoding: it can differ from its file by a few
    levels.

    Raises:
        UserError: missing, broken, or not an image; names it.
    """
    try:
        if isinstance(image, str | Path):
            return square(open_image(Path(image).read_bytes()), size, fit)
        if isinstance(image, Image.Image):
            return square(image.copy(), size, fit)  # decoding in place would change the caller's
        return square(Image.fromarray(_checked(image)), size, fit)
    except BrokenImageError as error:
        name = image if isinstance(image, str | Path) else type(image).__name__
        raise UserError(f"{name} cannot be read as an image: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{image}: no such file; give the path of an image") from None
    except OSError as error:
        raise UserError(f"{image} cannot be read: {error.strerror or error}") from None


def _each(images: ImageLike | Iterable[ImageLike]) -> Iterator[ImageLike]:
    if isinstance(images, np.ndarray):
        yield from images if images.ndim == 4 else [images]
    elif isinstance(images, str | Path | Image.Image):
        yield images
    else:
        yield from images


def _checked(image: Any) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"cannot classify {type(image).__name__}; give a path, a Pillow image or a uint8 array"
        )
    grey = image.ndim == 2
    colour = image.ndim == 3 and image.shape[2] in (3, 4)
    if image.dtype != np.uint8 or not (grey or colour) or 0 in image.shape:
        raise UserError(
            f"cannot classify an array of {image.dtype} and shape {image.shape}; "
            "give uint8 of shape (height, width, 3)"
        )
    return np.ascontiguousarray(image)


def _stored_format(bundle: Bundle) -> tuple[int, Fit]:
    data = bundle.config.get("data")
    size = data.get("size") if isinstance(data, dict) else None
    fit = data.get("fit") if isinstance(data, dict) else None
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or fit not in FITS:
        raise UserError(
            f"{bundle.path / CONFIG_FILE}: 'data' must say how images are stored: "
            f"size (pixels) and fit ({', '.join(FITS)}), got size {size!r} and fit {fit!r}"
        )
    return size, cast(Fit, fit)
