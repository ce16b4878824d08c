"""Bayesian optimisation with a Gaussian process."""

from nas.strategies.gp.strategy import Gp

__all__ = ["Gp"]
