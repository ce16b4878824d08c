"""Whole networks that students are cut out of: teachers as bases, and their supernets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import SearchConfig, SpaceConfig, StudentConfig, TrainConfig
from core.errors import UserError
from distill.inherited_weights import ORDERS, Inheritance, base_of, from_teacher, kept_orders, only
from distill.prepared_teacher import Taught
from distill.supernet import FOLDER, adapt, find_supernet, has_supernet
from minnow.console import say, warn
from minnow.picking import Student
from minnow.progress import TrainingDisplay
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from training.budget import SUPERNET, decided
from training.data.images import ImageSet


def with_evaluator(config: SearchConfig, kind: type[SearchSpace]) -> SearchConfig:
    """The settings with their evaluator decided.

    Raises:
        UserError: the evaluator does not go with the space, the fidelity or the missing teacher.
    """
    elastic = issubclass(kind, Elastic)
    if not elastic and config.space.importance != SpaceConfig().importance:
        raise UserError(f"--importance orders channels to inherit, which {config.space.name} has not")
    evaluator = config.evaluator or ("supernet" if elastic else "train")
    if evaluator != "train":
        if not elastic:
            raise UserError(
                f"evaluator {evaluator} needs weights to inherit, which {config.space.name} has not; "
                "choose --space elastic, or --evaluator train"
            )
        if config.teacher is None:
            raise UserError(
                "space elastic cuts its networks out of a teacher: give --teacher, "
                "for instance tf_efficientnet_lite0"
            )
        if config.fidelity != "full":
            raise UserError(f"--fidelity {config.fidelity} needs --evaluator train: {evaluator} is short")
        if config.confirm and not config.train.epochs:
            raise UserError(
                f"--confirm {config.confirm} would learn nothing: without training a network gets the "
                "same F1 every time; leave it out"
            )
        if config.balance.mode != "none" and not config.train.epochs:
            raise UserError(
                f"--balance {config.balance.mode} is for training, and {evaluator} judges networks "
                "without; leave it out here, and give it to distill"
            )
    return config.model_copy(update={"evaluator": evaluator})


def supernet_recipe(config: SearchConfig, images: int) -> TrainConfig:
    """How the supernet is trained on so many images."""
    given = config.supernet.model_dump()
    return decided(config.train.model_copy(update=given), images, SUPERNET)


def whole_network(
    config: SearchConfig, space: SearchSpace, data: ImageSet, taught: Taught | None, out: Path
) -> Inheritance | None:
    """What the proposals of a search are cut out of; adapts the supernet, or goes on with it.

    Raises:
        UserError: the supernet in ``out`` is another one or damaged; its training diverged twice.
    """
    if config.evaluator == "train" or taught is None or not isinstance(space, Elastic):
        return None
    if config.evaluator == "inherit":
        return from_teacher(taught.teacher, data, config.space.importance)
    recipe = supernet_recipe(config, len(data.splits["train"]))
    with TrainingDisplay("adapting the supernet") as display:
        supernet = adapt(
            space,
            taught,
            data,
            recipe,
            config.loss,
            config.augment,
            out / FOLDER,
            importance=config.space.importance,
            seed=config.seed,
            warn=warn,
            report=display,
        )
    say(f"supernet of {supernet.base.base} in {out / FOLDER}")
    return supernet


def inherits(chosen: Student, config: StudentConfig) -> bool:
    """Whether a student has weights to start from."""
    if chosen.architecture.base is None or config.from_scratch:
        return False
    return config.teacher is not None or (chosen.run is not None and has_supernet(chosen.run))


def first_weights(
    chosen: Student,
    config: StudentConfig,
    taught: Taught | None,
    data: ImageSet,
    place: Path,
    *,
    resume: bool,
) -> Inheritance | None:
    """What a student starts from: the supernet of its search, else its teacher; ``None``: random weights.

    Args:
        chosen: what to train.
        config: of the training.
        taught: by whom.
        data: the images.
        place: where an order of the teacher's channels is kept.
        resume: whether a training has begun with the order there.

    Raises:
        UserError: its teacher is not what it was cut out of; the supernet is damaged or of other classes.
    """
    base = chosen.architecture.base
    if not inherits(chosen, config):
        if base is not None and not config.from_scratch:
            warn(f"the network is cut out of {base}, but without a teacher it starts from random weights")
        return None
    supernet = None if chosen.run is None else find_supernet(chosen.run)
    if supernet is not None:
        if supernet.classes != data.num_classes:
            raise UserError(
                f"the supernet of {chosen.run} knows {supernet.classes} classes, the data has "
                f"{data.num_classes}; give --from-scratch, or search on this data"
            )
        if supernet.tested not in (None, data.test_digest):
            warn(
                f"the search in {chosen.run} set other images aside for the test: its supernet may know "
                "those that are tested here, and the test F1 then says too much; better search again"
            )
        say(f"starts from its weights in the supernet of {chosen.run}")
        return supernet
    if taught is None:
        raise ValueError("a student that inherits needs a supernet or a teacher")
    names = [member.name for member in taught.teacher.members]
    if names != [base]:
        raise UserError(
            f"the network is cut out of {base}, so it cannot inherit from {' and '.join(names)}; "
            f"give --teacher {base}, or --from-scratch"
        )
    say(f"starts from its weights in {base}")
    rule = (SpaceConfig() if chosen.search is None else chosen.search.space).importance
    orders = kept_orders(only(taught.teacher), data, rule, place / ORDERS, begun=resume)
    return from_teacher(taught.teacher, data, orders=orders)


def point_to_inheritance(
    config: StudentConfig, taught: Taught | None, metrics: Mapping[str, Any]
) -> None:
    """Say, where a student from random weights stays far below its teacher, how it could inherit.

    Args:
        config: of the student.
        taught: by whom it was trained.
        metrics: ``metrics.json``. Far: the 95 % interval of the test F1 ends before the teacher's begins.
    """
    teacher = config.teacher
    if taught is None or teacher is None or config.from_scratch or metrics["inherited"] is not None:
        return
    if metrics["test"]["f1_interval"][1] >= metrics["teacher"]["f1_interval"][0]:
        return
    try:
        base_of(only(taught.teacher))
    except UserError:
        return  # it is no base
    say(
        "the student is far below its teacher; one that starts from its teacher's weights keeps more, "
        f"above all on few images: search --space elastic --teacher {teacher.spec}"
    )
