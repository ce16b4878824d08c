"""Numbers and metrics as text."""

from __future__ import annotations

from nas.architecture import Architecture
from nas.cost import cost
from nas.objectives import SCORES


def metric_text(name: str, value: float) -> str:
    """Return a metric with its unit and its significant digits."""
    if name == "params":
        return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.1f} k"
    if name == "macs":
        if value < 1e5:
            return f"{value / 1e3:.1f} k"
        return f"{value / 1e9:.2f} G" if value >= 1e9 else f"{value / 1e6:.1f} M"
    if name in ("flash_kb", "ram_kb"):
        return f"{value:,.0f} kB"
    if name == "latency_ms":
        return f"{value:.2f} ms"
    if name == "total_seconds":
        return f"{value:.3g} s"
    if name == "score":
        return f"{value:.4f}"
    if name == "train_seconds":
        return f"{value:.0f} s"
    return f"{value:.3f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in ``1 trial`` or ``1,259 images``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration_text(seconds: float) -> str:
    """Return a time as in ``1m 05s``."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def costs_text(architecture: Architecture, num_classes: int) -> str:
    """Return the costs of a network, as in ``49.8 k params, 1.8 M MACs``."""
    total = cost(architecture, num_classes)
    return f"{metric_text('params', total.params)} params, {metric_text('macs', total.macs)} MACs"


def latency_text(median: float | None, iqr: float | None, runs: int | None) -> str:
    """Return a latency in ms with the IQR of its runs; one without runs is predicted.

    Args:
        median: of the runs, ms; ``None``: there is no latency.
        iqr: ms.
        runs: number of them; ``None``: not known.
    """
    if median is None or iqr is None:
        return "-"
    return f"{median:.2f} ms, predicted" if runs == 0 else f"{median:.2f} ({iqr:.2f}) ms"


def interval_text(low: float, high: float) -> str:
    """Return both ends of an interval of scores in 0..1."""
    return f"{low:.3f}-{high:.3f}"


#: Column titles of metrics.
TITLES = {
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "params": "params",
    "macs": "MACs",
    "flash_kb": "flash",
    "ram_kb": "RAM",
    "latency_ms": "latency",
    "train_seconds": "training",
    "total_seconds": "all images",
    "score": "score",
}


def title_of(metric: str, *, predicted: bool = False) -> str:
    """Return the title of a column of trials, whose scores are on the validation images.

    Args:
        metric: of the column.
        predicted: whether latencies are predicted.
    """
    title = TITLES.get(metric, metric)
    if predicted and metric == "latency_ms":
        return f"predicted {title}"
    return f"val {title}" if metric in SCORES else title
