"""The job behind `partwise sequences simulate`: a recording whose truth is known, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.datasets import simulate_sequences
from partwise.io.writers import write_csv
from partwise.utils.progress import Progress, silent
from partwise.workflows.options import resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sequence_jobs.other_options import SequencesSimulateOptions

if TYPE_CHECKING:
    from partwise.datasets import SimulatedSequences

__all__ = ["SequencesSimulateOptions", "SequencesSimulateResult", "sequences_simulate"]

_EACH = ("n_neurons", "gap", "jitter", "participation")
_LAST = ("n_frames", "n_sequences", "interval", "rate", "seed")
_OURS = ("output_dir",)


@dataclass(frozen=True)
class SequencesSimulateResult:
    """What was written.

    Attributes
    ----------
    outputs
        The files: "recording" (.npz), "truth" (.npz: motifs, activations), "events", "units", and,
        if frames are lost, "epochs".
    simulated
        The recording and the truth.
    options
        How they were made.
    warnings
        What differs from what was asked for.
    """

    outputs: dict[str, Path]
    simulated: SimulatedSequences
    options: SequencesSimulateOptions
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        made = self.simulated
        return {
            "n_units": made.n_units,
            "n_frames": made.n_frames,
            "n_sequences": made.n_sequences,
            "n_lags": made.n_lags,
            "n_events": len(made.events),
            "rate": made.rate,
            "seed": made.seed,
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        made = self.simulated
        fit = f"partwise sequences fit {self.outputs['recording']}"
        epochs = "" if made.missing is None else f" --epochs {self.outputs['epochs']}"
        return [
            f"{made.n_units} units x {made.n_frames:,} frames at {made.rate:g} Hz, "
            f"{len(made.events):,} events of {made.n_sequences} sequences",
            *(f"{name}: {path}" for name, path in self.outputs.items()),
            f"to find them: {fit} --n-lags {made.n_lags}{epochs}",
        ]


def sequences_simulate(
    *,
    options: SequencesSimulateOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesSimulateResult:
    """Simulate a recording in which neurons fire in sequences, and write it with its truth.

    See `partwise.datasets.simulate_sequences`. All files appear together at the end.

    Parameters
    ----------
    options
        How to simulate.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesSimulateOptions`, in place of `options`.

    Returns
    -------
    SequencesSimulateResult
        Where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    ResourceError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> made = sequences_simulate(n_frames=500, n_sequences=2, output_dir=tempfile.mkdtemp())
    >>> made.outputs["recording"].name
    'sequences_20_500.npz'
    """
    options = resolved(SequencesSimulateOptions, options, overrides)
    progress = progress or silent()
    settings: dict[str, Any] = {
        name: value for name, value in vars(options).items() if name not in (*_EACH, *_OURS)
    }
    for name in _EACH:
        given = getattr(options, name)
        settings[name] = given[0] if len(given) == 1 else list(given)
    with progress.stage("simulate"):
        made = simulate_sequences(**settings)
    with open_run_folder(options.output_dir) as folder, progress.stage("write"):
        written = _write(made, folder)
        folder.publish()
    outputs = {kind: folder.folder / name for kind, name in written.items()}
    return SequencesSimulateResult(outputs, made, options)


def _write(made: SimulatedSequences, folder: RunFolder) -> dict[str, str]:
    stem = f"sequences_{made.n_units}_{made.n_frames}"
    written = {"recording": f"{stem}.npz", "truth": f"{stem}_truth.npz"}
    names = np.array([f"unit_{i + 1}" for i in range(made.n_units)])
    with open(folder.path(written["recording"]), "wb") as file:
        arrays: dict[str, Any] = {"rate": np.float64(made.rate), "units": names}
        if not isinstance(made.X, np.ndarray):
            X = made.X
            shape = np.array(X.shape, np.int64)
            arrays |= {"format": np.array(b"csr"), "shape": shape}
            arrays |= {"data": X.data, "indices": X.indices, "indptr": X.indptr}
        else:
            arrays["X"] = made.X
        np.savez_compressed(file, **arrays)
    with open(folder.path(written["truth"]), "wb") as file:
        np.savez_compressed(file, motifs=made.motifs, activations=made.activations)
    tables = {"events": made.events, "units": made.units}
    for kind, table in tables.items():
        columns = dict(table.items())
        # files count factors and units from 1; whoever is in no sequence keeps its -1
        columns["factor"] = np.where(table["factor"] >= 0, table["factor"] + 1, -1)
        if "unit" in columns:
            columns["unit"] = names[table["unit"].to_numpy(dtype=int)]
        written[kind] = f"{stem}_{kind}.csv"
        write_csv(folder.path(written[kind]), columns)
    # also where nothing is lost: that of an earlier recording of this size must not stay
    written["epochs"] = f"{stem}_epochs.csv"
    missing = np.zeros(made.n_frames, bool) if made.missing is None else made.missing
    starts, stops = _there(missing)
    epochs = {"start_frame": starts, "stop_frame": stops}
    write_csv(folder.path(written["epochs"]), epochs)
    return written


def _there(missing: Any) -> tuple[Any, Any]:
    """Return the first frame, and the one after the last, of each stretch that was recorded."""
    edges = np.diff(np.concatenate(([0], (~missing).astype(np.int8), [0])))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
