"""Choosing the number of programs: held-out error, stability, and the spectrum beside noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.factorize import _rank_rules as rules
from partwise.factorize._checks import check_count, check_number
from partwise.factorize._masking import check_observed
from partwise.factorize._rank_advice import advice_on, verdict_of
from partwise.factorize._rank_fits import RankFits, hidden_share, sampled_rows
from partwise.factorize._rank_tables import (
    Scores,
    fit_table,
    spectrum_table,
    summary_table,
)
from partwise.factorize._scale import exponent_of_block, times_power
from partwise.factorize.held_out import LOSSES
from partwise.factorize.nmf import NMF
from partwise.metrics.spectrum import Spectrum, permutation_spectrum
from partwise.utils.progress import Progress, silent
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHODS", "RankSelection", "select_rank"]

METHODS = ("cv", "stability", "elbow")

#: Rows of the spectrum, permutations, and components beyond the largest rank.
_SPECTRUM_ROWS, _PERMUTATIONS, _BEYOND = 20_000, 5, 10
#: Values of that many rows where they are dense.
_SPECTRUM_VALUES = 2**26
#: Entries that each replicate must hide.
_FEWEST_HIDDEN = 10
#: Components of the spectrum before the ranks are known.
_FIRST_COMPONENTS = 50
#: Without held-out errors the search ends at so many times the components above noise.
_PAST_NOISE = 1.5


@dataclass(frozen=True)
class RankSelection:
    """What was measured at each rank, and the rank that it speaks for.

    Attributes
    ----------
    recommended
        The rank.
    rule
        How it follows from the measurements, in words.
    confidence
        How often the rule picks it when replicates are drawn with replacement, from 0 to 1; NaN
        where there is nothing to draw from (one replicate, or no held-out errors).
    alternatives
        Other ranks that the same measurements do not exclude, best first.
    by_method
        What each criterion alone says.
    table
        One row per rank and replicate: `held_out_error` and `training_error` (||X - W H|| / ||X||
        over hidden and over all entries; for counts the square root of the deviance relative to
        that of the mean), `matched_cosine`, passes, whether they converged.
    summary
        Each curve at each rank: `curve`, `rank`, `mean`, `low`, `high`. Low and high are the 95 %
        interval of the mean for training errors, that of the difference from the lowest mean
        within replicates for held-out errors, and the extremes of the replicates for cosines.
    spectrum
        Singular values of the data and of the permuted data; None without "elbow".
    advice
        What to know before the rank is believed.
    fraction
        Share of the entries that each replicate hid.
    """

    recommended: int
    rule: str
    confidence: float
    alternatives: tuple[int, ...]
    by_method: dict[str, int]
    table: pd.DataFrame
    summary: pd.DataFrame
    spectrum: pd.DataFrame | None
    advice: tuple[str, ...]
    fraction: float

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that were looked at, ascending."""
        return tuple(int(k) for k in np.unique(self.table["rank"]))


