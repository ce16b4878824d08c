"""The head of a model card, which the Hugging Face hub reads: licence, library, task and scores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import UserError, one_line
from deploy.targets import plugin_name
from deploy.timm_export import NAME as TIMM
from distill.student_metrics import StudentMetrics
from minnow.report.card_sections import UNKNOWN

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

    from deploy.shipping import Shipped

_TASK = "image-classification"
_LIBRARIES = {
    TIMM: "timm",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "litert": "tflite",
}
#: Licences that the hub knows by name; another one is "other" there, with its name beside it.
_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-2.0",
    "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail", "odbl", "pddl", "other", "unknown",
)  # fmt: skip


@dataclass(frozen=True)
class CardSubject:
    """Facts for a model card that are not in the student's record.

    Attributes:
        target: text of the target; ``onnx`` or ``timm``.
        files: sizes in bytes, by name.
        shipped: scores and latency on the runtime, where they were measured.
        machine: that they were measured on.
        scored_on: data set of these scores, if it is not that of the training.
        timm_name: name for timm.
        licence: of the weights; ``None``: unknown.
    """

    target: str
    files: Mapping[str, int]
    shipped: Shipped | None = None
    machine: str | None = None
    scored_on: str | None = None
    timm_name: str | None = None
    licence: str | None = None

    @property
    def name(self) -> str:
        """The target without its device."""
        return plugin_name(self.target)


def card_data(name: str, metrics: StudentMetrics, subject: CardSubject) -> ModelCardData:
    """Return what the head says."""
    from huggingface_hub import ModelCardData

    licence = (subject.licence or UNKNOWN).strip().lower()
    known = licence in _LICENCES
    return ModelCardData(
        license=licence if known else "other",
        license_name=None if known else re.sub(r"[^a-z0-9.-]+", "-", licence).strip("-.") or "other",
        library_name=_LIBRARIES.get(subject.name.removesuffix("-int8")),
        pipeline_tag=_TASK,
        tags=[_TASK, "minnow", *(["knowledge-distillation"] if metrics.teacher else [])],
        metrics=["f1", "accuracy"],
        model_name=f"{name} {subject.name}",
        eval_results=_results(name, metrics, subject),
    )


def _results(name: str, metrics: StudentMetrics, subject: CardSubject) -> list[EvalResult]:
    """Return the scores on held-out images for the index of the hub."""
    from huggingface_hub import EvalResult

    def result(
        metric: str, title: str, value: float, interval: Sequence[float] | None = None
    ) -> EvalResult:
        return EvalResult(
            task_type=_TASK,
            dataset_type=re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or UNKNOWN,
            dataset_name=name,
            dataset_split="test",
            metric_type=metric,
            metric_name=title,
            metric_value=round(value, 6),
            metric_args=None
            if interval is None
            else {"interval_95": [round(end, 6) for end in interval]},
        )

    results = []
    if subject.shipped is not None and metrics.refit != "all" and subject.scored_on is None:
        own = subject.shipped.scores.b
        results.append(result("f1", f"macro-F1, {subject.name}", own.value, (own.low, own.high)))
    test = metrics.test
    return [
        *results,
        result("f1", "macro-F1, PyTorch float32", test.f1, test.f1_interval),
        result("accuracy", "accuracy, PyTorch float32", test.accuracy),
    ]


def check_card(text: str, where: str) -> None:
    """Check that a card, which people may have edited, has the head that the hub needs.

    Raises:
        UserError: it has none, or the hub would refuse it.
    """
    import yaml
    from huggingface_hub import ModelCard

    if not text.startswith("---\n"):
        raise UserError(f"{where} does not begin with a head of YAML between two lines '---'; restore it")
    try:
        ModelCard(text)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{where}: the YAML between the lines '---' is wrong: {one_line(error)}"
        ) from None
