"""Prediction with a trained model, from image files, Pillow images or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from core.errors import UserError, short
from training.bundle import Bundle
from training.bundle_files import CONFIG_FILE
from training.data.decode import BrokenImageError, file_content, open_image
from training.data.fitting import FITS, Fit, square
from training.finite import check_logits
from training.preprocess import prepare

ImageLike = str | Path | Image.Image | np.ndarray
BATCH_SIZE = 64


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

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

    A file gets the decoding, resizing and normalisation of training, and so the logits of evaluation.

    Args:
        bundle: the trained model; its ``config`` must hold ``data: {size, fit}``, the side (pixels)
            and the fit of the stored training images.

    Raises:
        UserError: ``config.yaml`` of the bundle lacks them.
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
            UserError: a file is missing or no image, or an array has another dtype or shape; names it. Or
                the network returns no finite numbers.
        """
        rows = torch.from_numpy(self.logits(images)).double().softmax(dim=1).tolist()
        return [self._prediction(row) for row in rows]

    def logits(self, images: ImageLike | Iterable[ImageLike]) -> np.ndarray:
        """Return the logits ``(N, C)`` float32 of images, as :meth:`predict` takes them.

        Raises:
            UserError: see :meth:`predict`.
        """
        stream = _iterate(images)
        batches = iter(lambda: [*islice(stream, BATCH_SIZE)], [])
        logits = [self._forward(batch) for batch in batches]
        return np.concatenate(logits) if logits else np.empty((0, len(self.classes)), dtype=np.float32)

    def _forward(self, images: list[ImageLike]) -> np.ndarray:
        stored = np.stack([decode(image, self.size, self.fit) for image in images])
        pixels = torch.from_numpy(stored).permute(0, 3, 1, 2)
        with torch.inference_mode():
            inputs = prepare(pixels, self.resolution, self.bundle.normalization)
            logits = cast(np.ndarray, self.bundle.model(inputs).float().numpy())
        check_logits(logits, self.bundle.path)
        return logits

    def _prediction(self, probabilities: list[float]) -> Prediction:
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        named = dict(zip(self.classes, probabilities, strict=True))
        return Prediction(self.classes[best], probabilities[best], named)


def decode(image: ImageLike, size: int, fit: Fit) -> np.ndarray:
    """Return one image as training stores it, ``(size, size, 3)`` uint8 RGB.

    A file gets exactly the pixels of training. A Pillow image or an array can differ from its file by a
    few levels, since training scales a large JPEG down while decoding it.

    Raises:
        UserError: it is missing, broken, or no image; names it.
    """
    try:
        if isinstance(image, str | Path):
            return square(open_image(file_content(Path(image))), size, fit)
        if isinstance(image, Image.Image):
            return square(image.copy(), size, fit)  # a copy, since decoding works in place
        return square(Image.fromarray(_checked_array(image)), size, fit)
    except BrokenImageError as error:
        name = image if isinstance(image, str | Path) else type(image).__name__
        raise UserError(f"{name} cannot be read as an image: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{image}: no such file; give the path of an image") from None
    except OSError as error:
        raise UserError(f"{image} cannot be read: {error.strerror or error}") from None


def _iterate(images: ImageLike | Iterable[ImageLike]) -> Iterator[ImageLike]:
    if isinstance(images, np.ndarray):
        yield from images if images.ndim == 4 else [images]
    elif isinstance(images, str | Path | Image.Image):
        yield images
    else:
        yield from images


def _checked_array(image: Any) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"cannot classify {type(image).__name__}; give a path, a Pillow image or a uint8 array"
        )
    is_grey = image.ndim == 2
    is_colour = image.ndim == 3 and image.shape[2] in (3, 4)
    if image.dtype != np.uint8 or not (is_grey or is_colour) or 0 in image.shape:
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
            f"{bundle.path / CONFIG_FILE}: 'data' must give the format of stored images: "
            f"size (pixels) and fit ({', '.join(FITS)}), got size {short(size)} and fit {short(fit)}"
        )
    return size, cast(Fit, fit)
