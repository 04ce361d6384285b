"""The files of `partwise sequences fit`: arrays, tables and a summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.io.writers import write_csv, write_parquet
from partwise.results import Status
from partwise.sequences import triggered_average
from partwise.utils.atomic import write_json
from partwise.workflows.sequence_jobs.result import SUFFIX, save_sequences

if TYPE_CHECKING:
    from partwise.sequences import NeuronOrder, Significance
    from partwise.workflows.outputs import RunFolder
    from partwise.workflows.sequence_jobs.options import SequencesFitOptions
    from partwise.workflows.sequence_jobs.read import Prepared, Split
    from partwise.workflows.sequence_jobs.result import SequencesFit

__all__ = ["SequencesFindings", "factor_table", "results_of", "write_files"]

#: Numbers of a table from which it is written as parquet alone: as text it would fill the disk.
_MOST_AS_TEXT = 5_000_000

#: kind of output -> (file name, what it holds)
Written = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class SequencesFindings:
    """What a run found, for the files and the report.

    Attributes
    ----------
    recording, split
        What was fitted and tested.
    options
        What was asked for.
    fit
        Motifs and activations.
    status, n_iter
        Why the fit stopped, and when.
    test
        Which factors are significant; None without held-out data or shuffles.
    events
        Times at which factors begin; factors count from 1.
    units
        Units by factor and peak.
    side
        Label -> (values, rate) to draw above the factors.
    warnings
        What the user should look at.
    parameters
        Every option with the value that was used.
    seconds
        Wall time of each stage.
    """

    recording: Prepared
    split: Split
    options: SequencesFitOptions
    fit: SequencesFit
    status: Status
    n_iter: int
    test: Significance | None
    events: pd.DataFrame
    units: NeuronOrder
    side: Mapping[str, tuple[npt.NDArray[Any], float]]
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]

    @property
    def n_factors(self) -> int:
        """Number of factors K."""
        return int(self.fit.motifs.shape[1])

    @property
    def n_lags(self) -> int:
        """Length of a motif L in frames."""
        return int(self.fit.motifs.shape[2])

    @property
    def converged(self) -> bool:
        """Whether the cost had settled when the fit stopped."""
        return self.status is not Status.MAX_ITER

    @property
    def n_significant(self) -> int | None:
        """Factors that are significant; None if that was not tested."""
        return None if self.test is None else int(np.sum(self.test.significant))


def factor_table(found: SequencesFindings) -> pd.DataFrame:
    """Return one row per factor: loading, test, events, and why it was not tested."""
    fit, test, k = found.fit, found.test, found.n_factors
    counts = found.events.groupby("factor").size().reindex(range(1, k + 1), fill_value=0)
    held = found.events[found.events["part"] == "held out"].groupby("factor").size()
    table = pd.DataFrame(
        {
            "factor": np.arange(1, k + 1),
            "loading": fit.loadings,
            "statistic": np.full(k, np.nan) if test is None else test.statistic,
            "pvalue": np.full(k, np.nan) if test is None else test.pvalues,
            "adjusted_pvalue": np.full(k, np.nan) if test is None else test.adjusted,
            "significant": ["not tested"] * k if test is None else _yes(test.significant),
            "n_null": np.zeros(k, np.int64) if test is None else test.n_null,
            "n_events": counts.to_numpy(),
            "n_events_held_out": held.reindex(range(1, k + 1), fill_value=0).to_numpy(),
            "n_units": np.array([np.sum(found.units.factor == j) for j in range(k)]),
            "excluded": [""] * k if test is None else list(test.excluded),
        }
    )
    table.loc[fit.empty & (table["excluded"] == ""), "excluded"] = "empty"
    return table


def _yes(values: npt.NDArray[np.bool_]) -> list[str]:
    return ["yes" if value else "no" for value in values]


def write_files(found: SequencesFindings, folder: RunFolder) -> tuple[Written, list[str]]:
    """Write arrays, tables and the summary.

    Parameters
    ----------
    found
        What a run found.
    folder
        Where its files go.

    Returns
    -------
    written
        The files, by kind.
    notes
        What the user should know about them.
    """
    stem = found.recording.name
    written: Written = {"result": (f"{stem}{SUFFIX}", "motifs, activations and the fit, as arrays")}
    save_sequences(folder.path(written["result"][0]), found.fit)
    written["summary"] = (f"{stem}_sequences.json", "the numbers that the run is about")
    write_json(folder.path(written["summary"][0]), results_of(found))
    notes: list[str] = []
    for kind, (frame, what) in _tables(found).items():
        columns = dict(frame.items())
        as_text = frame.size <= _MOST_AS_TEXT
        if as_text:
            written[kind] = (f"{stem}_{kind}.csv", what)
            ids = [name for name in ("unit",) if name in columns]
            notes += write_csv(folder.path(written[kind][0]), columns, identifiers=ids)
        if not as_text or "parquet" in found.options.formats:
            written[f"{kind}_parquet"] = (f"{stem}_{kind}.parquet", f"{what}, typed")
            write_parquet(folder.path(written[f"{kind}_parquet"][0]), columns)
    return written, notes


def _tables(found: SequencesFindings) -> dict[str, tuple[pd.DataFrame, str]]:
    """Return kind -> (table, what it holds)."""
    return {
        "factors": (factor_table(found), "one row per factor: loading, test, number of events"),
        "units": (unit_table(found), "one row per unit: its factor, its peak there, its weights"),
        "events": (found.events, "one row per event: factor, time, amplitude, epoch"),
        "activations": (activation_table(found), "activation of each factor in each frame"),
        "event_means": (
            event_means(found),
            "mean activity of the units of each factor around its events, one column per lag",
        ),
    }


def unit_table(found: SequencesFindings) -> pd.DataFrame:
    """Return units from top to bottom of the figures: factor, peak lag, weight in each factor."""
    fit, units = found.fit, found.units
    weights = fit.motifs.sum(axis=2, dtype=np.float64)
    order = units.order
    lag = np.where(units.factor >= 0, units.lag, -1)[order]
    columns: dict[str, Any] = {
        "unit": [fit.units[i] for i in order],
        "factor": units.factor[order] + 1,
        "peak_lag_frames": lag,
    }
    if fit.rate is not None:
        columns["peak_lag_seconds"] = np.where(lag >= 0, lag / fit.rate, np.nan)
    best = np.where(units.factor >= 0, units.factor, 0)
    columns["weight"] = weights[np.arange(len(best)), best][order]
    columns |= {f"factor_{j + 1}": weights[order, j] for j in range(weights.shape[1])}
    return pd.DataFrame(columns)


def activation_table(found: SequencesFindings) -> pd.DataFrame:
    """Return frames x (frame, time, part, factors)."""
    fit = found.fit
    frame = np.arange(fit.n_frames)
    columns: dict[str, Any] = {"frame": frame}
    if fit.rate is not None:
        columns["time"] = frame / fit.rate
    columns |= {f"factor_{j + 1}": row for j, row in enumerate(fit.activations)}
    return pd.DataFrame(columns)


def event_means(found: SequencesFindings) -> pd.DataFrame:
    """Return the mean of the units around the events of the factor in which they weigh most.

    From half a motif before the event to one and a half after it; the columns are lags in seconds
    (frames, if the rate is not known).
    """
    fit, units = found.fit, found.units
    before, after = around(found.n_lags)
    lags = np.arange(-before, after) / (fit.rate or 1.0)
    rows = [i for i in units.order if units.factor[i] >= 0]
    means = triggered_means(found, before, after)
    values = np.array([means[units.factor[i], i] for i in rows]).reshape(len(rows), len(lags))
    columns: dict[str, Any] = {
        "factor": [int(units.factor[i]) + 1 for i in rows],
        "unit": [fit.units[i] for i in rows],
    }
    columns |= {f"{lag:.6g}": values[:, j] for j, lag in enumerate(lags)}
    return pd.DataFrame(columns)


def around(n_lags: int) -> tuple[int, int]:
    """Return the frames before and after an event that tables and figures show."""
    return max(1, n_lags // 2), n_lags + max(1, n_lags // 2)


def triggered_means(found: SequencesFindings, before: int, after: int) -> npt.NDArray[Any]:
    """Return mean activity around events, K x N x (before + after); NaN without events."""
    means: npt.NDArray[Any] = triggered_average(
        found.recording.shown,
        found.events.assign(factor=found.events["factor"] - 1),
        before=before,
        after=after,
        n_factors=found.n_factors,
        epochs=found.recording.epochs,
    )
    return means


def results_of(found: SequencesFindings) -> dict[str, Any]:
    """Return the numbers that a run is about, as JSON has them."""
    fit, test = found.fit, found.test
    n, t = found.recording.shape
    return {
        "n_units": n,
        "n_frames": t,
        "rate": fit.rate,
        "n_components": found.n_factors,
        "n_lags": found.n_lags,
        "length_seconds": None if fit.rate is None else found.n_lags / fit.rate,
        "n_frames_fitted": fit.n_train,
        "n_frames_held_out": t - fit.n_train,
        "power": fit.power,
        "power_held_out": _number(fit.power_held_out),
        "cost": float(fit.cost[-1]),
        "loadings": [round(float(value), 9) for value in fit.loadings],
        "n_iter": found.n_iter,
        "status": found.status.name.lower(),
        "empty_factors": [int(j) + 1 for j in np.flatnonzero(fit.empty)],
        "n_significant": found.n_significant,
        "significant_factors": []
        if test is None
        else [int(j) + 1 for j in np.flatnonzero(test.significant)],
        "pvalues": None if test is None else [float(value) for value in test.pvalues],
        "threshold": None if test is None else float(test.threshold),
        "n_events": len(found.events),
        "notes": list(found.recording.notes),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
