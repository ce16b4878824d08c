"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Unpack

from core.errors import UserError
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import Given, whole_number
from nas.strategies.optuna_sampler import OptunaSampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Tpe(OptunaSampler):
    """Optuna's TPESampler: Parzen estimators of good and bad points (Bergstra et al. 2011).

    Takes several objectives. Pending trials count as bad (constant liar, Ginsbourger et al. 2010).
    Of a history of more than 3,000 trials the good ones, of which there are 25, are chosen from all, and
    the density of the others is estimated from 3,000 of them, spread evenly.

    Args:
        startup: trials drawn at random first.
        multivariate: model decisions jointly; also with several objectives, where it finds more of the
            front than Optuna's default and takes a tenth of the time.
        candidates: points of which the most promising is proposed.
    """

    strategy: ClassVar[str] = "tpe"
    sampler: ClassVar[str] = "TPESampler"
    capacity: ClassVar[int | None] = 3_000

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        startup: int = 10,
        multivariate: bool = True,
        candidates: int = 24,
        **given: Unpack[Given],
    ) -> None:
        if not isinstance(multivariate, bool):
            raise UserError(f"strategy 'tpe': multivariate is true or false, got {multivariate!r}")
        super().__init__(
            space,
            objectives,
            **given,
            n_startup_trials=whole_number("tpe", "startup", startup, minimum=0),
            n_ei_candidates=whole_number("tpe", "candidates", candidates, minimum=1),
            multivariate=multivariate,
            constant_liar=True,
        )

    def sampler_class(self) -> Callable[..., BaseSampler]:
        """Return the sampler for categorical decisions."""
        from nas.strategies.categorical_tpe import CategoricalTpe

        return CategoricalTpe
