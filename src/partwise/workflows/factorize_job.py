"""The job behind `partwise factorize`: table -> preparation -> programs and usage -> files, report.

Letters: X is rows x features, W the usage (rows x programs), H the programs (programs x features).
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import DataError
from partwise.factorize.top import top_features
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.any_table import open_any
from partwise.workflows.clock import Clock
from partwise.workflows.factorize_files import write_tables
from partwise.workflows.factorize_options import FactorizeOptions
from partwise.workflows.factorize_report import build_report
from partwise.workflows.factorize_stages import Prepared, Quality, advice, fit_prepared, prepare
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from partwise.io import Table
    from partwise.results import Factorization

__all__ = ["FactorizeOptions", "FactorizeResult", "Findings", "factorize"]


@dataclass(frozen=True)
class Findings:
    """What the stages of a run found, for the files and the report."""

    table: Table
    options: FactorizeOptions
    prepared: Prepared
    model: Any
    fit: Factorization
    usage: npt.NDArray[np.floating[Any]]
    top: pd.DataFrame
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class FactorizeResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    n_rows, features
        Rows of the table, and the names of the features that were factorized.
    model
        The fitted estimator; `partwise.load` reads it back from `outputs["model"]`.
    factorization
        Programs, error, status and loss of the fit.
    usage
        W, n x k.
    outputs
        The files: "usage", "programs", "top", "model", "report", "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    n_rows: int
    features: tuple[str, ...]
    model: Any
    factorization: Factorization
    usage: npt.NDArray[np.floating[Any]]
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: FactorizeOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        fit = self.factorization
        return {
            "input": str(self.input),
            "n_rows": self.n_rows,
            "n_features": len(self.features),
            "n_components": int(fit.programs.shape[0]),
            "loss": self.options.loss,
            "relative_error": fit.relative_error,
            "converged": fit.converged,
            "status": fit.status.advice,
            "n_iter": fit.n_iter,
            "explained": [round(float(share), 6) for share in fit.explained],
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        fit = self.factorization
        k = fit.programs.shape[0]
        return [
            f"{self.n_rows:,} rows x {len(self.features):,} features, {k} "
            f"program{'s' if k > 1 else ''}: {Quality.of_fit(fit, self.options.loss).text}; "
            f"{fit.status.advice}",
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"model: {self.outputs['model']}",
            f"report: {self.outputs['report']}",
        ]


def factorize(
    input: str | os.PathLike[str],
    *,
    options: FactorizeOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> FactorizeResult:
    """Factorize a table into programs and their usage.

    The values are prepared as the options say, and X ~ W H is fitted with W, H >= 0. All files
    appear in the output folder together at the end.

    Parameters
    ----------
    input
        CSV, TSV, parquet, h5ad, zarr, npy, npz or Matrix Market: non-negative numbers, one row per
        observation.
    options
        What to do; see `FactorizeOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `FactorizeOptions`, in place of `options`.

    Returns
    -------
    FactorizeResult
        The model, the usage, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the table cannot be used; names row and column.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.workflows import factorize, simulate
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=600, output_dir=folder).outputs["table"]
    >>> factorize(table, n_components=5, output_dir=folder).usage.shape
    (600, 5)
    """
    options = resolved(FactorizeOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise factorize", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        with clock.stage("read"):
            table = _open(input, options, folder, clock)
        with table:
            found = _find(table, options, n_threads, clock)
            outputs = _write(found, folder, clock, command)
    return FactorizeResult(
        input=Path(input),
        n_rows=table.shape[0],
        features=found.prepared.features,
        model=found.model,
        factorization=found.fit,
        usage=found.usage,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _open(
    input: str | os.PathLike[str], options: FactorizeOptions, folder: RunFolder, clock: Clock
) -> Table:
    return open_any(
        input,
        id_columns=options.id_columns or None,
        features=options.features or None,
        layer=options.layer,
        spool_dir=folder.staging,  # what does not fit into memory goes where there is room
        n_threads=clock.record.n_threads,
        progress=clock.progress,
    )


def _find(table: Table, options: FactorizeOptions, n_threads: int, clock: Clock) -> Findings:
    """Run the stages that compute."""
    with clock.stage("prepare"):
        prepared = prepare(table, options)
    with clock.stage("factorize") as stage, warnings.catch_warnings():
        # what estimators warn of is said by the status of the fit, in the report and at the end
        warnings.simplefilter("ignore")
        model, usage = fit_prepared(prepared, options, n_threads, stage)
    fit = model.result_
    if not fit.programs.any():
        raise DataError("all values are zero: there is nothing to factorize", path=table.path)
    warn_of(clock, [*table.notes, *advice(table, prepared, options, fit)])
    return Findings(
        table=table,
        options=options,
        prepared=prepared,
        model=model,
        fit=fit,
        usage=usage,
        top=top_features(fit.programs, prepared.features, n=options.top),
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(options, prepared, model, table, n_threads),
        seconds=clock.seconds,
    )


def _resolved(
    options: FactorizeOptions, prepared: Prepared, model: Any, table: Table, n_threads: int
) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(options)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = list(options.features) or "all but the id columns"
    used["layer"] = options.layer or ("X" if table.kind in ("h5ad", "zarr") else None)
    used["target"] = prepared.recipe.target
    used["genes"] = len(prepared.features)
    used["max_iter"], used["tol"] = model.max_iter, model.tol
    used["solver"] = model.result_.solver
    used["threads"] = n_threads
    return used


def _write(found: Findings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = write_tables(found, folder, clock.record.n_threads or 1)
    warn_of(clock, notes)

    def report(path: Path, names: dict[str, str]) -> None:
        told = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        write_report(path, build_report(told, names, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results=_results(found),
    )


def _results(found: Findings) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    fit = found.fit
    n, p = found.table.shape
    return {
        "n_rows": n,
        "n_features": p,
        "n_features_used": len(found.prepared.features),
        "n_components": int(fit.programs.shape[0]),
        "preparation": found.prepared.steps,
        "relative_error": fit.relative_error,
        "explained": fit.explained,
        "converged": fit.converged,
        "status": fit.status.advice,
        "n_iter": fit.n_iter,
        **fit.details,
    }
