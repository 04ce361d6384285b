"""Which motifs are sequences: the skewness of the data seen through them, beside rotated motifs."""
# ruff: noqa: PT028  (test_significance is no test of pytest's)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import check_count
from partwise.sequences._inputs import observed
from partwise.sequences._nulls import Pieces, Rotations, skewness_of
from partwise.sequences._timeline import check_epochs
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CORRECTIONS", "Significance", "test_significance"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CORRECTIONS = ("bonferroni", "bh")
MISSING = ("raise", "hide")

#: Nulls that reach the statistic of a motif after which no more are drawn for it.
_ENOUGH = 20
#: Nulls of the first round; each round doubles them.
_FIRST_ROUND = 64
#: Share of the power in one unit from which a motif has no order in time.
_ONE_UNIT = 0.999
#: Roundings within which a null counts as having reached the statistic.
_TIES = 1e3


@dataclass(frozen=True)
class Significance:
    """Whether each factor is a sequence.

    Attributes
    ----------
    statistic
        Skewness over time of the data seen through each motif, K; 0 for an empty motif.
    pvalues
        (1 + b) / (1 + n), where b of n nulls reached the statistic, K; 1 for factors that were
        not tested.
    adjusted
        The same, corrected for the number of factors tested.
    significant
        Whether `adjusted` is at most `p`, K.
    null
        Skewness of the rotated motifs that were looked at, an array per factor.
    n_null, exceedances
        Nulls drawn for each factor, and how many reached its statistic, K.
    excluded
        Why a factor was not tested, "" if it was.
    threshold
        The p-value (before correction) at which a factor of this recording becomes significant.
    p, correction
        As asked.
    """

    statistic: FloatArray
    pvalues: FloatArray
    adjusted: FloatArray
    significant: BoolArray
    null: tuple[FloatArray, ...]
    n_null: IntArray
    exceedances: IntArray
    excluded: tuple[str, ...]
    threshold: float
    p: float
    correction: str

    @property
    def table(self) -> pd.DataFrame:
        """One row per factor, counted from 0, excluded ones too."""
        import pandas as pd

        return pd.DataFrame(
            {
                "factor": np.arange(len(self.statistic)),
                "statistic": self.statistic,
                "pvalue": self.pvalues,
                "adjusted": self.adjusted,
                "significant": self.significant,
                "n_null": self.n_null,
                "exceedances": self.exceedances,
                "excluded": list(self.excluded),
            }
        )


