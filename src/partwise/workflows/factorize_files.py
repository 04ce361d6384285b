"""The tables and the model that the factorize job writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from partwise import _slots
from partwise.io import save_model
from partwise.io.writers import write_csv, write_parquet
from partwise.workflows.usage_files import UsageTables, Written, program_names, write_usage

if TYPE_CHECKING:
    from partwise.workflows.factorize_job import Findings
    from partwise.workflows.outputs import RunFolder

__all__ = ["write_tables"]


def write_tables(found: Findings, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write usage, programs, leading features and the model.

    Parameters
    ----------
    found
        What a run found.
    folder
        Where its files go.
    n_threads
        Threads.

    Returns
    -------
    written
        The files, by kind.
    notes
        What the user should know about them.
    """
    stem, formats = found.table.name, found.options.formats
    data = UsageTables(
        table=found.table,
        usage=found.usage,
        programs=found.fit.programs,
        kept=found.prepared.kept,
        columns={},
        record=_slots.fit_record(found.model, {"preparation": found.prepared.recipe.text}),
    )
    written, notes = write_usage(data, folder, formats, n_threads)
    written["programs"] = (f"{stem}_programs.csv", "weight of each feature in each program")
    written["top"] = (f"{stem}_top_features.csv", "the leading features of each program")
    written["model"] = (f"{stem}_model.npz", "the fitted model, for partwise project and load")
    path = {kind: folder.path(written[kind][0]) for kind in ("programs", "top", "model")}
    features = _features(found)
    notes += write_csv(path["programs"], features, identifiers=["feature"])
    notes += write_csv(
        path["top"], {str(name): found.top[name] for name in found.top}, identifiers=["feature"]
    )
    save_model(found.model, path["model"])
    if "parquet" in formats:
        name = f"{stem}_programs.parquet"
        notes += write_parquet(folder.path(name), features)
        written["programs_parquet"] = (name, "the same as the CSV, typed and compressed")
    return written, notes


def _features(found: Findings) -> dict[str, Any]:
    """Return H transposed: a row per feature."""
    columns: dict[str, Any] = {"feature": list(found.prepared.features)}
    names = program_names(found.fit.programs.shape[0])
    columns.update(zip(names, found.fit.programs, strict=True))
    return columns
