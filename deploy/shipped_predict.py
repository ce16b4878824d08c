"""Classify images: python predict.py IMAGE...

Needs the runtime that runner.py names, Pillow and numpy. inference.json says what the model expects.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent
SPEC = json.loads((FOLDER / "inference.json").read_text(encoding="utf-8"))


def colours(image: Image.Image) -> Image.Image:
    """Return an image as RGB, on white; the range of a deep grey becomes 0 to 255."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        whites = [65535.0] if image.mode.startswith("I") else [1.0, 255.0, 65535.0]
        white = next((value for value in whites if low >= 0 and high <= value), None)
        low, high = (low, high if high > low else low + 1.0) if white is None else (0.0, white)
        levels = np.rint((values - low) * (255.0 / (high - low))).astype(np.uint8)
        return Image.fromarray(levels).convert("RGB")
    keyed = image.palette is not None and image.palette.mode.endswith("A")
    if keyed or "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def pixels(path: str) -> np.ndarray:
    """Return the input of the model: one image, resized as in training, in 0..1."""
    resize, side = SPEC["resize"], SPEC["input"]["side"]
    size = resize["stored"]
    image: Image.Image = Image.open(path)
    image.draft(None, (2 * size, 2 * size))  # type: ignore[arg-type]  # a JPEG is scaled as it is decoded
    image = colours(ImageOps.exif_transpose(image))
    width, height = image.size
    if resize["fit"] == "crop":
        least = min(width, height)
        left, top = (width - least) / 2, (height - least) / 2
        centre = (left, top, left + least, top + least)
        image = image.resize((size, size), Image.Resampling.BICUBIC, centre)
    elif resize["fit"] == "squash":
        image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    else:
        scale = size / max(width, height)
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = Image.new("RGB", (size, size), (128, 128, 128))
        inside = image.resize(shape, Image.Resampling.BICUBIC, reducing_gap=3.0)
        canvas.paste(inside, ((size - shape[0]) // 2, (size - shape[1]) // 2))
        image = canvas
    small = image.resize((side, side), Image.Resampling.BILINEAR)
    values = np.asarray(small, np.float32)[None] / np.float32(255)
    return values if SPEC["input"]["layout"] == "NHWC" else values.transpose(0, 3, 1, 2).copy()


def main() -> None:
    """Print the label and its probability for each image."""
    from runner import open_model  # type: ignore[import-not-found]

    run = open_model({name: (FOLDER / name).read_bytes() for name in SPEC["files"]}, 1)
    for path in sys.argv[1:]:
        logits = np.asarray(run(pixels(path)), np.float64).reshape(-1)
        shares = np.exp(logits - logits.max())
        best = int(logits.argmax())
        print(f"{path}: {SPEC['labels'][best]} {shares[best] / shares.sum():.3f}")


if __name__ == "__main__":
    main()
