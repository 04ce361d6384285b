"""Stages of the programs job: counts to scaled genes, fits, consensus, all genes; advice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.factorize import (
    ConsensusNMF,
    consensus_ranks,
    gene_scores,
    refit_programs,
)
from partwise.matrix.moments import row_blocks
from partwise.prepare import overdispersed_genes, scale_to_unit_variance
from partwise.prepare.recipe import PreparedSource, Recipe

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.factorize import ConsensusRanks
    from partwise.io import Table
    from partwise.prepare import Overdispersed, Scaled
    from partwise.utils.progress import Stage
    from partwise.workflows.programs_options import ProgramsOptions

__all__ = ["Counts", "Programs", "advice", "find_programs", "prepare", "try_ranks"]

#: Transcripts per million.
_MILLION = 1e6
#: Denser counts stay dense.
_SPARSE = 0.5
#: Below this stability the fits hardly agree.
_UNSTABLE = 0.5
#: Below this share of programs kept, the reader should know.
_FEW_KEPT = 0.8


@dataclass(frozen=True)
class Counts:
    """The counts of a table and what is factorized of them.

    Attributes
    ----------
    per_million
        Counts scaled to a sum of 1e6 per cell over all genes; those genes that are in enough
        cells. A block source: the rows are scaled as they are read.
    features
        Names of these genes.
    kept
        Their positions in the table; None if all.
    genes
        Which of them were chosen, and their statistics.
    scaled
        Counts of the chosen genes at unit variance, in memory.
    names
        Names of the chosen genes.
    empty
        Cells without a count in the chosen genes.
    whole
        Whether all values are whole numbers.
    """

    per_million: Any
    features: tuple[str, ...]
    kept: npt.NDArray[np.intp] | None
    genes: Overdispersed
    scaled: Scaled
    names: tuple[str, ...]
    empty: npt.NDArray[np.intp]
    whole: bool

    def without_values(self) -> Counts:
        """Return the same without the values, which the report does not need."""
        return replace(self, per_million=None, scaled=replace(self.scaled, X=None))


@dataclass(frozen=True)
class Programs:
    """The consensus, and what it is in all genes.

    Attributes
    ----------
    model
        The fitted `ConsensusNMF`.
    usage
        n x k.
    per_million
        Programs in transcripts per million, k x genes in enough cells.
    scores
        z-scores of the same genes, k x genes.
    """

    model: ConsensusNMF
    usage: npt.NDArray[Any]
    per_million: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Usage of each cell relative to its sum, n x k; zero for cells that use none."""
        return shares_of(self.usage)


