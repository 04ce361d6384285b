"""Files and parts of the report of what the cluster job is asked for beyond its clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from partwise.workflows.clustering.metadata import write_profiles
from partwise.workflows.clustering.svd import write_svd
from partwise.workflows.clustering.sweep import write_sweep

if TYPE_CHECKING:
    from partwise.workflows.clustering.files import Written
    from partwise.workflows.clustering.result import Findings
    from partwise.workflows.outputs import RunFolder

__all__ = ["write_extras"]


def write_extras(found: Findings, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write what was asked for beyond the clusters; return the files and what to know of them."""
    svd, notes = write_svd(found.svd, found.table.name, folder)
    settings, told = write_sweep(found, folder, n_threads)
    means, said = write_profiles(found, folder)
    return {**means, **svd, **settings}, [*notes, *told, *said]
