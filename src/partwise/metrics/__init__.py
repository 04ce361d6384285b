"""How well partitions, factors and integrations agree with each other and with what is known."""

from __future__ import annotations

from partwise.metrics.agreement import adjusted_rand, contingency, normalized_mutual_information

__all__ = ["adjusted_rand", "contingency", "normalized_mutual_information"]
