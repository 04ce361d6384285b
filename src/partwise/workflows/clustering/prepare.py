"""Which cells the cluster job works on, and what is done to their values before it does.

A sample takes the same share of every stratum. Fields of view are made comparable by dividing each
feature by its mean there:

    x'_ij = x_ij / m_fj,   m_fj = mean of x_j over all cells of the field of view f that holds i,

so that 1 means "as much as usual here". A feature that a field of view has nowhere stays 0 there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.matrix.moments import row_blocks
from partwise.workflows.sampling import strata_of, stratified_rows, take_table

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = [
    "FOV_COLUMN",
    "DividedSource",
    "Preparation",
    "divide_by_group",
    "group_means",
    "normalize_by_fov",
    "prepare_cells",
]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: The column that names the field of view of a cell.
FOV_COLUMN = "fov"
#: Measured in docs/decisions/024: fields that hold few niches each lose them.
_TRUE_DIFFERENCES = (
    "normalize_by_fov takes away all differences between fields of view, true ones too: it suits "
    "fields of view that hold all kinds of neighbourhood each, and spoils the clusters where they "
    "hold few"
)
#: Fewer cells than this give a mean that says little.
_FEW_CELLS = 30


@dataclass(frozen=True)
class Preparation:
    """What was done before the factorization.

    Attributes
    ----------
    n_read
        Cells of the file.
    strata
        One row per stratum of the sample: its cells (`n_cells`), and how many of them were drawn
        (`n_sampled`); None if all cells were taken.
    steps
        What was done to the values, for the model and run.json.
    notes
        What the user should know.
    """

    n_read: int
    strata: pd.DataFrame | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The preparation as plain values; empty if nothing was done."""
        found: dict[str, Any] = {}
        if self.strata is not None:
            found["sample"] = {
                "stratified_by": self.strata.index.name,
                "n_cells": self.n_read,
                "n_sampled": int(self.strata["n_sampled"].sum()),
                "n_strata": len(self.strata),
            }
        if self.steps:
            found["preparation"] = self.steps
        return found

    @property
    def sentences(self) -> list[str]:
        """The preparation in words, for the report."""
        texts = []
        if self.strata is not None:
            drawn = int(self.strata["n_sampled"].sum())
            by = self.strata.index.name
            each = f", the same share of each of the {len(self.strata):,} values of {by}"
            texts.append(
                f"Of the {self.n_read:,} cells of the table {drawn:,} were drawn at random"
                f"{each if by else ''}; all results are about these."
            )
        if self.steps:
            texts.append(
                "Each value was divided by the mean of its feature over all cells of its field of "
                "view, so that 1 is as much as usual there."
            )
        return texts


def prepare_cells(table: Table, options: ClusterOptions) -> tuple[Table, Preparation]:
    """Draw the cells and normalise the values, as far as that is asked for.

    Parameters
    ----------
    table
        The file, n x p; its values may be on disk, and stay there if those of the sample do not
        fit into memory.
    options
        What to do.

    Returns
    -------
    table
        The cells that go on. The means of fields of view are those of all their cells, whether
        drawn or not.
    preparation
        What was done.

    Raises
    ------
    DataError
        If a cell has no field of view.
    """
    n = table.shape[0]
    strata, steps, notes = None, [], []
    codes = means = None
    if options.normalize_by_fov:
        fov = options.fov_column or FOV_COLUMN
        codes, names = fovs_of(table.ids, fov)
        means = group_means(table.matrix, codes, len(names))
        steps = [{"step": "normalize_by_fov", "column": fov}]
        notes = [_TRUE_DIFFERENCES, *_uncertain_means(codes, names)]
    share = options.sample_share
    if share is not None:
        plain = pd.Series(np.zeros(n, np.int8), name="the table")  # one stratum
        column = plain if options.subsample is None else table.ids[options.subsample]
        rows = stratified_rows(column, max(1, round(n * share)), seed=options.seed)
        strata = _strata_table(column, rows, options.subsample)
        table = take_table(table, rows)
        codes = None if codes is None else codes[rows]
    if codes is not None and means is not None:
        table = dataclasses.replace(table, matrix=divide_by_group(table.matrix, codes, means))
    return table, Preparation(n, strata, steps, tuple(notes))


def normalize_by_fov(table: Table, *, column: str = FOV_COLUMN) -> Table:
    """Divide each feature by its mean in the field of view, as `prepare_cells` does.

    Parameters
    ----------
    table
        n x p.
    column
        The identifier column that names the field of view of a cell.

    Returns
    -------
    Table
        The same cells; values on disk stay there and are divided as they are read.

    Raises
    ------
    DataError
        If there is no such column, or a cell has no field of view.
    """
    codes, names = fovs_of(table.ids, column)
    means = group_means(table.matrix, codes, len(names))
    return dataclasses.replace(table, matrix=divide_by_group(table.matrix, codes, means))


