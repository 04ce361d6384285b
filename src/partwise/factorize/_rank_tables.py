"""The tables of a choice of rank: every fit, every curve, the spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.factorize._rank_fits import FullFit, HeldFit, consensus_of
from partwise.metrics.spectrum import Spectrum
from partwise.metrics.stability import mean_matched_cosine

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "CURVES", "Scores", "fit_table", "spectrum_table", "summary_table"]

FloatArray = npt.NDArray[np.float64]

#: Curves over ranks, in the order of the summary; the first three have a value per replicate.
CURVES = (
    "held_out_error",
    "training_error",
    "matched_cosine",
    "cophenetic_correlation",
    "dispersion",
)
#: Columns of the table of fits.
COLUMNS = (
    "rank",
    "replicate",
    "held_out_error",
    "held_out_iterations",
    "held_out_converged",
    "training_error",
    "matched_cosine",
    "iterations",
    "converged",
)


class Scores:
    """What has been measured so far, by rank.

    Attributes
    ----------
    held, full
        Fits of each rank, by replicate.
    cosines
        Mean matched cosine of each replicate with the others, by rank.
    consensus
        Cophenetic correlation and dispersion, by rank.
    """

    def __init__(self) -> None:
        self.held: dict[int, list[HeldFit]] = {}
        self.full: dict[int, list[FullFit]] = {}
        self.cosines: dict[int, FloatArray] = {}
        self.consensus: dict[int, tuple[float, float]] = {}

    def add_full(self, rank: int, fits: list[FullFit], *, stability: bool) -> None:
        """Take the fits of a rank in; their programs and labels are compared and let go."""
        if stability:
            self.cosines[rank] = mean_matched_cosine([fit.programs for fit in fits])
            self.consensus[rank] = consensus_of(fits)
        nothing = np.empty(0)
        self.full[rank] = [
            FullFit(nothing, np.empty(0, np.intp), fit.relative_error, fit.n_iter, fit.converged)
            for fit in fits
        ]

    @property
    def ranks(self) -> list[int]:
        """All ranks that were looked at, ascending."""
        return sorted(self.held.keys() | self.full.keys())

    def held_errors(self) -> tuple[list[int], FloatArray]:
        """Return the ranks with held-out errors, and these squared, replicates x ranks."""
        ranks = sorted(self.held)
        errors = np.array([[fit.relative_error**2 for fit in self.held[k]] for k in ranks])
        return ranks, errors.T

    def mean_cosines(self) -> tuple[list[int], FloatArray]:
        """Return the ranks with matched cosines, and their means."""
        ranks = sorted(self.cosines)
        return ranks, np.array([self.cosines[k].mean() for k in ranks])

    def training_errors(self) -> tuple[list[int], FloatArray]:
        """Return the ranks that were fitted to all entries, and their mean squared errors."""
        ranks = sorted(self.full)
        means = [np.mean([fit.relative_error**2 for fit in self.full[k]]) for k in ranks]
        return ranks, np.array(means)


def fit_table(scores: Scores, n_replicates: int) -> pd.DataFrame:
    """Return one row per rank and replicate."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for k in scores.ranks:
        held, full = scores.held.get(k), scores.full.get(k)
        for r in range(n_replicates):
            row: dict[str, Any] = {"rank": k, "replicate": r}
            if held is not None:
                row["held_out_error"] = held[r].relative_error
                row["held_out_iterations"] = held[r].n_iter
                row["held_out_converged"] = held[r].converged
            if full is not None:
                row["training_error"] = full[r].relative_error
                row["iterations"] = full[r].n_iter
                row["converged"] = full[r].converged
            if k in scores.cosines:
                row["matched_cosine"] = scores.cosines[k][r]
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("held_out_iterations", "iterations"):
        table[name] = table[name].astype("Int64")
    for name in ("held_out_converged", "converged"):
        table[name] = table[name].astype("boolean")
    for name in ("held_out_error", "training_error", "matched_cosine"):
        table[name] = table[name].astype("float64")
    return table


def summary_table(scores: Scores, table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval of each curve at each rank, in long form.

    Held-out errors: the 95 % interval of the difference from the lowest mean, within replicates,
    because a replicate hides the same entries at every rank. So the best rank has none, and a rank
    whose interval reaches the lowest mean does not differ from it. Training errors: of the mean.
    Cosines: the smallest and the largest replicate.
    """
    import pandas as pd

    parts = []
    for curve in CURVES[:3]:
        values = table.pivot(index="replicate", columns="rank", values=curve)
        values = values.dropna(axis=1, how="all")
        if values.shape[1]:
            parts.append(_intervals(curve, values))
    for place, curve in enumerate(CURVES[3:]):
        known = [(k, both[place]) for k, both in sorted(scores.consensus.items())]
        if known:
            ranks, means = zip(*known, strict=True)
            parts.append(
                pd.DataFrame(
                    {"curve": curve, "rank": ranks, "mean": means, "low": np.nan, "high": np.nan}
                )
            )
    columns = ["curve", "rank", "mean", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _intervals(curve: str, values: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval of a curve; `values` is replicates x ranks."""
    import pandas as pd

    data = values.to_numpy()
    mean = data.mean(axis=0)
    low, high = mean - np.nan, mean + np.nan
    if curve == "matched_cosine":
        low, high = data.min(axis=0), data.max(axis=0)
    elif data.shape[0] > 1:
        half = _half_width(data, paired=curve == "held_out_error")
        low, high = mean - half, mean + half
    ranks = values.columns.to_numpy()
    return pd.DataFrame({"curve": curve, "rank": ranks, "mean": mean, "low": low, "high": high})


def _half_width(data: FloatArray, *, paired: bool) -> FloatArray:
    """Return half the 95 % interval of the means of the columns, or of their excess."""
    from scipy.stats import t

    if paired:
        data = data - data[:, [int(np.argmin(data.mean(axis=0)))]]
    count = data.shape[0]
    half: FloatArray = t.ppf(0.975, count - 1) * data.std(axis=0, ddof=1) / np.sqrt(count)
    return half


def spectrum_table(spectrum: Spectrum) -> pd.DataFrame:
    """Return the singular values of the data beside those of the permutations."""
    import pandas as pd

    return pd.DataFrame(
        {
            "component": np.arange(1, len(spectrum.values) + 1),
            "singular_value": spectrum.values,
            "permuted_mean": spectrum.null.mean(axis=0),
            "permuted_max": spectrum.threshold,
            "above_noise": np.arange(len(spectrum.values)) < spectrum.n_above,
        }
    )
