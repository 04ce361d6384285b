"""The job behind `partwise project`: a saved model and a new table -> usage, files, report."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import DataError
from partwise.factorize.projection import Coverage, restrict, row_fit
from partwise.io import load_model
from partwise.io.writers import write_csv
from partwise.prepare.recipe import PreparedSource, Recipe
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.any_table import open_any
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.project_options import ProjectOptions
from partwise.workflows.project_report import build_report
from partwise.workflows.usage_files import UsageTables, Written, program_names, write_usage

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.io import Table

__all__ = ["Findings", "ProjectOptions", "ProjectResult", "project"]


@dataclass(frozen=True)
class Findings:
    """What the stages of a run found, for the files and the report."""

    table: Table
    options: ProjectOptions
    model: Any
    narrowed: Any
    columns: npt.NDArray[np.intp]
    coverage: Coverage
    recipe: Recipe
    usage: npt.NDArray[np.floating[Any]]
    fit: npt.NDArray[np.float64]
    warnings: tuple[str, ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class ProjectResult:
    """What a run found and where its files are.

    Attributes
    ----------
    model, input
        The files that were read.
    usage
        W, n x k.
    fit
        How well each row is fitted, n: 1 is exact; see `partwise.factorize.projection.row_fit`.
    coverage
        How much of the model the new features cover.
    outputs
        The files: "usage", "coverage", "report", "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    model: Path
    input: Path
    usage: npt.NDArray[np.floating[Any]]
    fit: npt.NDArray[np.float64]
    coverage: Coverage
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: ProjectOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "model": str(self.model),
            "input": str(self.input),
            "n_rows": int(self.usage.shape[0]),
            "n_components": int(self.usage.shape[1]),
            **_facts(self.coverage, self.fit),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        found, (n, k) = self.coverage, self.usage.shape
        return [
            f"{n:,} rows on {k} programs; {found.n_shared:,} of the model's {found.n_model:,} "
            f"features are there, each program covered to {100 * found.lowest:.1f} % or more",
            _fit_line(self.fit),
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"usage: {self.outputs['usage']}",
            f"report: {self.outputs['report']}",
        ]


