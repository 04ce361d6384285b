"""Losses and penalties: small frozen records that edit (G, B); kernels never see them."""

from partwise.objectives.constraints import Constraints
from partwise.objectives.penalties import ElasticNet, Penalties

__all__ = ["Constraints", "ElasticNet", "Penalties"]