def test_significance(
    X: Any,
    motifs: Any,
    *,
    p: float = 0.05,
    n_null: int = 1000,
    correction: str = "bonferroni",
    early_stop: bool = True,
    epochs: Any = None,
    mask: Any = None,
    missing: str = "raise",
    random_state: Any = None,
    n_threads: int | None = None,
) -> Significance:
    """Test on held-out data whether motifs are sequences.

    Seen through motif k the data are Z_k[t] = sum over n, l of W[n, k, l] X[n, t + l], where t + l
    is counted around the end of its epoch. Where a sequence occurs, Z_k has a peak, and peaks make
    its distribution over time skewed. The statistic is this skewness, the third standardized
    moment. A null motif has each unit's row rotated by a lag of its own, uniform over 0..L - 1: the
    same units with the same rates and profiles, without their order.

    p = (1 + b) / (1 + n), where b of n nulls have at least the statistic. With `early_stop` no more
    nulls are drawn for a factor once 20 of them reached its statistic; then b = 20 and n is the
    number drawn until then. Besag and Clifford (1991) show that b / n is a valid p-value at that
    stop, and ours is not smaller.

    Motifs that are empty, or have more than 99.9 % of their power in one unit, cannot be sequences.
    They are not tested, and reported with that reason and p = 1. As this depends on the motifs
    alone, the correction counts the factors that are tested.

    Hidden entries leave the sum: Z_k[t] = sum over observed (n, t + l) of W[n, k, l]
    (X[n, t + l] - m_n), where m_n is the mean of what is observed of unit n, and frames are left
    out from which on nothing is observed for L frames. Without hidden entries this differs from
    the above by a constant, which the skewness does not see. Nulls are computed in the same way.
    Without m_n a gap would be a dip in all units at once, whose shape differs between a motif and
    its rotated copies (see decision 030 for what that does to the test).

    Parameters
    ----------
    X : ndarray, masked array, sparse matrix or frame source, N x T
        Data that the motifs were not fitted to.
    motifs : array-like, N x K x L
        The motifs, `SeqNMF.motifs_`.
    p : float
        Error to allow among all factors: that of one false sequence or more ("bonferroni"), or the
        share of false ones among those found ("bh").
    n_null : int
        Nulls per factor. More are drawn if that many could not reach significance: 2 K / p.
    correction : {"bonferroni", "bh"}
        Bonferroni, or Benjamini and Hochberg.
    early_stop : bool
        Stop drawing nulls for factors that are clearly not significant.
    epochs : sequence of (start, stop), optional
        Frames to use, each epoch for itself; all frames by default.
    mask : bool array or sparse matrix, N x T, optional
        Entries to hide, as in `SeqNMF.fit`: True, or non-zero. Their values do not matter.
    missing : {"raise", "hide"}
        What NaN means: an error, or an entry that is hidden.
    random_state : int, Generator, RandomState or None
        Seed of the lags.
    n_threads : int, optional
        Threads; the numbers do not depend on it.

    Returns
    -------
    Significance
        Statistics, p-values and nulls; always defined, also if no factor could be tested.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If the motifs do not fit the data, values are missing that are not hidden, or all are
        hidden.

    References
    ----------
    Mackevicius et al. (2019), eLife 8, e38471 (the statistic and the rotation); Besag & Clifford
    (1991), Biometrika 78, 301 (stopping); Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9,
    39 ((1 + b) / (1 + n)); Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.sequences import test_significance
    >>> X = np.zeros((6, 400))
    >>> for start in range(10, 400, 40):  # units fire one after the other
    ...     X[np.arange(6), start + 2 * np.arange(6)] = 1
    >>> motif = np.zeros((6, 1, 12))
    >>> motif[np.arange(6), 0, 2 * np.arange(6)] = 1
    >>> test_significance(X, motif, random_state=0).significant
    array([ True])
    """
    if not 0 < p < 1:
        raise UsageError(f"p must lie between 0 and 1, not {p!r}")
    if correction not in CORRECTIONS:
        raise UsageError(f"correction must be one of {', '.join(CORRECTIONS)}; not {correction!r}")
    check_count(n_null, "n_null")
    if missing not in MISSING:
        raise UsageError(f"missing must be one of {', '.join(MISSING)}; not {missing!r}")
    recording, hidden = observed(X, mask, missing=missing)
    W = _checked_motifs(motifs, recording.shape[0])
    spans = check_epochs(epochs, recording.shape[1])
    if W.shape[2] > max(stop - start for start, stop in spans):
        raise DataError(
            f"motifs have {W.shape[2]} lags, but no stretch of the recording is as long: test on "
            "more frames"
        )
    excluded = tuple(_reason(W[:, k]) for k in range(W.shape[1]))
    tested = [k for k, reason in enumerate(excluded) if not reason]
    most = max(int(n_null), int(np.ceil(2 * len(tested) / p)))
    seed = int(generator(random_state).integers(2**62))
    pieces = Pieces(recording, spans, W.shape[2], hidden)
    threads = resolve_threads(n_threads)
    draws = [_Draws(W[:, k], seed, k) for k in range(W.shape[1])]
    _observe(pieces, draws, threads)
    _draw(pieces, [draws[k] for k in tested], most, early_stop, threads)
    return _judged(draws, excluded, float(p), correction)


# pytest must not take the name for a test where somebody imports it
test_significance.__test__ = False  # type: ignore[attr-defined]


class _Draws:
    """Nulls of one factor; which lags they have depends on the seed and the factor only."""

    def __init__(self, motif: Array, seed: int, factor: int) -> None:
        units = np.flatnonzero(motif.any(axis=1))
        # the statistic does not depend on the scale, which may be that of a factor nearly empty
        exponent = -np.frexp(motif.max(initial=0.0))[1]
        self._motif = np.ldexp(motif[units], exponent)
        self.units = units
        self._n_units = motif.shape[0]
        self._rng = np.random.default_rng([seed, factor])
        self._null: list[FloatArray] = []
        self.statistic = 0.0
        self.reached = 0.0  # from here on a null counts
        self.drawn = 0
        self.stopped = 0  # nulls until enough of them reached the statistic; 0 if they did not

    def itself(self) -> Rotations:
        """Return the motif as it is."""
        return Rotations(self._motif, self.units, np.zeros((1, len(self.units)), np.int32))

    def more(self, count: int) -> Rotations:
        """Return the next nulls; lags of units without a row are drawn, too."""
        lags = self._rng.integers(self._motif.shape[1], size=(count, self._n_units), dtype=np.int32)
        return Rotations(self._motif, self.units, lags[:, self.units])

    def take(self, found: FloatArray, early_stop: bool) -> None:
        """Keep what the next nulls gave, and stop where enough of them reached the statistic."""
        self._null.append(found)
        self.drawn += len(found)
        if early_stop:
            at = np.flatnonzero(self.null >= self.reached)
            if len(at) >= _ENOUGH:
                self.stopped = int(at[_ENOUGH - 1]) + 1

    @property
    def null(self) -> FloatArray:
        """The nulls that count."""
        drawn = np.concatenate(self._null) if self._null else np.zeros(0)
        return drawn[: self.stopped or None]

    @property
    def exceedances(self) -> int:
        """How many of them reached the statistic."""
        return int(np.count_nonzero(self.null >= self.reached))


