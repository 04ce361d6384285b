"""Options of the cluster job beyond those of the original: declarations and their checks.

Imports nothing heavy, as all modules of options.
"""

from __future__ import annotations

from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_number, option

__all__ = [
    "SAMPLE_SHARE",
    "check_sample",
    "normalize_by_fov_option",
    "subsample_fraction_option",
    "subsample_option",
]

SAMPLE_SHARE = 0.1
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
