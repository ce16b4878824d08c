"""Profile of a device: a file of measured networks, from which the latencies of others are predicted.

The file is plain data, JSON that other tools open: what was measured on what, and each network with its
latency and the one that all others predict for it. The predictor is fitted again when a file is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, computed_field
from scipy.stats import spearmanr

from core.cached_records import record_digest
from core.config import MAX_SIDE
from core.errors import UserError
from core.files import write_text
from core.reading import HAND_WRITTEN, read_record
from deploy.profile import LEAST, Array, Predictor, fit
from deploy.targets.session import Latency
from nas.architecture import Architecture

SUFFIX = ".json"
FEWEST = LEAST + 1  # networks of a profile: each is predicted from all others
MOST = 1000
_LARGEST = 32 * HAND_WRITTEN  # bytes of a file
_MARGIN = 0.9  # share of networks whose latency the margin covers
_NEAR = 0.1  # relative error of a good prediction
_REMEDY = "restore it from a copy or measure again with: target profile"

_Milliseconds = Annotated[float, Field(gt=1e-6, lt=1e6)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]  # never that of a file


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class MeasuredNetwork(_Record):
    """A network and its latency on the device.

    Attributes:
        milliseconds: median of the runs.
        iqr: interquartile range of the runs, milliseconds.
        n: number of runs.
        left_out_ms: latency that all other networks predict; ``None`` while networks are being measured.
        network: content of its model file.
    """

    milliseconds: _Milliseconds
    iqr: Annotated[float, Field(ge=0, lt=1e6)]
    n: Annotated[int, Field(ge=1)]
    left_out_ms: _Milliseconds | None = None
    network: dict[str, Any]


class LeaveOneOut(_Record):
    """Errors of predictions for networks that were left out of the fit.

    Attributes:
        rank_correlation: Spearman's, of predictions and measurements.
        within_10_percent: share of networks.
        median_error: of the relative errors.
        quantile_95: of the relative errors.
        margin: share that a prediction is increased by so that 90 % of networks are no slower.
    """

    rank_correlation: float
    within_10_percent: float
    median_error: float
    quantile_95: float
    margin: float


class ProfileRecord(_Record):
    """The content of a profile.

    Attributes:
        version: of the format.
        target: name of the runtime and precision, without the device.
        runtime: library, version, precision and threads.
        machine: name of the device.
        num_classes: width of the classifiers.
        space: search space that the networks are of.
        base: pretrained network that the space is cut out of, if any.
        resolutions: input sides of the space, pixels.
        seed: of the choice of networks.
        measured: networks with their latencies.
    """

    version: Literal[1] = 1
    target: _Name
    runtime: _Text
    machine: _Text
    num_classes: Annotated[int, Field(ge=1, le=100_000)]
    space: _Text
    base: _Text | None
    resolutions: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SIDE)], ...], Field(min_length=1, max_length=100)
    ]
    seed: Annotated[int, Field(ge=0)]
    measured: Annotated[tuple[MeasuredNetwork, ...], Field(max_length=MOST)] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def leave_one_out(self) -> LeaveOneOut | None:
        """Errors of the predictions; ``None`` while networks are being measured."""
        times = np.array([one.milliseconds for one in self.measured])
        left_out = [one.left_out_ms for one in self.measured if one.left_out_ms is not None]
        if len(left_out) < len(times) or len(times) < FEWEST:
            return None
        predicted = np.array(left_out)
        errors = np.abs(predicted / times - 1)
        correlation = float(spearmanr(predicted, times).statistic)
        return LeaveOneOut(
            rank_correlation=correlation if math.isfinite(correlation) else 0.0,
            within_10_percent=float((errors <= _NEAR).mean()),
            median_error=float(np.median(errors)),
            quantile_95=float(np.quantile(errors, 0.95)),
            margin=margin_of(times, predicted),
        )


class Profile:
    """Latencies of networks on a device that need not be there.

    Args:
        record: content of the file, complete.
        path: of the file.

    Raises:
        UserError: a network is malformed, or some are still to be measured.
    """

    def __init__(self, record: ProfileRecord, path: Path) -> None:
        if record.leave_one_out is None:
            raise UserError(
                f"profile {path} is not finished: {len(record.measured)} networks are measured; "
                "go on with the same command: target profile"
            )
        self.record, self.path, self.errors = record, path, record.leave_one_out
        networks = networks_of(record, path)
        times = [one.milliseconds for one in record.measured]
        self._predictor: Predictor = fit(networks, times, record.num_classes)
        ratios = [one.milliseconds / (one.left_out_ms or math.inf) for one in record.measured]
        self._spread = float(np.subtract(*np.quantile(ratios, [0.75, 0.25])))

    @property
    def digest(self) -> str:
        """Digest of the content."""
        return record_digest(self.record.model_dump(mode="json"))

    @property
    def margin(self) -> float:
        """Share that predictions are increased by where limits apply to them."""
        return self.errors.margin

    @property
    def source(self) -> str:
        """The origin of the predictions: file, number of networks, runtime and machine."""
        record = self.record
        return f"{self.path} ({len(record.measured)} networks): {record.runtime} on {record.machine}"

    def latency(self, architecture: Architecture, num_classes: int) -> Latency:
        """Predict a latency; its IQR is that of the predictions' errors.

        Args:
            architecture: the network.
            num_classes: width of its classifier.
        """
        predicted = float(self._predictor.predict([architecture], num_classes)[0])
        iqr = self._spread * predicted
        return Latency(predicted, iqr, 0, f"predicted from {self.source}", margin=self.margin)

    def note(self) -> str:
        """Return the line that a run says once about its latencies."""
        errors = self.errors
        return (
            f"latencies are predicted from {self.source}; left out, {errors.within_10_percent:.0%} of "
            f"them are predicted within 10 %; limits keep a margin of {self.margin:.1%}"
        )


def read_profile(path: Path) -> Profile:
    """Return the profile in a file; a file that did not change is read once by each process.

    Raises:
        UserError: missing, damaged or not finished; names the file and the entry.
    """
    try:
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
    except (OSError, ValueError):
        version = (0, 0, 0)  # reading says what is wrong
    return _read(path, version)


def read_profile_record(path: Path) -> ProfileRecord:
    """Return the content of a profile, finished or not.

    Raises:
        UserError: missing or damaged; names the file and the entry.
    """
    return read_record(ProfileRecord, path, "profile", limit=_LARGEST, remedy=_REMEDY)


def write_profile(path: Path, record: ProfileRecord) -> None:
    """Write the content of a profile.

    Raises:
        UserError: the disk is full or read-only.
    """
    content = record.model_dump(mode="json")
    networks = ",\n".join(f"  {json.dumps(one)}" for one in content.pop("measured"))  # one a line
    head = json.dumps(content, indent=1).removesuffix("\n}")
    write_text(path, f'{head},\n "measured": [\n{networks}\n ]\n}}\n')


def networks_of(record: ProfileRecord, path: Path) -> list[Architecture]:
    """Return the measured networks.

    Raises:
        UserError: one is malformed; names the file and the network.
    """
    networks = []
    for number, one in enumerate(record.measured, start=1):
        try:
            networks.append(Architecture.from_content(one.network, path))
        except UserError as error:
            raise UserError(f"profile {error}, in network {number} of 'measured'; {_REMEDY}") from None
    return networks


def left_out(networks: Sequence[Architecture], milliseconds: Array, num_classes: int) -> Array:
    """Return the latency of each network that a fit to all others predicts, ``(n,)`` milliseconds.

    Args:
        networks: measured ones, :data:`FEWEST` or more.
        milliseconds: ``(n,)`` of each.
        num_classes: width of their classifiers.
    """
    predicted = np.empty(len(networks))
    for index, network in enumerate(networks):
        others = [*networks[:index], *networks[index + 1 :]]
        predictor = fit(others, np.delete(milliseconds, index), num_classes)
        predicted[index] = predictor.predict([network])[0]
    return predicted


def margin_of(milliseconds: Array, predicted: Array) -> float:
    """Return the relative excess over predictions that 90 % of networks stay below, at least 0.

    It is the bound of split conformal prediction (Vovk et al. 2005) on the errors of the networks left
    out; of fewer than nine networks, the largest excess.

    Args:
        milliseconds: ``(n,)`` latencies.
        predicted: ``(n,)``, each from all other networks.
    """
    excesses, count = milliseconds / predicted - 1, len(predicted)
    rank = min(count, math.ceil(_MARGIN * (count + 1)))
    return max(0.0, float(np.sort(excesses)[rank - 1]))


@lru_cache(8)
def _read(path: Path, version: tuple[int, ...]) -> Profile:
    return Profile(read_profile_record(path), path)