def shares_of(usage: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return usage divided by the sum of its row; rows of zeros stay."""
    wide = np.asarray(usage, np.float64)
    totals = wide.sum(axis=1, keepdims=True)
    return wide / np.where(totals > 0, totals, 1.0)


def prepare(table: Table, options: ProgramsOptions) -> Counts:
    """Normalise the counts, choose genes, and scale these to unit variance.

    Parameters
    ----------
    table
        Counts, cells x genes.
    options
        How many genes, and in how many cells one must be.

    Returns
    -------
    Counts
        A table on disk stays there, but for the chosen genes.

    Raises
    ------
    DataError
        If all values are zero, or too few genes are expressed.
    """
    X = table.matrix
    if isinstance(X, np.ndarray) and np.count_nonzero(X) < _SPARSE * X.size:
        X = sp.csr_matrix(X)
    X = X if hasattr(X, "blocks") else _InMemory(X)
    frequent = np.flatnonzero(_cells_with(X) >= max(1, options.min_cells))
    if len(frequent) < 2:
        raise DataError(
            f"only {len(frequent)} of {table.shape[1]:,} genes have a count in at least "
            f"{max(1, options.min_cells)} cells (--min-cells)",
            path=table.path,
        )
    kept = None if len(frequent) == table.shape[1] else frequent
    per_million = PreparedSource(X, Recipe(_MILLION), kept)
    genes = overdispersed_genes(per_million, n_genes=options.genes)
    chosen = frequent[genes.indices]
    counts = _columns(X, chosen)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    return Counts(
        per_million=per_million,
        features=tuple(table.features[j] for j in frequent),
        kept=kept,
        genes=genes,
        scaled=scale_to_unit_variance(counts),
        names=tuple(table.features[j] for j in chosen),
        empty=np.flatnonzero(totals == 0),
        whole=_all_whole(X),
    )


def _cells_with(X: Any) -> npt.NDArray[np.int64]:
    """Return in how many cells each gene has a count."""
    found = np.zeros(X.shape[1], np.int64)
    for _, block in row_blocks(X):
        if sp.issparse(block):
            found += np.bincount(block.indices[block.data > 0], minlength=X.shape[1])
        else:
            found += np.count_nonzero(block, axis=0)
    return found


class _InMemory:
    """A matrix as a block source: what is made of its rows need not be held for all of them."""

    def __init__(self, matrix: Any) -> None:
        self.shape: tuple[int, int] = matrix.shape
        self.dtype: np.dtype[Any] = matrix.dtype
        self.matrix = matrix

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield (first row, rows) of consecutive blocks that cover rows start..stop."""
        whole = start == 0 and stop >= self.shape[0]
        for first, block in row_blocks(self.matrix if whole else self.matrix[start:stop]):
            yield start + first, block


def _columns(X: Any, chosen: npt.NDArray[np.intp]) -> Any:
    """Return some columns, in memory."""
    if isinstance(X, _InMemory):
        return X.matrix[:, chosen]
    parts = [block[:, chosen] for _, block in row_blocks(X)]
    if sp.issparse(parts[0]):
        return sp.vstack(parts, "csr")
    dense = np.concatenate(parts)
    return sp.csr_matrix(dense) if np.count_nonzero(dense) < _SPARSE * dense.size else dense


def _all_whole(X: Any) -> bool:
    for _, block in row_blocks(X):
        values = block.data if sp.issparse(block) else block
        if not np.array_equal(values, np.rint(values)):
            return False
    return True


def estimator(options: ProgramsOptions, k: int | None, n_threads: int) -> ConsensusNMF:
    """Return the estimator that the options describe."""
    settings: dict[str, Any] = {}
    for name in ("max_iter", "tol"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    return ConsensusNMF(
        k,
        n_replicates=options.replicates,
        density_threshold=options.density_threshold,
        local_neighborhood_size=options.neighborhood_size,
        random_state=options.seed,
        n_threads=n_threads,
        **settings,
    )


def try_ranks(
    counts: Counts, options: ProgramsOptions, n_threads: int, stage: Stage
) -> ConsensusRanks:
    """Fit the replicates of all ranks; the stage is told of each fit."""
    with warnings.catch_warnings():
        # fits that stopped early are counted, and said in the report and at the end
        warnings.simplefilter("ignore")
        return consensus_ranks(
            counts.scaled.X,
            options.asked,
            model=estimator(options, None, n_threads),
            on_fit=stage.advance,
        )


def find_programs(
    counts: Counts,
    k: int,
    replicates: npt.NDArray[Any],
    options: ProgramsOptions,
    n_threads: int,
) -> Programs:
    """Form the consensus of the replicates of rank k and find its programs in all genes."""
    model = estimator(options, k, n_threads)
    usage = model.fit_transform(counts.scaled.X, replicates=replicates)
    model.feature_names_in_ = np.array(counts.names, dtype=object)
    return Programs(
        model=model,
        usage=usage,
        per_million=refit_programs(counts.per_million, shares_of(usage)),
        scores=gene_scores(counts.per_million, usage),
    )


def advice(
    table: Table, counts: Counts, ranks: ConsensusRanks, found: Programs, options: ProgramsOptions
) -> list[str]:
    """Return what the data and the results ask the user to look at."""
    texts = []
    if not counts.whole:
        texts.append(
            "the values are not whole numbers: the method is for counts, not for logarithms or "
            "scaled values (--layer reads another layer of an AnnData)"
        )
    if len(counts.empty):
        cells = "cell has" if len(counts.empty) == 1 else "cells have"
        texts.append(
            f"{len(counts.empty):,} {cells} no count in the chosen genes: their usage is 0 (first: "
            f"row {counts.empty[0] + 1})"
        )
    if len(counts.names) < options.genes:
        texts.append(
            f"only {len(counts.names):,} genes are in enough cells, fewer than the "
            f"{options.genes:,} of --genes: all of them were taken"
        )
    texts += _advice_on_fits(ranks, found, options)
    return texts


def _advice_on_fits(ranks: ConsensusRanks, found: Programs, options: ProgramsOptions) -> list[str]:
    texts = []
    result = found.model.result_
    k = result.n_components
    cut = int(ranks.unconverged.sum())
    if cut:
        texts.append(
            f"{cut} of {options.replicates * len(ranks.ranks)} fits stopped at max_iter before "
            "they converged: raise --max-iter, or --tol if this precision is enough"
        )
    if len(ranks.ranks) > 2 and options.choose is None and k == ranks.ranks[-1]:
        texts.append(
            f"the recommended number of programs, {k}, is the largest that was tried: try more (-k)"
        )
    if result.stability < _UNSTABLE:
        texts.append(
            f"the fits hardly agree on {k} programs (stability {result.stability:.2f}; 1 is best): "
            "take fewer (-k), or more --replicates"
        )
    kept = float(result.kept.mean())
    if kept < _FEW_KEPT:
        texts.append(
            f"only {100 * kept:.0f} % of the programs of all fits were kept: "
            f"{int((~result.kept).sum()):,} had few neighbours within --density-threshold "
            f"{options.density_threshold:g}"
        )
    return texts
