"""The tables that the programs job writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.factorize import top_genes
from partwise.io.writers import write_csv, write_parquet
from partwise.workflows.usage_files import UsageTables, Written, program_names, write_usage

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.outputs import RunFolder
    from partwise.workflows.programs_job import Findings

__all__ = ["write_tables"]


def write_tables(
    found: Findings, table: Table, folder: RunFolder, n_threads: int
) -> tuple[Written, list[str]]:
    """Write usage, programs, scores, top genes, ranks and genes.

    Parameters
    ----------
    found
        What a run found.
    table
        The counts it was found in.
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
    stem, formats = found.name, found.options.formats
    data = UsageTables(
        table=table,
        usage=found.programs.usage,
        programs=found.programs.per_million,
        kept=found.counts.kept,
        columns={"main_program": _main_programs(found)},
        record=_record(found),
    )
    written, notes = write_usage(data, folder, formats, n_threads)
    tables: dict[str, tuple[str, str, dict[str, Any]]] = {
        "programs": (
            f"{stem}_programs",
            "programs in transcripts per million, genes in enough cells",
            _by_gene(found, found.programs.per_million),
        ),
        "gene_scores": (
            f"{stem}_gene_scores",
            "how strongly each gene goes with each program, z-scores",
            _by_gene(found, found.programs.scores),
        ),
        "top_genes": (f"{stem}_top_genes", "genes of highest score per program", _top(found)),
        "ranks": (f"{stem}_ranks", "stability and error of each number of programs", _ranks(found)),
        "genes": (
            f"{stem}_genes",
            "over-dispersion of each gene, and which were chosen",
            _genes(found),
        ),
    }
    for kind, (name, text, columns) in tables.items():
        names = [*found.programs_names] if kind == "top_genes" else ["gene"]
        notes += write_csv(folder.path(f"{name}.csv"), columns, identifiers=names)
        written[kind] = (f"{name}.csv", text)
        if "parquet" in formats:
            notes += write_parquet(folder.path(f"{name}.parquet"), columns)
            written[f"{kind}_parquet"] = (f"{name}.parquet", "the same, typed and compressed")
    return written, notes


def _main_programs(found: Findings) -> list[str]:
    """Return the program that each cell uses most; empty text where it uses none."""
    names = np.array([*program_names(found.programs.usage.shape[1]), ""], dtype=object)
    best = found.programs.usage.argmax(axis=1)
    best[found.programs.usage.max(axis=1) <= 0] = -1
    return [str(name) for name in names[best]]


def _by_gene(found: Findings, values: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {"gene": list(found.counts.features)}
    rows = values.astype(np.float32)  # seven digits are more than the data have
    columns.update(zip(found.programs_names, rows, strict=True))
    return columns


def _top(found: Findings) -> dict[str, Any]:
    table = top_genes(found.programs.scores, found.counts.features, n=found.options.top)
    return {"rank": table.index.to_numpy(), **{str(name): list(table[name]) for name in table}}


def _ranks(found: Findings) -> dict[str, Any]:
    ranks = found.ranks
    return {
        "n_programs": ranks.ranks,
        "stability": ranks.stability,
        "error": ranks.error,
        "relative_error": ranks.relative_error,
        "unconverged_fits": ranks.unconverged,
        "recommended": (ranks.ranks == ranks.recommended).astype(np.int8),
        "chosen": (ranks.ranks == found.n_programs).astype(np.int8),
    }


def _genes(found: Findings) -> dict[str, Any]:
    genes = found.counts.genes
    scale = np.full(len(genes.mean), np.nan)
    scale[genes.indices] = found.counts.scaled.scale
    return {
        "gene": list(found.counts.features),
        "mean_per_million": genes.mean,
        "fano": genes.fano,
        "expected_fano": genes.expected,
        "overdispersion": genes.score,
        "chosen": genes.selected.astype(np.int8),
        "standard_deviation_of_counts": scale,
    }


def _record(found: Findings) -> dict[str, Any]:
    """Return what `uns["nmf"]` of the h5ad holds."""
    result = found.programs.model.result_
    return {
        "params": found.parameters,
        "estimator": "ConsensusNMF",
        "n_components": found.n_programs,
        "loss": "frobenius",
        "preparation": "programs in transcripts per million; usage of counts at unit variance",
        "stability": result.stability,
        "relative_error": result.relative_error,
    }
