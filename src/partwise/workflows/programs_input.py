"""Counts in: any table, and the folder of Matrix Market files that 10x Genomics writes."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import DataError, UsageError
from partwise.io import open_table
from partwise.workflows.any_table import open_any

if TYPE_CHECKING:
    from partwise.io import Table

__all__ = ["matrix_in", "open_counts", "open_folder"]

_MATRICES = ("matrix.mtx.gz", "matrix.mtx")
_GENES = ("features.tsv.gz", "features.tsv", "genes.tsv", "genes.tsv.gz")
_CELLS = ("barcodes.tsv.gz", "barcodes.tsv")
#: Column of the names of genes: an identifier, then the symbol, then the kind of feature.
_SYMBOL, _KIND = 1, 2
_EXPRESSION = "Gene Expression"


def open_counts(
    path: str | os.PathLike[str],
    *,
    features: Sequence[str] | None = None,
    id_columns: Sequence[str] | None = None,
    **settings: Any,
) -> Table:
    """Open counts, one row per cell.

    Parameters
    ----------
    path
        What `open_any` opens: any table, or a folder with matrix.mtx, barcodes.tsv and
        features.tsv or genes.tsv (each also .gz), genes in rows. Genes are then called by their
        symbol, with the identifier behind it where several share one; features of another kind
        than gene expression are left out.
    features
        Glob patterns of the genes to read.
    id_columns
        Columns that describe cells; the names of the cells of an AnnData come before them. A 10x
        folder has barcodes only.
    **settings
        Handed to `open_table`.

    Returns
    -------
    Table
        Cells x genes.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the names do not fit the matrix.
    UsageError
        If the options do not go with a folder.
    """
    return open_any(path, id_columns=id_columns, features=features, **settings)


def matrix_in(folder: Path) -> Path | None:
    """Return the matrix of a folder of Matrix Market files; None if it is none."""
    return _first(folder, _MATRICES) if folder.is_dir() else None


def open_folder(
    folder: Path,
    matrix: Path,
    id_columns: Sequence[str] | None,
    patterns: Sequence[str] | None,
    settings: dict[str, Any],
) -> Table:
    """Open a folder of Matrix Market files, genes in rows; see `open_counts`.

    Parameters
    ----------
    folder, matrix
        The folder, and the matrix in it.
    id_columns
        Columns that describe cells, of which there are none beside the barcodes.
    patterns
        Glob patterns of the genes to read.
    settings
        Handed to `open_table`.

    Returns
    -------
    Table
        Cells x genes.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the names do not fit the matrix.
    UsageError
        If the options do not go with a folder.
    """
    if id_columns or settings.get("layer"):
        raise UsageError(f"{folder}: a 10x folder has barcodes, no other columns and no layers")
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    from partwise.io.columns import match_features

    genes, cells = _rows(folder, _GENES), _rows(folder, _CELLS)
    with open_table(matrix, **settings) as table:
        if table.shape != (len(genes), len(cells)):
            raise DataError(
                f"the matrix is {table.shape[0]:,} x {table.shape[1]:,}, but there are "
                f"{len(genes):,} genes and {len(cells):,} barcodes",
                path=matrix,
            )
        parts = table.matrix
        if hasattr(parts, "blocks"):
            parts = sp.vstack([sp.csr_matrix(block) for _, block in parts.blocks(0, len(genes))])
        by_cell = sp.csr_matrix(sp.csr_matrix(parts).T)
    kept = [j for j, row in enumerate(genes) if row[_KIND : _KIND + 1] in ([], [_EXPRESSION])]
    notes = []
    if len(kept) < len(genes):
        notes.append(f"{len(genes) - len(kept):,} features that are no genes were left out")
    names = _symbols([genes[j] for j in kept])
    columns = np.array(kept, np.intp)
    if patterns is not None:
        chosen = match_features(names, list(patterns), path=folder)
        names, columns = [names[j] for j in chosen], columns[np.asarray(chosen)]
    if len(columns) < len(genes):
        by_cell = by_cell[:, columns]
    barcodes = pd.array([row[0] for row in cells], dtype="string[pyarrow]")
    return dataclasses.replace(
        table,
        path=folder,
        name=folder.name or "counts",
        kind="mtx",
        ids=pd.DataFrame({"cell": barcodes}),
        features=tuple(names),
        matrix=by_cell,
        notes=tuple(notes),
        _close=None,
    )


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _rows(folder: Path, names: Sequence[str]) -> list[list[str]]:
    """Return the rows of a table of names."""
    path = _first(folder, names)
    if path is None:
        raise DataError(f"the folder has matrix.mtx but no {names[0]} or {names[1]}", path=folder)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = raw.decode("utf-8").splitlines()
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DataError(f"the file is damaged or no text ({error})", path=path) from error
    return [row for row in rows if row]


def _symbols(genes: list[list[str]]) -> list[str]:
    """Return one name per gene that no other has: the symbol, or symbol and identifier."""
    symbols = [row[_SYMBOL] if len(row) > _SYMBOL and row[_SYMBOL] else row[0] for row in genes]
    seen: dict[str, int] = {}
    for symbol in symbols:
        seen[symbol] = seen.get(symbol, 0) + 1
    names = [
        symbol if seen[symbol] == 1 else f"{symbol} ({row[0]})"
        for symbol, row in zip(symbols, genes, strict=True)
    ]
    if len(set(names)) < len(names):
        names = [f"{name} #{j + 1}" for j, name in enumerate(names)]
    return names