def fovs_of(ids: pd.DataFrame, column: str = FOV_COLUMN) -> tuple[Codes, list[str]]:
    """Return the field of view of each cell as a number, and the names.

    Raises
    ------
    DataError
        If there is no such column, or a cell has no field of view: its mean is not defined.
    """
    if column not in ids:
        raise DataError(
            f"normalising by field of view needs a column {column!r}; there are: "
            f"{', '.join(map(str, ids.columns))}"
        )
    codes, names = strata_of(ids[column])
    if "" in names:
        row = int(np.flatnonzero(codes == names.index(""))[0])
        raise DataError(
            f"row {row + 1} has no field of view (column {column!r} is empty), so there is no "
            "mean to divide it by; fill it in, leave the row out, or leave out --normalize-by-fov"
        )
    return codes, names


def group_means(matrix: Any, codes: Codes, n_groups: int) -> Floats:
    """Return the mean of each column over the rows of each group, in one pass.

    Parameters
    ----------
    matrix
        Array, CSR matrix or block source, n x p.
    codes
        Group of each row, n; negative rows are left out.
    n_groups
        Groups.

    Returns
    -------
    numpy.ndarray
        Groups x p, in float64; NaN for a group without rows. Values are added in the order of the
        rows, so the bits do not depend on how a file is cut.
    """
    p = int(matrix.shape[1])
    sums = np.zeros((p, n_groups + 1))  # the last for rows of no group
    for first, block in row_blocks(matrix):
        groups = codes[first : first + block.shape[0]]
        groups = np.where(groups < 0, n_groups, groups)
        if sp.issparse(block):
            of_value = np.repeat(groups, np.diff(block.indptr))
            places = block.indices.astype(np.int64) * (n_groups + 1) + of_value
            np.add.at(sums.ravel(), places, block.data.astype(np.float64))
        else:
            # contiguous float64 is what numpy adds fast
            for total, column in zip(sums, block.T.astype(np.float64, order="C"), strict=True):
                np.add.at(total, groups, column)
    counts = np.bincount(codes[codes >= 0], minlength=n_groups).astype(np.float64)
    with np.errstate(invalid="ignore"):
        means: Floats = sums[:, :n_groups].T / counts[:, None]
    return means


def divide_by_group(matrix: Any, codes: Codes, divisors: Floats) -> Any:
    """Divide each value by the divisor of its row's group and its column.

    Parameters
    ----------
    matrix
        Array, CSR matrix or block source, n x p.
    codes
        Group of each row, n.
    divisors
        Groups x p; where one is 0, values stay as they are (they are 0 where it is a mean).

    Returns
    -------
    array, CSR matrix or DividedSource
        Of the same kind and type; `matrix` is not changed.

    Examples
    --------
    >>> divide_by_group(np.array([[4.0, 0.0], [3.0, 0.0]]), np.array([0, 1]), np.array([[2.0, 0.0],
    ...     [3.0, 0.0]])).tolist()
    [[2.0, 0.0], [1.0, 0.0]]
    """
    safe = np.where(divisors > 0, divisors, 1.0)
    if hasattr(matrix, "blocks"):
        return DividedSource(matrix, codes, safe)
    if sp.issparse(matrix):
        of_value = np.repeat(codes, np.diff(matrix.indptr))
        data = (matrix.data / safe[of_value, matrix.indices]).astype(matrix.dtype)
        return sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    divided = np.empty_like(matrix)
    for first, block in row_blocks(matrix):
        last = first + block.shape[0]
        np.divide(block, safe[codes[first:last]], out=divided[first:last], casting="same_kind")
    return divided


class DividedSource:
    """A block source whose values are divided as they are read, see `divide_by_group`."""

    def __init__(self, source: Any, codes: Codes, divisors: Floats) -> None:
        self._source = source
        self._codes = codes
        self._divisors = divisors
        self.shape = (int(source.shape[0]), int(source.shape[1]))
        self.dtype = source.dtype

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        for first, block in self._source.blocks(start, stop):
            codes = self._codes[first : first + block.shape[0]]
            yield first, divide_by_group(block, codes, self._divisors)


def _strata_table(column: pd.Series, rows: npt.NDArray[np.int64], name: str | None) -> pd.DataFrame:
    codes, names = strata_of(column)
    table = pd.DataFrame(
        {
            "n_cells": np.bincount(codes, minlength=len(names)),
            "n_sampled": np.bincount(codes[rows], minlength=len(names)),
        },
        index=[value or "(missing)" for value in names] if name else ["all"],
    )
    table.index.name = name
    return table


def _uncertain_means(codes: Codes, names: list[str]) -> list[str]:
    counts = np.bincount(codes, minlength=len(names))
    few = np.flatnonzero(counts < _FEW_CELLS)
    if not few.size:
        return []
    shown = ", ".join(f"{names[i]!r} ({counts[i]})" for i in few[:5])
    more = f" and {few.size - 5} more" if few.size > 5 else ""
    return [
        f"normalize_by_fov: {few.size} of {len(names)} fields of view have fewer than "
        f"{_FEW_CELLS} cells, so few that dividing by their mean says little: {shown}{more}"
    ]
