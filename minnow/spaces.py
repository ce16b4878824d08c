"""The space of a search, for the images and the teacher at hand."""

from __future__ import annotations

from core.config import SearchConfig
from core.errors import UserError
from nas.networks.describe import describe
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from teachers.ensemble import parse_spec
from teachers.pretrained import resolve


def make_space(kind: type[SearchSpace], config: SearchConfig, stored: int) -> SearchSpace:
    """The search space; an elastic one is that of the teacher.

    Args:
        kind: of space.
        config: of the search; where it names no resolutions, the usual ones are taken.
        stored: side of the stored images, pixels.

    Raises:
        UserError: there are several teachers, no such one, or it is no base for sub-networks.
    """
    resolutions = config.space.resolutions or default_resolutions(stored, kind.least_share)
    if not issubclass(kind, Elastic) or config.teacher is None:
        return kind(resolutions)
    if len(named := parse_spec(config.teacher.spec)) > 1:
        raise UserError(f"space elastic takes one teacher to cut networks out of, got {len(named)}")
    found = resolve(named[0][0])
    return kind(resolutions, base=describe(found.model, found.name, found.resolution))


def default_resolutions(stored: int, least: float = 0.5) -> tuple[int, ...]:
    """Input sides from a share of the stored side up to it, an eighth of it apart, multiples of 8 pixels,
    16 at least."""
    shares = [share for share in (0.5, 0.625, 0.75, 0.875, 1.0) if share >= least]
    sides = {max(16, round(stored * share / 8) * 8) for share in shares}
    return tuple(sorted(sides))
