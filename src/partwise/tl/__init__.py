"""Tools for AnnData: extract, estimate, write back. Names of slots are in `partwise._slots`."""

from __future__ import annotations

from partwise.tl._factorize import consensus_nmf, nmf, select_rank
from partwise.tl._graph import leiden, neighbors
from partwise.tl._project import project

__all__ = ["consensus_nmf", "leiden", "neighbors", "nmf", "project", "select_rank"]