def select_rank(
    X: Any,
    ranks: str | Sequence[int] = "auto",
    *,
    methods: Sequence[str] = METHODS,
    loss: str = "frobenius",
    n_replicates: int = 5,
    fraction: float | None = None,
    max_rank: int | None = None,
    tol: float = 1e-5,
    max_iter: int = 200,
    random_state: Any = 0,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> RankSelection:
    """Choose the number of programs of a factorization.

    - "cv": speckled cross-validation. Each replicate hides a share of the entries, those of all
      replicates being disjoint as far as they go; the factors are fitted to the others, and the
      error is measured on the hidden ones (with usage from the others, by a small ridge). It falls
      while programs describe what entries have in common and rises when they describe noise. The
      rule: the smallest rank whose error exceeds
      the lowest by no more than the standard error of that difference within replicates.
    - "stability": whether different starts find the same programs (cosine of programs matched one
      to one) and put the same observations together (cophenetic correlation and dispersion of the
      consensus matrix, on a sample of at most 1,000 observations).
    - "elbow": the training error, its knee, and the number of singular values above those of data
      whose columns were permuted (on at most 20,000 rows).

    Held-out error decides if it is measured, else the spectrum, else stability.

    Parameters
    ----------
    X : array-like, sparse matrix or block source, n x p
        Non-negative observations; NaN, and what a masked array masks, is left out. The spectrum
        takes such entries for the mean of their column.
    ranks : "auto" or sequence of int
        Ranks to look at. "auto" walks up a coarse grid until the held-out error clearly rises, and
        then halves the gaps beside the best rank until there are none. With a sequence,
        the held-out error of larger ranks is left out once it clearly rises; the advice says so.
    methods : sequence of str
        Of "cv", "stability" and "elbow".
    loss : {"frobenius", "kullback-leibler"}
        What the fits minimise, and the error by which they are compared: squares, or, for counts,
        the Poisson deviance. The spectrum is that of X in both cases.
    n_replicates : int
        Masks and starts per rank.
    fraction : float, optional
        Share of the entries that a replicate hides. By default 20,000 entries, but from 0.03 to
        0.1 of all; of sparse data as many entries as a quarter of the non-zeros.
    max_rank : int, optional
        Where "auto" ends at the latest; 100 by default, less for small data.
    tol, max_iter : float, int
        When a fit stops; see `NMF`.
    random_state : int, Generator, RandomState or None
        Seed.
    n_threads : int, optional
        Threads, each with a fit of its own; the numbers do not depend on it.
    progress : Progress, optional
        Who listens.

    Returns
    -------
    RankSelection
        The rank, the rule, and all that was measured.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If X cannot, or is too small to hide some of it.

    References
    ----------
    Wold (1978), Technometrics 20, 397; Owen & Perry (2009), Annals of Applied Statistics 3, 564
    (held-out entries); Brunet et al. (2004), PNAS 101, 4164; Kim & Park (2007), Bioinformatics 23,
    1495 (consensus); Horn (1965), Psychometrika 30, 179 (spectrum beside noise).

    Examples
    --------
    >>> from partwise import select_rank
    >>> from partwise.datasets import simulate_programs
    >>> sim = simulate_programs(150, p=60, rank=3, level=0.3)
    >>> select_rank(sim.X, [1, 2, 3, 4, 5], n_replicates=3).recommended
    3
    """
    methods = _checked_methods(methods)
    if loss not in LOSSES:
        raise UsageError(f"loss must be one of {', '.join(LOSSES)}; not {loss!r}")
    check_count(n_replicates, "n_replicates", least=2 if "stability" in methods else 1)
    if fraction is not None and not 0 < check_number(fraction, "fraction") <= 0.5:
        raise UsageError(f"fraction must be above 0 and at most 0.5, not {fraction!r}")
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.result_type(X.dtype, np.float32)), np.nan)
    X, hidden = check_observed(NMF(), X, None, None, reset=True)
    X = times_power(X, -exponent_of_block(X, hidden))  # all that is measured is relative
    share = hidden_share(X) if fraction is None else float(fraction)
    if "cv" in methods and share * X.shape[0] * X.shape[1] < _FEWEST_HIDDEN:
        raise DataError(
            f"hiding {share:.2%} of {X.shape[0]} x {X.shape[1]} entries leaves too few to predict: "
            f"at least {_FEWEST_HIDDEN} are needed. Give a larger fraction, or methods without 'cv'"
        )
    threads = resolve_threads(n_threads)
    entropy = int(generator(random_state).integers(2**62))
    with (progress or silent()).stage("rank") as stage:
        search = _Search(
            RankFits(
                X,
                loss=loss,
                n_replicates=n_replicates,
                fraction=share,
                entropy=entropy,
                tol=check_number(tol, "tol"),
                max_iter=check_count(max_iter, "max_iter"),
                n_threads=threads,
                on_fit=stage.advance,
            ),
            methods,
            threads,
        )
        search.run(_checked_ranks(ranks, X.shape, max_rank), auto=isinstance(ranks, str))
    return search.selection()


def _checked_methods(methods: Sequence[str]) -> tuple[str, ...]:
    asked = (methods,) if isinstance(methods, str) else tuple(methods)
    unknown = [name for name in asked if name not in METHODS]
    if unknown or not asked:
        raise UsageError(f"methods must be some of {', '.join(METHODS)}; not {methods!r}")
    return tuple(name for name in METHODS if name in asked)


def _checked_ranks(
    ranks: str | Sequence[int], shape: tuple[int, int], max_rank: int | None
) -> list[int]:
    """Return the ranks asked for, or those of the coarse grid."""
    least = min(shape)
    if isinstance(ranks, str):
        if ranks != "auto":
            raise UsageError(f"ranks must be 'auto' or whole numbers, not {ranks!r}")
        most = 100 if max_rank is None else check_count(max_rank, "max_rank")
        return rules.coarse_grid(max(1, min(most, least - 1)))
    if max_rank is not None:
        raise UsageError("max_rank belongs to ranks='auto'; the ranks are given here")
    if not isinstance(ranks, Iterable):
        raise UsageError(f"ranks must be 'auto' or several whole numbers, not {ranks!r}")
    found = sorted({check_count(k, "each rank") for k in ranks})
    if not found:
        raise UsageError("ranks must name at least one rank")
    if found[-1] > least:
        raise UsageError(
            f"rank {found[-1]} exceeds the {least} rows or columns of the data, which that many "
            f"programs reproduce exactly: give ranks up to {least}"
        )
    return found


