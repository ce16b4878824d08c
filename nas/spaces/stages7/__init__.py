"""Seven stages of blocks with a code for each: the space of the waste-sorting competitions."""

from nas.spaces.stages7.space import Stages7

__all__ = ["Stages7"]
