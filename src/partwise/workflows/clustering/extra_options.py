"""Options of the cluster job beyond those of the original: declarations and their checks.

Imports nothing heavy, as all modules of options.
"""

from __future__ import annotations

import math
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, option

__all__ = [
    "METRICS",
    "SAMPLE_SHARE",
    "SMALL",
    "check_fovs",
    "check_sample",
    "check_small",
    "color_by_option",
    "least_cells",
    "metric_option",
    "min_cluster_size_option",
    "normalize_by_fov_option",
    "normalize_usage_option",
    "settings_option",
    "small_option",
    "subsample_fraction_option",
    "subsample_option",
    "svd_option",
]

SAMPLE_SHARE = 0.1
METRICS = ("euclidean", "cosine")
SMALL = ("reassign", "mark")
_INPUT, _GRAPH, _OUTPUT = "Input", "Clusters", "Output"


def subsample_option() -> Any:
    """Declare the column by which a sample is stratified."""
    return option(
        None,
        "--subsample",
        kind=str,
        help="Work on a random sample of the cells, with the same share of each value of this "
        "column (fov, batch, patient).",
        section=_INPUT,
        shown_default="all cells",
    )


def subsample_fraction_option() -> Any:
    """Declare the share of the cells to draw."""
    return option(
        None,
        "--subsample-fraction",
        kind=float,
        help="Share of the cells to draw; without --subsample a plain random sample.",
        section=_INPUT,
        shown_default=f"{SAMPLE_SHARE} with --subsample",
    )


def normalize_by_fov_option() -> Any:
    """Declare the division by the means of fields of view."""
    return option(
        False,
        "--normalize-by-fov",
        kind=bool,
        help="Divide each feature by its mean over the cells of the same fov, so that fields of "
        "view are comparable.",
        section=_INPUT,
    )


def svd_option() -> Any:
    """Declare the spectrum of the table."""
    return option(
        False,
        "--svd",
        kind=bool,
        help="Also say how many components explain 90, 95 and 99 % of the variance of the table, "
        "as advice for -n.",
        section=_OUTPUT,
    )


def color_by_option() -> Any:
    """Declare the columns beside which clusters are drawn."""
    return option(
        (),
        "--color-by",
        kind=tuple,
        help="Columns (batch, patient, area) by which the cells are coloured, and the clusters "
        "described, in the report.",
        section=_OUTPUT,
        shown_default="none",
    )


def metric_option() -> Any:
    """Declare the distance between cells."""
    return option(
        "euclidean",
        "--metric",
        kind=str,
        choices=METRICS,
        help="Distance between the reconstructions of two cells; cosine compares directions only.",
        section=_GRAPH,
    )


def settings_option() -> Any:
    """Declare several settings of one run."""
    return option(
        (),
        "--settings",
        kind=tuple,
        help="Several settings in one run: 'n k r' each, or a file with a line for each; the first "
        "is reported in full, all are compared. In place of -n, -k and -r.",
        section=_GRAPH,
        shown_default="one, of -n, -k and -r",
    )


def normalize_usage_option() -> Any:
    """Declare the comparison of shares."""
    return option(
        False,
        "--normalize-usage",
        kind=bool,
        help="Compare cells by the shares of the factors in them, not by their amounts.",
        section=_GRAPH,
    )


def min_cluster_size_option() -> Any:
    """Declare how many cells a cluster must have."""
    return option(
        None,
        "--min-cluster-size",
        kind=str,
        help="Cells, or a percentage of all (1%), that a cluster must have; see --small.",
        section=_GRAPH,
        shown_default="any size",
    )


def small_option() -> Any:
    """Declare what becomes of smaller clusters."""
    return option(
        "reassign",
        "--small",
        kind=str,
        choices=SMALL,
        help="What becomes of the cells of clusters smaller than --min-cluster-size: reassign to "
        "the nearest of the others, or mark by leiden_cluster -2.",
        section=_GRAPH,
    )


def least_cells(size: str | int, n_cells: int) -> int:
    """Return how many cells a cluster must have, from a number or a percentage of all.

    Examples
    --------
    >>> least_cells("50", 1000), least_cells("1%", 1001)
    (50, 11)
    """
    text = str(size).strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1])
            if 0 < share <= 100:
                return math.ceil(n_cells * share / 100)
        elif int(text) >= 1:
            return int(text)
    except ValueError:
        pass
    raise UsageError(
        f"min_cluster_size must be a number of cells, such as 50, or a percentage, such as 1%; not "
        f"{size!r}"
    )


def check_small(options: Any) -> None:
    """Raise `UsageError` unless the options of small clusters can be used."""
    check_choice("small", options.small, SMALL)
    if options.min_cluster_size is not None:
        least_cells(options.min_cluster_size, 1)


def check_fovs(options: Any) -> None:
    """Raise `UsageError` where values are to be normalised by fields of view that are not there."""
    if options.normalize_by_fov and options.fov_column == "none":
        raise UsageError(
            "normalize_by_fov needs fields of view, but --fov none says there are none"
        )


def check_sample(options: Any) -> None:
    """Raise `UsageError` unless the options of the sample fit each other."""
    fraction = options.subsample_fraction
    if options.subsample is not None and not options.subsample:
        raise UsageError("subsample must be the name of a column, such as fov")
    if fraction is None:
        return
    check_number("subsample_fraction", fraction, above=0.0)
    if fraction > 1:
        raise UsageError(f"subsample_fraction must be from 0 to 1, not {fraction!r}")