def _checked_motifs(motifs: Any, n_units: int) -> Array:
    W = np.asarray(motifs)
    if W.ndim != 3 or W.dtype.kind not in "biuf":
        raise UsageError("motifs must be an array of numbers, units x factors x lags")
    if W.shape[0] != n_units:
        raise DataError(
            f"the motifs are of {W.shape[0]} units, but the recording has {n_units}: units must be "
            "the same, in the same order (is one of the two transposed?)"
        )
    if not W.shape[2] or not np.isfinite(W).all() or (W < 0).any():
        raise DataError(
            "motifs must have at least one lag, and values that are finite and from 0 up"
        )
    return W if W.dtype in (np.float32, np.float64) else W.astype(np.float64)


def _reason(motif: Array) -> str:
    """Return why a motif (N x L) cannot be a sequence, "" if it can."""
    flat = motif.sum(axis=1, dtype=np.float64)
    largest = float(flat.max(initial=0.0))
    if largest == 0:
        return "empty"
    shares = (flat / largest) ** 2
    if _ONE_UNIT * float(shares.sum()) < 1.0:
        return "more than 99.9 % of its power is in one unit"
    return ""


def _observe(pieces: Pieces, draws: list[_Draws], n_threads: int) -> None:
    """Set the statistic of each motif that is not empty."""
    some = [one for one in draws if len(one.units)]
    found = skewness_of(pieces, [one.itself() for one in some], n_threads)
    for one, value in zip(some, found, strict=True):
        one.statistic = float(value[0])
        slack = _TIES * pieces.precision * max(1.0, abs(one.statistic))
        one.reached = one.statistic - slack


def _draw(pieces: Pieces, draws: list[_Draws], most: int, early_stop: bool, n_threads: int) -> None:
    """Draw nulls in rounds, until each factor has as many as it needs."""
    size = _FIRST_ROUND if early_stop else most
    active = draws
    while active:
        count = min(size, most - active[0].drawn)
        found = skewness_of(pieces, [one.more(count) for one in active], n_threads)
        for one, values in zip(active, found, strict=True):
            one.take(values, early_stop)
        active = [one for one in active if not one.stopped and one.drawn < most]
        size *= 2


def _judged(
    draws: list[_Draws], excluded: tuple[str, ...], p: float, correction: str
) -> Significance:
    n_null = np.array([len(one.null) for one in draws], np.int64)
    exceedances = np.array([one.exceedances for one in draws], np.int64)
    tested = np.array([not reason for reason in excluded], bool)
    pvalues = np.where(tested, (1.0 + exceedances) / (1.0 + n_null), 1.0)
    adjusted = np.ones(len(draws))
    adjusted[tested], threshold = _corrected(pvalues[tested], p, correction)
    return Significance(
        statistic=np.array([one.statistic for one in draws], np.float64),
        pvalues=pvalues,
        adjusted=adjusted,
        significant=adjusted <= p,
        null=tuple(one.null for one in draws),
        n_null=n_null,
        exceedances=exceedances,
        excluded=excluded,
        threshold=threshold,
        p=p,
        correction=correction,
    )


def _corrected(pvalues: FloatArray, p: float, correction: str) -> tuple[FloatArray, float]:
    """Return adjusted p-values, and up to which p-value factors are significant."""
    count = len(pvalues)
    if not count:
        return pvalues, p
    if correction == "bonferroni":
        return np.minimum(1.0, pvalues * count), p / count
    order = np.argsort(pvalues, kind="stable")
    steps = pvalues[order] * count / np.arange(1, count + 1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    found = int(np.count_nonzero(adjusted <= p))
    return adjusted, p * max(1, found) / count
