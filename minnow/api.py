"""The Python API: one function per job, silent, with results to look at.

Every setting of ``core.config`` is a keyword, by its option name (``trials=60``) or nested as in
``config.yaml`` (``train={"batch_size": 128}``). ``python cli.py settings`` lists them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Refit
from core.runtime import share_cores
from deploy.targets import DEFAULT
from minnow.listener import Listener
from minnow.run_directory import Run
from minnow.settings import search_settings, student_settings

if TYPE_CHECKING:
    from deploy.profile_file import Profile
    from minnow.student import Evaluation, Student

PathLike = str | Path


def search(
    data: PathLike | Mapping[str, Any] | None = None,
    *,
    out: PathLike | None = None,
    resume: bool = False,
    config: PathLike | None = None,
    progress: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Run:
    """Search for networks within your limits.

    Args:
        data: a directory of class folders, one with train/ val/ test/, ``digits``, ``torchvision:NAME``,
            or a data YAML; or its settings, as in ``{"spec": "photos", "fit": "crop"}``; ``None``: the
            embedded digits.
        out: run directory; ``None``: a new one in ``runs/``.
        resume: continue the search in ``out``, or the last one.
        config: YAML file of settings; those given here override it.
        progress: print what the command line prints.
        listener: receives progress events instead.
        **settings: settings of a search, such as ``space="elastic"`` or ``limits=["params<=300k"]``.

    Returns:
        The run, with ``best``, ``front``, ``trials`` and ``plot_front()``.

    Raises:
        UserError: a setting is wrong; says what is wrong, where, and what to do.
    """
    with _listening(progress, listener) as receiver:
        keywords = settings if data is None else {"data": _data(data), **settings}
        resolved, run = search_settings(
            keywords, file=_path(config), out=_path(out), resume=resume, listener=receiver
        )
        from minnow.search_run import run_search

        return run_search(resolved, run, resume=resume, listener=receiver)


def distill(
    student: Run | PathLike | None = None,
    *,
    teacher: str | Mapping[str, Any] | None = None,
    pick: str = "best",
    out: PathLike | None = None,
    resume: bool = False,
    seeds: int = 1,
    executor: str = "local",
    workers: int | None = None,
    refit: Refit | None = None,
    qat: bool = False,
    config: PathLike | None = None,
    progress: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Student:
    """Train a network with a teacher, and read the test split once.

    Args:
        student: a run, a run directory or a model YAML; ``None``: the last search.
        teacher: a timm name, a run directory, ``TIMM_NAME:WEIGHTS_FILE``, several (``a,b``), or settings;
            ``None``: that of the search. In the space elastic, the setting ``base`` names the network
            that the student is cut out of, where it is not the teacher.
        pick: trial of the search: ``best``, ``knee``, ``smallest:f1>=0.6``, or a number.
        out: run directory; ``None``: that of the search.
        resume: continue an interrupted training.
        seeds: number of students to train; the best on validation is returned.
        executor: where several are trained: ``local``, ``ray`` or ``ray:ADDRESS``.
        workers: how many at a time; ``None``: 1, or what a cluster has room for.
        refit: train once more, and return that student: ``val``: on the validation images, too; ``all``:
            on all images, to ship; its scores are those of the student that had not seen them.
        qat: train on with fake quantisation, and return that student, which loses less in int8.
        config: YAML file of settings; those given here override it.
        progress: print what the command line prints.
        listener: receives progress events instead.
        **settings: settings of a student, such as ``epochs=40`` or ``loss="dkd"``.

    Raises:
        UserError: a setting is wrong, or there is a student already.
    """
    if teacher is not None:
        settings["teacher"] = teacher
    placement = {"executor": executor, "workers": workers}
    where = {**_source(student), "pick": pick, "out": _path(out), "file": _path(config)}
    with _listening(progress, listener) as receiver:
        return _train("distill", settings, where, resume, seeds, placement, refit, qat, receiver)


def train(
    model: Run | PathLike,
    *,
    pick: str = "best",
    out: PathLike | None = None,
    resume: bool = False,
    seeds: int = 1,
    executor: str = "local",
    workers: int | None = None,
    refit: Refit | None = None,
    qat: bool = False,
    config: PathLike | None = None,
    progress: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Student:
    """Train a network without a teacher.

    The arguments are those of :func:`distill`. Without ``out`` it makes a new ``runs/train-MODEL``.
    """
    placement = {"executor": executor, "workers": workers}
    where = {**_source(model), "pick": pick, "out": _path(out), "file": _path(config)}
    with _listening(progress, listener) as receiver:
        return _train("train", settings, where, resume, seeds, placement, refit, qat, receiver)


def fit(
    data: PathLike | Mapping[str, Any] | None = None,
    *,
    teacher: str | Mapping[str, Any] | None = None,
    out: PathLike | None = None,
    resume: bool = False,
    refit: Refit | None = None,
    qat: bool = False,
    config: PathLike | None = None,
    progress: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Student:
    """Search inside a teacher, distil the best network, export it, and write the report.

    A finished step is not repeated, so an interrupted call is resumed by ``resume=True``.

    Args:
        data: as in :func:`search`.
        teacher: as in :func:`distill`, ``None``: ``tf_efficientnet_lite0``; networks are cut out of it,
            or out of the setting ``base``.
        out: run directory; ``None``: a new one in ``runs/``, or with ``resume`` the last one.
        resume: continue an interrupted call.
        refit: as in :func:`distill`.
        qat: as in :func:`distill`.
        config: YAML file of settings of the search; those given here override it.
        progress: print what the command line prints.
        listener: receives progress events instead.
        **settings: settings of the search, such as ``limits=["latency_ms<=1"]``.

    Raises:
        UserError: a setting is wrong; says what is wrong, where, and what to do.
    """
    with _listening(progress, listener) as receiver:
        from minnow.fit_run import fit_settings, run_fit
        from minnow.student_stages import Further

        keywords = settings if data is None else {"data": _data(data), **settings}
        if teacher is not None:
            keywords["teacher"] = teacher
        resolved, run = fit_settings(
            keywords, file=_path(config), out=_path(out), resume=resume, listener=receiver
        )
        further = Further(refit, qat)
        return run_fit(resolved, run, resume=resume, further=further, listener=receiver)


def evaluate(run: PathLike, data: str | None = None, *, split: str = "test") -> Evaluation:
    """Score a trained network, see :meth:`minnow.student.Student.evaluate`."""
    return load(run).evaluate(data, split=split)


def profile_target(
    target: str = DEFAULT,
    *,
    out: PathLike,
    space: str = "elastic",
    teacher: str | None = None,
    networks: int = 40,
    num_classes: int = 10,
    resolutions: Sequence[int] | None = None,
    seed: int = 0,
    progress: bool = False,
    listener: Listener | None = None,
) -> Profile:
    """Measure networks on a target, and write the profile that predicts the latencies of others.

    What a file holds already is not measured again, so an interrupted call is resumed by the same one.

    Args:
        target: name of a runtime and precision, with its device, as in ``onnxruntime@ssh:pi@host``.
        out: the JSON file; ``target="FILE.json"`` then stands for the device.
        space: search space of the networks.
        teacher: network that those of the space elastic are cut out of; ``None``:
            ``tf_efficientnet_lite0``.
        networks: number of networks, spread over the sizes of the space.
        num_classes: width of their classifiers; searches may have others.
        resolutions: input sides of the space, pixels; ``None``: from 32 to 224.
        seed: of the choice of networks.
        progress: print what the command line prints.
        listener: receives progress events instead.

    Raises:
        UserError: a setting is wrong, ``out`` holds another profile, or the device cannot be used.
    """
    with _listening(progress, listener) as receiver:
        from minnow.target_profile import ProfileJob, run_profile

        sides = None if resolutions is None else tuple(resolutions)
        job = ProfileJob(target, Path(out), space, teacher, networks, num_classes, sides, seed)
        return run_profile(job, receiver)


def load(path: PathLike) -> Student:
    """Return the trained student in a run directory, or in a student's own directory.

    Raises:
        UserError: nothing trained is there, or its files are damaged; names the file.
    """
    from minnow.student import Student

    return Student(path)


def _train(
    prefix: str,
    settings: dict[str, Any],
    where: dict[str, Any],
    resume: bool,
    seeds: int,
    placement: Mapping[str, Any],
    refit: Refit | None,
    qat: bool,
    listener: Listener,
) -> Student:
    chosen, resolved, run = student_settings(settings, prefix=prefix, listener=listener, **where)
    from minnow.student import Student
    from minnow.student_stages import Further, run_student_and_further
    from nas.executors import Placement

    last = run_student_and_further(
        chosen,
        resolved,
        run,
        Further(refit, qat),
        given=settings,
        file=where["file"],
        resume=resume,
        seeds=seeds,
        placement=Placement(**placement),
        listener=listener,
    )
    return Student(last)


def _data(given: PathLike | Mapping[str, Any]) -> str | Mapping[str, Any]:
    return given if isinstance(given, Mapping) else str(given)


def _source(given: Run | PathLike | None) -> dict[str, Any]:
    """Return the arguments that say where the network comes from."""
    if isinstance(given, Run):
        return {"student": str(given.path), "storage": given.storage}
    return {"student": None if given is None else str(given)}


def _path(given: PathLike | None) -> Path | None:
    return None if given is None else Path(given)


@contextlib.contextmanager
def _listening(progress: bool, listener: Listener | None) -> Iterator[Listener]:
    """Give the listener that the arguments ask for; a console is cleared at the end."""
    if listener is None and progress:
        from minnow.progress import ConsoleListener

        with ConsoleListener() as console:
            share_cores(console.note)
            yield console
        return
    listener = listener or Listener()
    share_cores(listener.note)
    yield listener
