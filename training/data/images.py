"""A data set as one memory-mapped uint8 array, decoded once, with fixed splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from core.cache import cache_dir
from core.config import MAX_SIDE, MIN_SIDE, USUAL_TABLE, DataConfig, Refit, TableConfig
from core.errors import UserError
from training.data.fitting import FITS, Fit
from training.data.groups import find_groups
from training.data.listing import Remarks
from training.data.pixels import Pixels, load_pixels
from training.data.sources import find_source
from training.data.split import SPLITS, make_splits
from training.data.unlabelled import JoinedImages, load_unlabelled, repeated

_WARNED = 10


@dataclass(frozen=True)
class DataOptions:
    """Storage and split of images.

    Attributes:
        size: side of the stored square images in pixels; None takes the median short side of
            the images, rounded up to a multiple of 32, between 32 and 256.
        fit: "squash" ignores the aspect ratio, "crop" keeps the centre, "pad" adds grey bars.
        split_seed: seed of the split, where the data set does not bring its own.
        val_share: share of the images that are not tested which validate, where the data set does not
            bring its own; None: an eighth.
        labels_per_class: most images of a class that train and validate; None: all.
        unlabelled: directory of images without labels to learn from as well; None: none.
        group_by: column, or regular expression on the names of the images, whose value or match is the
            group that stays in one split; None: each image by itself.
        table: columns of a table, where their names do not tell.

    Raises:
        UserError: a value out of range.
    """

    size: int | None = None
    fit: Fit = "squash"
    split_seed: int = 0
    val_share: float | None = None
    labels_per_class: int | None = None
    unlabelled: str | None = None
    group_by: str | None = None
    table: TableConfig = USUAL_TABLE

    def __post_init__(self) -> None:
        if self.size is not None and not MIN_SIDE <= self.size <= MAX_SIDE:
            raise UserError(f"size is {self.size} pixels: choose {MIN_SIDE} to {MAX_SIDE}")
        if self.fit not in FITS:
            raise UserError(f"no fit {self.fit!r}: choose one of {', '.join(FITS)}")
        if self.split_seed < 0:
            raise UserError(f"split_seed is {self.split_seed}: choose 0 or more")
        if self.val_share is not None and not 0 < self.val_share < 1:
            raise UserError(f"val_share is {self.val_share}: choose a share between 0 and 1")
        if self.labels_per_class is not None and self.labels_per_class < 2:
            raise UserError(
                f"labels_per_class is {self.labels_per_class}: choose 2 or more, one to train on and one "
                "to validate on"
            )


DEFAULT_OPTIONS = DataOptions()


def data_options(config: DataConfig) -> DataOptions:
    """Return the storage options of the settings."""
    return DataOptions(**{field.name: getattr(config, field.name) for field in fields(DataOptions)})


@dataclass(frozen=True)
class ImageSet:
    """Images, labels and splits, ready to train on.

    Attributes:
        spec: name that the user gave.
        name: short name, for tables and file names.
        classes: class names, in label order.
        size: side S of the stored images, pixels.
        digest: key of the content: files, classes, splits, size, fit.
        images: (N, S, S, 3) uint8 RGB, read-only memory map.
        labels: (N,) int64, in 0..num_classes-1; -1 for an image without a label.
        splits: ascending (n,) int64 indices for "train", "val" and "test"; disjoint. Where there are
            images without labels, "unlabelled" has those to learn from; they come after all others.
        files: relative name of each image.
        broken: names of the files that could not be read and were left out.
        flip: whether a mirrored image still means the same.
        notes: how the data was taken where it does not say all, one line each.
        base: the same data without unlabelled images; None where there are none.
        held_out: the same images before :meth:`refit`; None where validation images are held out.
    """

    spec: str
    name: str
    classes: tuple[str, ...]
    size: int
    digest: str
    images: np.ndarray | JoinedImages = field(repr=False, compare=False)
    labels: np.ndarray = field(repr=False, compare=False)
    splits: Mapping[str, np.ndarray] = field(repr=False, compare=False)
    files: tuple[str, ...] = field(repr=False, compare=False)
    broken: tuple[str, ...] = field(repr=False)
    flip: bool = True
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    base: ImageSet | None = field(default=None, repr=False, compare=False)
    held_out: ImageSet | None = field(default=None, repr=False, compare=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def labelled(self) -> ImageSet:
        """The same data without unlabelled images."""
        return self.base or self

    @property
    def unlabelled(self) -> np.ndarray:
        """Ascending (n,) int64 indices of the images without labels to learn from."""
        return self.splits.get("unlabelled", self.splits["train"][:0])

    @cached_property
    def learned(self) -> np.ndarray:
        """Ascending (n,) int64 indices of all images that a student learns from: train and unlabelled."""
        return np.concatenate([self.splits["train"], self.unlabelled])

    @property
    def test_digest(self) -> str:
        """Digest of the names of the test images, whatever the stored size and place of the images."""
        names = "\n".join(self.files[index] for index in self.splits["test"])
        return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def refitted(self) -> Refit | None:
        """Split that :meth:`refit` added to the training images; ``None``: none."""
        if self.held_out is None:
            return None
        return "all" if np.isin(self.splits["test"], self.splits["train"]).any() else "val"

    @property
    def refit_words(self) -> str:
        """Description of the training images after :meth:`refit`, for messages."""
        return "those of all splits" if self.refitted == "all" else "those to validate on included"

    def resplit(self, **changed: np.ndarray) -> ImageSet:
        """Return the same images with other splits, and a digest of its own.

        Args:
            changed: ascending (n,) int64 indices of "train", "val", "test", "unlabelled"; others stay.
        """
        splits = {**self.splits, **changed}
        labelled = {split: indices for split, indices in changed.items() if split != "unlabelled"}
        base = self.base and (self.base.resplit(**labelled) if labelled else self.base)
        digest = hashlib.sha256(self.digest.encode())
        for split, indices in splits.items():
            digest.update(f"\n{split} {len(indices)}\n".encode())
            digest.update(indices.tobytes())
        return replace(self, splits=splits, digest=digest.hexdigest()[:32], base=base)

    def in_memory(self) -> ImageSet:
        """Return the same images as plain arrays, which can be pickled without a copy."""
        images = self.images
        plain = images.in_memory() if isinstance(images, JoinedImages) else np.asarray(images)
        base, held_out = (other and other.in_memory() for other in (self.base, self.held_out))
        return replace(self, images=plain, base=base, held_out=held_out)

    def refit(self, which: Refit) -> ImageSet:
        """Return the same images, with more of them to train on; scores on those mean nothing.

        Args:
            which: ``val``: train and val; ``all``: train, val and test.
        """
        added = SPLITS if which == "all" else ("train", "val")
        train = np.sort(np.concatenate([self.splits[split] for split in added]))
        more = self.resplit(train=train)
        return replace(more, held_out=self, base=self.base and self.base.refit(which))


def open_images(
    spec: str,
    options: DataOptions = DEFAULT_OPTIONS,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> ImageSet:
    """Open a data set; decode it first where the cache does not have it.

    Args:
        spec: a directory of class folders, a directory with train/, (val/) and test/, a table,
            ``hf:NAME_OR_PATH``, ``digits`` or ``torchvision:NAME``.
        options: stored size, fit and split.
        cache: cache directory, ``cache_dir()`` by default.
        progress: called with (images decoded, images in all) while decoding.
        warn: called with one line for each broken file, and for all else that is left out.

    Raises:
        UserError: no such data set; no images; fewer than two classes; an empty class; splits
            with different classes; a class too small for every split, or in too few groups; more than
            5 % broken files;
            no room for the cache; no unlabelled images beside the labelled ones.
    """
    source, cache = find_source(spec, options.table), cache or cache_dir()
    pixels = load_pixels(spec, source, options.size, options.fit, cache, progress)
    try:
        groups, about_groups = find_groups(
            source, pixels.files, pixels.labels, pixels.image_splits, pixels.classes, options.group_by
        )
        splits = make_splits(
            pixels.labels,
            pixels.image_splits,
            pixels.classes,
            options.split_seed,
            options.val_share,
            options.labels_per_class,
            groups,
        )
    except UserError as error:
        raise UserError(f"data set {spec!r}: {error}") from error
    remarks = source.remarks + about_groups
    if warn is not None:
        _warn_of_files(remarks, pixels, warn)
    for indices in splits.values():
        indices.flags.writeable = False
    data = ImageSet(
        spec=spec,
        name=source.name,
        classes=pixels.classes,
        size=pixels.size,
        digest=_digest(pixels, options.fit, splits, groups),
        images=pixels.images,
        labels=pixels.labels,
        splits=splits,
        files=pixels.files,
        broken=tuple(name for name, _ in pixels.broken),
        flip=source.flip,
        notes=split_notes(remarks, pixels.image_splits, options),
    )
    if options.unlabelled is None:
        return data
    remarks, more = load_unlabelled(options.unlabelled, data.size, options.fit, cache, progress)
    if warn is not None:
        _warn_of_files(remarks, more, warn)
    return _joined(data, pixels, more, options.unlabelled)


def _joined(data: ImageSet, pixels: Pixels, more: Pixels, folder: str) -> ImageSet:
    """Return the data, of ``pixels``, with images of ``folder``; without those that it splits already.

    Raises:
        UserError: there are no others.
    """
    again = repeated(more.images, pixels.images, np.concatenate([*data.splits.values()]))
    unlabelled = len(data.files) + np.flatnonzero(~again).astype(np.int64)
    if not len(unlabelled):
        raise UserError(f"all images in {folder} are among the labelled ones: give a directory of others")
    unlabelled.flags.writeable = False
    words = f"left out of {folder}, since they train, validate or test with their label: {again.sum():,}"
    return replace(
        data,
        digest=hashlib.blake2b(f"{data.digest} {more.content}".encode(), digest_size=16).hexdigest(),
        images=JoinedImages(pixels.images, more.images),
        labels=np.concatenate([data.labels, np.full(len(more.files), -1)]),
        splits={**data.splits, "unlabelled": unlabelled},
        files=data.files + more.files,
        broken=data.broken + tuple(name for name, _ in more.broken),
        notes=data.notes + ((words,) if again.any() else ()),
        base=data,
    )


def _warn_of_files(remarks: Remarks, pixels: Pixels, warn: Callable[[str], None]) -> None:
    """Warn of what was left out, and of the first broken files."""
    for line in remarks.warnings:
        warn(line)
    for name, reason in pixels.broken[:_WARNED]:
        warn(f"skipped {name if name.isprintable() else ascii(name)}: {reason}")
    if len(pixels.broken) > _WARNED:
        warn(f"skipped {len(pixels.broken) - _WARNED} more broken files")


def split_notes(remarks: Remarks, image_splits: Sequence[str], options: DataOptions) -> tuple[str, ...]:
    """Return notes on the data: the source's own, and options without effect."""
    if "val" not in image_splits:
        return remarks.notes
    given = {"val_share": options.val_share is not None, "split_seed": options.split_seed != 0}
    reason = "changes nothing: the data set has images to validate of its own"
    return remarks.notes + tuple(f"{name} {reason}" for name, used in given.items() if used)


def _digest(pixels: Pixels, fit: str, splits: Mapping[str, np.ndarray], groups: np.ndarray | None) -> str:
    key = hashlib.blake2b(digest_size=16)
    key.update(json.dumps([pixels.content, pixels.classes, pixels.size, fit]).encode())
    for split in SPLITS:
        key.update(split.encode() + splits[split].astype("<i8").tobytes())
    if groups is not None:
        key.update(b"groups" + groups.astype("<i8").tobytes())
    return key.hexdigest()
