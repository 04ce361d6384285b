"""The sample of cells that settings are compared on: in proportion from each FOV or batch.

The identifiers of all cells are in memory, the values may not be: cells are chosen first, and the
values of the chosen ones are collected in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.workflows.sampling import strata_of, stratified_rows, take_rows

if TYPE_CHECKING:
    from partwise.io import Table

__all__ = ["CellSample", "sample_cells"]

#: The sample is what tuning works on, so it is held in memory whatever its size.
_NO_LIMIT = 2**62


@dataclass(frozen=True)
class CellSample:
    """Cells that were drawn from a table.

    Attributes
    ----------
    rows
        Their places in the table, ascending.
    values
        n x p, an array or a CSR matrix as the table has them.
    ids
        Identifiers of these cells.
    by
        Column whose values are the strata; None where there is none.
    strata
        One row per stratum: its cells (`n_cells`), and how many of them were drawn (`n_sampled`).
    n_cells
        Cells of the table.
    """

    rows: npt.NDArray[np.int64]
    values: Any
    ids: pd.DataFrame
    by: str | None
    strata: pd.DataFrame
    n_cells: int

    @property
    def complete(self) -> bool:
        """Whether these are all cells of the table."""
        return len(self.rows) == self.n_cells


def sample_cells(table: Table, n_sampled: int, *, by: str | None, seed: int) -> CellSample:
    """Draw cells without replacement, from each stratum in proportion to its size.

    Stratum s with c_s of all n cells gives m c_s / n of the m cells to draw, rounded by the largest
    remainder, and at least one; see `partwise.workflows.sampling.shares`.

    Parameters
    ----------
    table
        The table; its values may be on disk.
    n_sampled
        m, cells to draw. A table with no more than that is taken whole.
    by
        Identifier column of the strata; None for a plain random sample.
    seed
        Seed of the draw. The sample does not depend on how the table is cut into blocks.

    Returns
    -------
    CellSample
        The cells, in the order of the table.

    Examples
    --------
    >>> import tempfile, partwise
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> rows = [f"F{i % 3},{i},T,{i},1" for i in range(300)]
    >>> header = "fov,label,cell_meta_cluster,A,B"
    >>> _ = path.write_text(chr(10).join([header, *rows]))
    >>> with partwise.open(path) as table:
    ...     sample = sample_cells(table, 30, by="fov", seed=0)
    >>> sample.values.shape, sample.strata["n_sampled"].tolist()
    ((30, 2), [10, 10, 10])
    """
    n = table.shape[0]
    # one stratum where there is no column to go by
    column = pd.Series(np.zeros(n, np.int8)) if by is None else table.ids[by]
    codes, names = strata_of(column)
    if n <= n_sampled:
        rows = np.arange(n, dtype=np.int64)
    else:
        rows = stratified_rows(column, n_sampled, seed=seed)
    whole = len(rows) == n and not hasattr(table.matrix, "blocks")
    strata = pd.DataFrame(
        {
            "n_cells": np.bincount(codes, minlength=len(names)),
            "n_sampled": np.bincount(codes[rows], minlength=len(names)),
        },
        index=["all"] if by is None else [name or "(missing)" for name in names],
    )
    strata.index.name = by or "cells"
    return CellSample(
        rows=rows,
        values=table.matrix if whole else take_rows(table.matrix, rows, memory_limit=_NO_LIMIT),
        ids=table.ids.iloc[rows].reset_index(drop=True),
        by=by,
        strata=strata,
        n_cells=n,
    )
