"""Profiles of devices: networks of a search space, measured one by one into a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import deploy.targets
import nas.spaces
from core.errors import UserError, disk_errors, short
from core.locks import locked_file
from core.output_path import check_file
from deploy.architecture_latency import measure_architecture
from deploy.device.link import ModelError
from deploy.network_choice import spread_networks
from deploy.profile_file import (
    FEWEST,
    MOST,
    MeasuredNetwork,
    Profile,
    ProfileRecord,
    left_out,
    networks_of,
    read_profile_record,
    write_profile,
)
from minnow.base_network import architecture_of
from minnow.listener import Listener
from nas.architecture import Architecture
from nas.identity import first_difference
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic

SIDES = (32, 64, 96, 128, 160, 224)  # pixels; predictions are worse outside of those measured
_WORK = "measuring networks"
_FAILURES = 5  # networks that the target may fail to run, before one is measured or in a row


@dataclass(frozen=True)
class ProfileJob:
    """The measurements of a profile.

    Attributes:
        target: name of a runtime and precision, with its device.
        out: the file.
        space: name of the search space.
        teacher: network that those of the space elastic are cut out of; ``None``: the space's own.
        networks: number of networks.
        num_classes: width of their classifiers.
        resolutions: input sides of the space, pixels; ``None``: :data:`SIDES`.
        seed: of the choice of networks.
    """

    target: str
    out: Path
    space: str = "elastic"
    teacher: str | None = None
    networks: int = 40
    num_classes: int = 10
    resolutions: tuple[int, ...] | None = None
    seed: int = 0


def run_profile(job: ProfileJob, listener: Listener) -> Profile:
    """Measure the networks of a profile that its file lacks, and return the profile.

    Every measurement is written at once.

    Args:
        job: what to measure.
        listener: receives progress, and a warning for every network that the target cannot run.

    Raises:
        UserError: a setting is wrong, the file holds another profile, or the device cannot be used.
    """
    space = _checked(job)
    record = _new_record(job, space)
    busy = f"{job.out} is being written by another process; wait for it or choose another file"
    with disk_errors(job.out):
        job.out.parent.mkdir(parents=True, exist_ok=True)
        lock = locked_file(job.out.with_name(f".{job.out.name}.lock"), busy)
        with lock:
            if job.out.exists():
                stored = read_profile_record(job.out)
                _check_same(stored, record, job.out)
                record = stored
            record = _with_measurements(record, job, space, listener)
            if record.leave_one_out is None:
                record = _with_errors(record, job.out)
                write_profile(job.out, record)
    return Profile(record, job.out)


def _checked(job: ProfileJob) -> SearchSpace:
    """Return the space of a job.

    Raises:
        UserError: a setting is wrong.
    """
    if not deploy.targets.is_profile(str(job.out)):
        raise UserError(f"profile {job.out}: give a file whose name ends with .json, which targets go by")
    if not FEWEST <= job.networks <= MOST:
        raise UserError(f"a profile has {FEWEST} to {MOST} networks, got {short(job.networks)}")
    name = deploy.targets.plugin_name(job.target)
    if deploy.targets.REGISTRY.names_code(name):
        raise UserError(
            f"target {short(name)}: a profile is data, and cannot name code of a file or module; give "
            f"the class a name, by an entry point in {deploy.targets.REGISTRY.group}"
        )
    check_file(job.out)
    kind = nas.spaces.load(job.space)
    if issubclass(kind, Elastic):
        base = None if job.teacher is None else architecture_of(job.teacher)
        return kind(job.resolutions or SIDES, base=base)
    if job.teacher is not None:
        raise UserError(
            f"teacher {job.teacher}: networks of {job.space} are cut out of no other; leave it out"
        )
    return kind(job.resolutions or SIDES)


def _new_record(job: ProfileJob, space: SearchSpace) -> ProfileRecord:
    """Return the profile without networks.

    Raises:
        UserError: the device cannot be used.
    """
    session = deploy.targets.connect(job.target)
    return ProfileRecord(
        target=deploy.targets.plugin_name(job.target),
        runtime=session.runtime().removesuffix(f" on {session.machine}"),
        machine=session.machine,
        num_classes=job.num_classes,
        space=job.space,
        base=_base_of(space),
        resolutions=space.resolutions,
        seed=job.seed,
    )


def _check_same(stored: ProfileRecord, wanted: ProfileRecord, path: Path) -> None:
    """Refuse to add measurements to those of something else.

    Raises:
        UserError: names the first difference.
    """
    has, asked = (
        record.model_dump(mode="json", exclude={"measured", "leave_one_out"})
        for record in (stored, wanted)
    )
    if (difference := first_difference(has, asked)) is not None:
        raise UserError(
            f"{path} is another profile: its {difference.setting} is {difference.has}, and "
            f"{difference.asked} was asked for; give the same settings, or choose another file"
        )


def _with_measurements(
    record: ProfileRecord, job: ProfileJob, space: SearchSpace, listener: Listener
) -> ProfileRecord:
    """Return the record with as many networks as the job has, or more."""
    measured = list(record.measured)
    keys = {network.key for network in networks_of(record, job.out)}
    failures = 0
    listener.count(_WORK, min(len(measured), job.networks), job.networks)
    for network in _missing(space, job, keys):
        if len(measured) >= job.networks:
            return record
        try:
            latency = measure_architecture(network, job.num_classes, target=job.target)
        except ModelError as error:
            failures += 1
            listener.warn(f"a network is left out, which {job.target} cannot run: {error}")
            if failures == _FAILURES:
                raise UserError(
                    f"{job.target} ran none of the last {failures} networks: {error}"
                ) from None
            continue
        failures = 0
        measured.append(
            MeasuredNetwork(
                milliseconds=latency.median_ms,
                iqr=latency.iqr_ms,
                n=latency.n,
                network=network.to_content(num_classes=job.num_classes),
            )
        )
        record = record.model_copy(update={"measured": tuple(measured)})
        write_profile(job.out, record)
        listener.count(_WORK, len(measured), job.networks)
    if len(measured) < job.networks:
        raise UserError(
            f"the space has only {len(measured)} networks for a profile; ask for as many, or for more "
            "resolutions"
        )
    return record


def _missing(space: SearchSpace, job: ProfileJob, keys: set[str]) -> Iterator[Architecture]:
    """Yield the networks of a job that were not measured yet, in order."""
    for network in spread_networks(space, job.num_classes, job.seed):
        if network.key not in keys:
            yield network


def _with_errors(record: ProfileRecord, path: Path) -> ProfileRecord:
    """Return the record with the prediction of each network from all others."""
    times = np.array([one.milliseconds for one in record.measured])
    predicted = left_out(networks_of(record, path), times, record.num_classes)
    measured = tuple(
        one.model_copy(update={"left_out_ms": float(value)})
        for one, value in zip(record.measured, predicted, strict=True)
    )
    return record.model_copy(update={"measured": measured})


def _base_of(space: SearchSpace) -> str | None:
    return space.base.base if isinstance(space, Elastic) else None
