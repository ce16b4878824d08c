"""A trained student: its scores, its predictions, its exported file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from core.config import StudentConfig
from core.errors import UserError, short
from core.output_path import check_file, check_folder
from deploy.classifier import Classifier, ImageLike, Prediction
from deploy.device.link import ModelError
from deploy.latency_measurement import Latency, measure_module
from deploy.onnx_export import Exported, export_onnx
from deploy.shipping import COMMON_FILES, REPORT, Shipped, ship
from deploy.target_scores import logits_on
from deploy.targets import connect, profile_of, runnable, safe_name
from deploy.timm_export import NAME as TIMM
from deploy.timm_export import PROGRAM, TimmModel, write_timm_model
from deploy.web.page_files import MODEL, PAGE_FILES
from deploy.web.student_page import NAME as WEB
from deploy.web.student_page import StudentPage, write_student_page
from distill.student_metrics import read_student_metrics, read_whole_metrics
from minnow.data_file import images_of
from minnow.data_set import open_data
from minnow.exported_files import check_own, leave_card
from minnow.listener import Listener
from minnow.permission import check_target
from minnow.run_directory import student_config
from training.bundle import Bundle, load_bundle
from training.bundle_files import CONFIG_FILE, LABELS_FILE, ONNX_FILE, WEIGHTS_FILE
from training.data.images import ImageSet
from training.evaluate import logits_of, score_logits
from training.finite import check_logits
from training.metrics import Metrics

FORMATS = ("onnx",)
EXPORTS = "export"  # folder of a student with a folder for each target


@dataclass(frozen=True)
class Evaluation:
    """The scores of a student on one split of a data set.

    Attributes:
        data: name of the data set.
        split: ``train``, ``val``, ``test`` or ``all``.
        scores: metrics, each in 0..1, and the confusion matrix.
        classes: names in class order.
    """

    data: str
    split: str
    scores: Metrics
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "n": self.scores.images,
            **self.scores.to_dict(),
            "classes": list(self.classes),
        }


class Student:
    """A trained network on disk, loaded when it is first used.

    Args:
        path: run directory with a trained student, or the directory of the student itself.

    Raises:
        UserError: nothing trained is there, or its files are damaged; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.bundle: Bundle = load_bundle(path)
        self.path = self.bundle.path
        self._opened: dict[str, ImageSet] = {}

    def __repr__(self) -> str:
        return f"Student({str(self.path)!r})"

    def _repr_html_(self) -> str:
        from minnow.report.notebook import student_html

        return student_html(self.path, self.metrics)

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The content of ``metrics.json``: scores of student and teacher, latency, history.

        Raises:
            UserError: missing or damaged; names the file and the entry.
        """
        return read_whole_metrics(self.path)

    @cached_property
    def config(self) -> StudentConfig:
        """The settings of its training."""
        return student_config(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.bundle.classes

    @cached_property
    def classifier(self) -> Classifier:
        """The network with the preprocessing of its training."""
        return Classifier(self.bundle)

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> list[Prediction]:
        """Classify one image or several.

        Args:
            images: a file path, a Pillow image, a uint8 array ``(H, W, 3)``, a batch ``(N, H, W, 3)``,
                or an iterable of these.

        Returns:
            One prediction per image, in order; a list of one for a single image.

        Raises:
            UserError: a file is missing or no image; names it.
        """
        return self.classifier.predict(images)

    def evaluate(
        self,
        data: str | None = None,
        *,
        split: str = "test",
        target: str | None = None,
        listener: Listener | None = None,
    ) -> Evaluation:
        """Score the network on a split of a data set with the same classes.

        Args:
            data: a data set as for ``search``; ``None``: the one that the student was trained on.
            split: ``train``, ``val``, ``test`` or ``all``.
            target: computes the scores, as for :func:`deploy.targets.parse`, by its usual quantisation;
                ``None``: PyTorch.
            listener: receives progress.

        Raises:
            UserError: no such data set or split, other classes, or a network that returns no numbers.
        """
        listener = listener or Listener()
        images, spec = self._images(data, listener)
        if split != "all" and split not in images.splits:
            raise UserError(f"split {short(split)}: give train, val, test or all")
        indices = np.arange(len(images.images)) if split == "all" else images.splits[split]
        refit = self.metrics.get("refit")
        if spec == self.config.data.spec and (refit == "all" or (refit and split != "test")):
            listener.warn("the network was trained on images of this split: the score is too high")
        compute = logits_of if target is None else partial(logits_on, target)
        logits = compute(
            self.bundle.model,
            images,
            indices,
            resolution=self.bundle.architecture.resolution,
            normalization=self.bundle.normalization,
        )
        check_logits(logits, self.path)
        return Evaluation(images.name, split, score_logits(logits, images, indices), self.classes)

    def _images(self, data: str | None, listener: Listener) -> tuple[ImageSet, str]:
        """Return a data set with the network's classes, and its name in settings.

        Args:
            data: as for ``search``; ``None``: the one that the network was trained on.
            listener: receives progress.

        Raises:
            UserError: no such data set, or other classes.
        """
        spec = self.config.data.spec if data is None else images_of(str(data))
        settings = self.config.data.model_copy(update={"spec": spec, "unlabelled": None})
        if spec != self.config.data.spec:
            settings = settings.model_copy(update={"group_by": None})  # of other images
        if spec in self._opened:
            return self._opened[spec], spec
        images = open_data(settings, listener)
        if images.classes != self.classes:
            raise UserError(
                f"{self.path} has the classes {', '.join(self.classes)}, "
                f"the data set has {', '.join(images.classes)}"
            )
        self._opened[spec] = images
        return images, spec

    def export(
        self,
        format: str = "onnx",
        out: str | Path | None = None,
        *,
        opset: int | None = None,
        licence: str | None = None,
        listener: Listener | None = None,
    ) -> Exported:
        """Write the network, with its normalisation, as a file for another runtime.

        Args:
            format: ``onnx``.
            out: the file; ``None``: ``model.onnx`` beside the weights, with a model card ``README.md``.
            opset: version of ONNX's operators, 7 to 23; ``None``: 18.
            licence: of the weights, for the card; ``None``: unknown.
            listener: receives a warning where a card was edited and stays.

        Raises:
            UserError: unknown format; no such opset, or not for this network; ``out`` is no file; the
                disk is full or closed to this user.
            RuntimeError: ONNX Runtime and PyTorch give different logits.
        """
        if format not in FORMATS:
            raise UserError(f"format {short(format)}: give {', '.join(FORMATS)}")
        if out is not None:
            check_file(Path(out))
        architecture = self.bundle.architecture
        exported = export_onnx(
            self.bundle.model,
            Path(out) if out is not None else self.path / ONNX_FILE,
            resolution=architecture.resolution,
            normalization=self.bundle.normalization,
            classes=self.classes,
            input_channels=architecture.input_channels,
            opset=opset,
        )
        if out is None:
            files = {path.name: path.stat().st_size for path in (exported.path, self.path / LABELS_FILE)}
            self._leave_card(self.path, listener, target=format, files=files, licence=licence)
        return exported

    def _leave_card(self, folder: Path, listener: Listener | None, **subject: Any) -> None:
        """Write the model card of an export, which ``subject`` describes, beside its files."""
        from minnow.report.card_head import CardSubject
        from minnow.report.model_card import model_card

        card = CardSubject(**subject)
        warning = leave_card(folder, card.files, model_card(self, card))
        if warning is not None and listener is not None:
            listener.warn(warning)

    def export_folder(self, target: str) -> Path:
        """Return the usual folder of a target that runs networks, of timm or of the page."""
        return self.path / EXPORTS / safe_name(target)

    def shipped(self, target: str) -> bool:
        """Tell if :meth:`ship` has written the usual folder of a target."""
        return (self.export_folder(runnable(target)) / REPORT).exists()

    def _folder(self, target: str, out: str | Path | None, names: Iterable[str], marker: str) -> Path:
        """Return the checked folder of an export.

        Args:
            target: name of the export.
            out: the folder; ``None``: the usual one, which an interrupted export may have left in pieces.
            names: as of :func:`check_own`.
            marker: likewise.
        """
        folder = self.export_folder(target) if out is None else Path(out)
        check_folder(folder)
        if out is not None:
            check_own(folder, names, marker)
        return folder

    def ship(
        self,
        target: str,
        out: str | Path | None = None,
        *,
        data: str | None = None,
        licence: str | None = None,
        listener: Listener | None = None,
    ) -> Shipped:
        """Convert the network for a target, score it there, and write a folder that is ready to copy.

        Args:
            target: as for :func:`deploy.targets.parse`; see :meth:`write_page` for a page, and
                :meth:`write_timm` for timm.
            out: the folder; ``None``: ``export/TARGET`` beside the weights.
            data: images to calibrate and to test with; ``None``: those that it was trained on.
            licence: of the weights, for the model card; ``None``: unknown.
            listener: receives progress, and a warning where a card was edited and stays.

        Raises:
            UserError: no such target, something is missing for it, the images are not there, the model
                differs from PyTorch's, or ``out`` holds files of these names of another origin; then
                nothing is written.
        """
        target = runnable(target)
        folder = self._folder(target, out, COMMON_FILES, REPORT)
        listener = listener or Listener()
        images, spec = self._images(data, listener)
        if spec == self.config.data.spec and self.metrics.get("refit") == "all":
            listener.warn("the network was trained on the test images: scores of exports are too high")
        report = partial(listener.count, "quantisations")
        shipped = ship(self.bundle, images, self.classifier.fit, target, folder, report)
        files = {name: (folder / name).stat().st_size for name in (*shipped.files, *COMMON_FILES)}
        self._leave_card(
            folder,
            listener,
            target=target,
            files=files,
            shipped=shipped,
            machine=connect(target).machine,
            scored_on=None if spec == self.config.data.spec else images.name,
            licence=licence,
        )
        return shipped

    def write_timm(
        self,
        out: str | Path | None = None,
        *,
        licence: str | None = None,
        listener: Listener | None = None,
    ) -> TimmModel:
        """Write a folder with a file that registers the network with timm, and its weights.

        Args:
            out: the folder; ``None``: ``export/timm`` beside the weights.
            licence: of the weights, for the model card; ``None``: unknown.
            listener: receives a warning where a card was edited and stays.

        Raises:
            UserError: the network is not one of the space elastic, or timm builds another one; says where
                they differ. Or the folder cannot be written.
        """
        folder = self._folder(TIMM, out, (WEIGHTS_FILE, LABELS_FILE), PROGRAM)
        images = read_student_metrics(self.path).images
        name = "" if images is None else images.name
        written = write_timm_model(self.bundle, name, self.classifier.fit, folder)
        self._leave_card(
            folder, listener, target=TIMM, files=written.files, timm_name=written.name, licence=licence
        )
        return written

    def write_page(
        self,
        out: str | Path | None = None,
        *,
        data: str | None = None,
        listener: Listener | None = None,
    ) -> StudentPage:
        """Write a folder with a page that runs the network in a browser, without an internet connection.

        Args:
            out: the folder; ``None``: ``export/web`` beside the weights.
            data: images to test with; ``None``: those that it was trained on.
            listener: receives progress.

        Raises:
            UserError: ONNX Runtime Web is not in the cache and cannot be downloaded, the images are not
                there, or the model differs from PyTorch's; then nothing is written.
        """
        folder = self._folder(WEB, out, PAGE_FILES, MODEL)
        images, _ = self._images(data, listener or Listener())
        return write_student_page(self.bundle, images, self.classifier.fit, folder)

    def latency(self, target: str | None = None) -> Latency:
        """Measure milliseconds per image, batch 1, one thread; a profile predicts them.

        Args:
            target: as for :func:`deploy.targets.parse`, or a profile; ``None``: that of its training.

        Raises:
            UserError: no such target, something is missing for it, or it cannot run the network.
        """
        if target is None:
            check_target(self.config, self.path / CONFIG_FILE)
            target = self.config.target
        if (profile := profile_of(target)) is not None:
            return profile.latency(self.bundle.architecture, len(self.classes))
        try:
            return measure_module(self.bundle.model, self.bundle.architecture.resolution, target=target)
        except ModelError as error:
            raise UserError(f"{target}: {error}") from None
