"""What tuning tells before and after it measures: what to expect, and what to run then."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from partwise.exceptions import DataError
from partwise.io.columns import DEFAULT_ID_COLUMNS
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.options import command_line
from partwise.workflows.tuning.options import TuneOptions, shared_options

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.tuning.sample import CellSample
    from partwise.workflows.tuning.types import TuneResult

__all__ = ["FEWEST_VALUES", "advice_before", "check_size", "recommended_command"]

#: A tenth of the values is hidden, and no fewer than ten can be.
FEWEST_VALUES = 100


def check_size(sample: CellSample, options: TuneOptions) -> None:
    """Raise `DataError` if the sample is too small to hide some of its values.

    Parameters
    ----------
    sample
        The cells, m x p.
    options
        What was asked for.
    """
    m, p = sample.values.shape
    if m * p >= FEWEST_VALUES:
        return
    more = "" if sample.complete else f"; draw more than {options.n_cells:,} (--n-cells)"
    raise DataError(
        f"{m:,} cells x {p:,} features are too few to compare settings on: {FEWEST_VALUES} values "
        f"are needed, and a few hundred cells for a result that means something{more}"
    )


def advice_before(sample: CellSample, options: TuneOptions, least: int) -> list[str]:
    """Return what the options and the shape of the sample let us expect.

    Parameters
    ----------
    sample
        The cells, m x p.
    options
        What was asked for.
    least
        Cells below which a cluster is small.
    """
    m, p = sample.values.shape
    texts = []
    if m > options.n_cells:
        texts.append(
            f"{m:,} cells were drawn in place of {options.n_cells:,} (--n-cells): one at least of "
            f"each of the {len(sample.strata):,} values of {sample.by}"
        )
    beyond = [n for n in options.n_components if n > min(m, p)]
    if beyond:
        few = "features" if p <= m else "cells"
        texts.append(
            f"--tune-n {','.join(map(str, beyond))}: more factors than the {min(m, p)} {few}; that "
            "many reproduce the table exactly, and more are not determined by it. For factors "
            f"that mean something choose --tune-n up to {max(1, min(m, p) - 1)}"
        )
    wide = [k for k in options.n_neighbors if k >= m]
    if wide:
        texts.append(
            f"--tune-k {','.join(map(str, wide))}: not less than the {m:,} cells; each cell is "
            "joined to all others"
        )
    if least * 2 > m:
        texts.append(
            f"min_cluster_size (--min-cluster-size {options.min_cluster_size}) is more than half "
            f"of the {m:,} cells: no setting with two clusters can pass; choose a smaller one"
        )
    return texts


def recommended_command(input: str, table: Table, options: TuneOptions, result: TuneResult) -> str:
    """Return the command that clusters all cells with the recommended setting.

    Parameters
    ----------
    input
        The file, as the user named it.
    table
        What was read from it.
    options
        Of the tuning; what says how to read the table and which seed to use is handed on.
    result
        What tuning found.
    """
    found = result.recommendation
    shared = shared_options(ClusterOptions)
    values = {name: getattr(options, name) for name in shared}
    values["id_columns"] = _id_columns(table, options)
    same = ClusterOptions(**values)
    words = shlex.split(command_line("partwise cluster", input, same))
    numbers = {"-n": found.n_components, "-k": found.n_neighbors, "-r": found.resolution}
    chosen = [str(word) for pair in numbers.items() for word in pair]
    return shlex.join([*words[:3], *chosen, *words[3:]])


def _id_columns(table: Table, options: TuneOptions) -> tuple[str, ...]:
    """Return the id columns that `cluster` must be told so that the batch is no feature."""
    if options.batch is None or table.kind in ("h5ad", "zarr"):
        return options.id_columns
    named = options.id_columns or DEFAULT_ID_COLUMNS
    return tuple(dict.fromkeys((*named, options.batch)))