class _Search:
    """Looks at ranks in turn, and decides where to look next."""

    def __init__(self, fits: RankFits, methods: tuple[str, ...], n_threads: int) -> None:
        self.fits = fits
        self.methods = methods
        self.n_threads = n_threads
        self.scores = Scores()
        self.spectrum: Spectrum | None = None
        self.over = False
        self.left_out: list[int] = []

    def run(self, ranks: list[int], *, auto: bool) -> None:
        """Look at these ranks; with `auto` as far as it helps, and then beside the best."""
        if "elbow" in self.methods:
            most = _FIRST_COMPONENTS if auto else ranks[-1] + _BEYOND
            self.spectrum = self._spectrum(min(most, *self.fits.X.shape))
        if auto and "cv" not in self.methods and self.spectrum is not None:
            most = max(4, round(_PAST_NOISE * self.spectrum.n_above))
            ranks = rules.coarse_grid(min(most, ranks[-1]))
        for k in ranks:
            over = self._is_over()
            if over and auto:
                break
            if over:
                self.left_out.append(k)
            self._look_at(k, cv=not over)
        while auto and (more := self._gaps()):
            for k in more:
                self._look_at(k, cv=True)

    def _look_at(self, k: int, *, cv: bool) -> None:
        if "cv" in self.methods and cv:
            self.scores.held[k] = self.fits.held(k)
        if "stability" in self.methods or "elbow" in self.methods:
            stability = "stability" in self.methods
            self.scores.add_full(k, self.fits.full(k), stability=stability)

    def _is_over(self) -> bool:
        """Whether larger ranks will not be chosen."""
        if not self.over and self.scores.held:
            ranks, errors = self.scores.held_errors()
            least = 0 if self.spectrum is None else self.spectrum.n_above
            self.over = ranks[-1] >= least and rules.rises(errors)
        return self.over

    def _gaps(self) -> list[int]:
        """Return the middles of the gaps beside the best ranks so far."""
        around = verdict_of(self.scores, self.spectrum).around
        return sorted({k for best in around for k in rules.between(self.scores.ranks, best)})

    def _spectrum(self, components: int) -> Spectrum:
        X = self.fits.X
        most = _SPECTRUM_ROWS
        if isinstance(X, np.ndarray):
            most = min(most, max(1, _SPECTRUM_VALUES // X.shape[1]))
        rows = sampled_rows(X.shape[0], most, np.random.default_rng(self.fits.entropy))
        return permutation_spectrum(
            _filled(_rows_of(X, rows)),
            min(components, len(rows)),
            n_permutations=_PERMUTATIONS,
            seed=self.fits.entropy,
            n_threads=self.n_threads,
        )

    def selection(self) -> RankSelection:
        """Return the record of all that was measured."""
        verdict = verdict_of(self.scores, self.spectrum)
        confidence, others = verdict.support(self.fits.entropy)
        table = fit_table(self.scores, self.fits.n_replicates)
        return RankSelection(
            recommended=verdict.rank,
            rule=verdict.rule,
            confidence=confidence,
            alternatives=others,
            by_method=verdict.by_method,
            table=table,
            summary=summary_table(self.scores, table),
            spectrum=None if self.spectrum is None else spectrum_table(self.spectrum),
            advice=advice_on(self.scores, self.spectrum, verdict, self.left_out),
            fraction=self.fits.fraction,
        )


def _rows_of(X: Any, rows: Any) -> Any:
    """Return some rows in memory."""
    if isinstance(X, np.ndarray) or sp.issparse(X):
        return X if len(rows) == X.shape[0] else X[rows]
    parts = []
    for first, block in X.blocks(0, X.shape[0]):
        a, b = np.searchsorted(rows, (first, first + block.shape[0]))
        if a < b:
            parts.append(block[rows[a:b] - first])
    return sp.vstack(parts, "csr") if sp.issparse(parts[0]) else np.concatenate(parts)


def _filled(X: Any) -> Any:
    """Return X with the mean of the column in place of NaN."""
    values = X.data if sp.issparse(X) else X
    if not np.isnan(values).any():
        return X
    dense = X.toarray() if sp.issparse(X) else X
    known = ~np.isnan(dense)
    sums = np.sum(dense, axis=0, dtype=np.float64, where=known)
    means = sums / np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, dense, means).astype(X.dtype)
    return sp.csr_matrix(filled) if sp.issparse(X) else filled