def project(
    model: str | os.PathLike[str],
    input: str | os.PathLike[str],
    *,
    options: ProjectOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> ProjectResult:
    """Find the usage of a saved model's programs by the rows of a new table.

    Features are matched by name. Those that the model does not know are ignored; where features of
    the model are missing, each row is fitted on those that are there (they are not taken as zeros).
    The preparation that the model records is repeated on the new values, over all their features.

    Parameters
    ----------
    model
        What `partwise factorize` or `partwise.save` wrote.
    input
        The new table, of any kind that can be opened.
    options
        What to do; see `ProjectOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `ProjectOptions`, in place of `options`.

    Returns
    -------
    ProjectResult
        Usage, fit of each row, coverage, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used, or the model has no names of features.
    DataError
        If a file cannot be used, or the features cover too little of a program.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.workflows import factorize, project, simulate
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=600, output_dir=folder).outputs["table"]
    >>> fitted = factorize(table, n_components=5, output_dir=folder)
    >>> found = project(fitted.outputs["model"], table, output_dir=folder)
    >>> bool(abs(found.usage - fitted.usage).max() < 1e-3)
    True
    """
    options = resolved(ProjectOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    files = os.fspath(model), os.fspath(input)
    command = command_line(f"partwise project {files[0]}", files[1], options)
    record = RunRecord(command, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        for file in files:
            record.add_input(file)
        with clock.stage("read"):
            fitted = load_model(model)
            table = open_any(
                input,
                id_columns=options.id_columns or None,
                layer=options.layer,
                spool_dir=folder.staging,
                min_rows=1,
                n_threads=n_threads,
                progress=clock.progress,
            )
        with table:
            found = _find(fitted, table, options, n_threads, clock)
            outputs = _write(found, folder, clock, command)
    return ProjectResult(
        model=Path(model),
        input=Path(input),
        usage=found.usage,
        fit=found.fit,
        coverage=found.coverage,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _find(
    model: Any, table: Table, options: ProjectOptions, n_threads: int, clock: Clock
) -> Findings:
    """Run the stages that compute."""
    found = restrict(model, table.features)
    low = _check_coverage(found.coverage, options)
    recipe = Recipe() if options.prepared else Recipe.of(model)
    with clock.stage("prepare"):
        # in the order of the table
        X = _columns(recipe.apply(table.matrix), np.sort(found.columns))
    narrowed = found.in_order()
    narrowed.n_threads = n_threads
    with clock.stage("project"):
        usage = narrowed.transform(X)
        fit = row_fit(X, usage, narrowed.components_, loss=getattr(narrowed, "loss", "frobenius"))
    warn_of(clock, [*table.notes, *low, *_advice(found.coverage, usage, recipe)])
    return Findings(
        table=table,
        options=options,
        model=model,
        narrowed=narrowed,
        columns=np.sort(found.columns),
        coverage=found.coverage,
        recipe=recipe,
        usage=usage,
        fit=fit,
        warnings=tuple(clock.record.warnings),
        seconds=clock.seconds,
    )


def _check_coverage(coverage: Coverage, options: ProjectOptions) -> list[str]:
    """Refuse a coverage that is too low, or return the warning where that is allowed."""
    try:
        coverage.require(options.min_coverage)
    except DataError as error:
        if not options.allow:
            raise DataError(
                f"{error} To project all the same: --allow, or a lower --min-coverage"
            ) from None
        return [str(error)]
    return []


def _columns(X: Any, columns: npt.NDArray[np.intp]) -> Any:
    if hasattr(X, "blocks"):
        return PreparedSource(X, Recipe(), columns)
    return X[:, columns]


def _advice(coverage: Coverage, usage: npt.NDArray[Any], recipe: Recipe) -> list[str]:
    """Return what the results ask the user to look at."""
    texts = []
    if coverage.missing:
        totals = " The totals to which rows are scaled are without them." if recipe.target else ""
        texts.append(
            f"{len(coverage.missing):,} of the model's {coverage.n_model:,} features are missing; "
            f"rows are fitted on the others.{totals}"
        )
    idle = int((usage.max(axis=1, initial=0.0) == 0).sum())
    if idle:
        texts.append(f"{idle:,} {'row uses' if idle == 1 else 'rows use'} no program")
    return texts


def _write(found: Findings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = _write_tables(found, folder, clock.record.n_threads or 1)
    warn_of(clock, notes)

    def report(path: Path, names: dict[str, str]) -> None:
        told = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        write_report(path, build_report(told, names, command))

    used = dataclasses.asdict(found.options)
    used["id_columns"] = list(found.table.ids.columns)
    used["threads"] = clock.record.n_threads
    results = {
        "n_rows": found.table.shape[0],
        "n_components": found.usage.shape[1],
        "preparation": found.recipe.steps,
        **_facts(found.coverage, found.fit),
        "missing_features": list(found.coverage.missing),
    }
    return finish(folder, clock, written, report=report, parameters=used, results=results)


def _write_tables(found: Findings, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write usage and coverage."""
    stem, coverage = found.table.name, found.coverage
    where = {"preparation": found.recipe.text}
    record = _slots.fit_record(found.narrowed, where)
    record["coverage"] = _slots.plain(
        {"features": coverage.features, "programs": coverage.programs}
    )
    data = UsageTables(
        table=found.table,
        usage=found.usage,
        programs=found.narrowed.components_,
        kept=found.columns,
        columns={"fit": found.fit},
        record=record,
    )
    written, notes = write_usage(data, folder, found.options.formats, n_threads)
    there = np.isin(found.model.feature_names_in_, list(coverage.missing), invert=True)
    weights = np.asarray(found.model.components_, np.float64)
    total = weights.sum(axis=1, keepdims=True)
    share = (weights / np.where(total > 0, total, 1.0)).max(axis=0)
    name = f"{stem}_features.csv"
    written["features"] = (name, "which features of the model are there, and how much they weigh")
    columns = {
        "feature": [str(feature) for feature in found.model.feature_names_in_],
        "present": np.where(there, "yes", "no"),
        "largest_share_of_a_program": share,
    }
    notes += write_csv(folder.path(name), columns, identifiers=["feature"])
    name = f"{stem}_coverage.csv"
    written["coverage"] = (name, "share of each program's weight that is on features there")
    programs = {"program": list(program_names(len(weights))), "covered": coverage.programs}
    notes += write_csv(folder.path(name), programs)
    return written, notes


def _facts(coverage: Coverage, fit: npt.NDArray[np.float64]) -> dict[str, Any]:
    return {
        "n_features_model": coverage.n_model,
        "n_features_new": coverage.n_new,
        "n_features_shared": coverage.n_shared,
        "coverage_features": coverage.features,
        "coverage_programs": [round(float(share), 6) for share in coverage.programs],
        "coverage_lowest": coverage.lowest,
        "fit_median": _median(fit),
    }


def _fit_line(fit: npt.NDArray[np.float64]) -> str:
    median = _median(fit)
    if median is None:
        return "fit of a row: no row has values other than zero"
    return f"fit of a row (1 is exact): median {median:.3f}"


def _median(fit: npt.NDArray[np.float64]) -> float | None:
    known = fit[np.isfinite(fit)]
    return float(np.median(known)) if known.size else None
