"""Options of the cluster job about tissue, groups of patients and new cells.

Imports nothing heavy, as all modules of options.
"""

from __future__ import annotations

from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_number, check_whole, option

__all__ = [
    "LEAST_COVERAGE",
    "allow_option",
    "by_option",
    "check_tissue",
    "compare_option",
    "map_fovs_option",
    "maps_option",
    "min_coverage_option",
    "model_option",
]

LEAST_COVERAGE = 0.5
_NEW, _GROUPS, _TISSUE = "New cells", "Groups of patients", "Tissue"


def model_option() -> Any:
    """Declare the model whose niches new cells are assigned to."""
    return option(
        None,
        "--model",
        kind=str,
        help="Assign the cells to the niches of this model, in place of finding new ones: a model "
        "file of an earlier run, or its folder.",
        section=_NEW,
    )


def min_coverage_option() -> Any:
    """Declare how much of a model new features have to cover."""
    return option(
        None,
        "--min-coverage",
        kind=float,
        help="With --model: least share of each factor's weight that must be on features that are "
        "there.",
        section=_NEW,
        shown_default=str(LEAST_COVERAGE),
    )


def allow_option() -> Any:
    """Declare that too low a coverage is a warning."""
    return option(
        False,
        "--allow",
        kind=bool,
        help="With --model: warn in place of refusing where --min-coverage is not reached.",
        section=_NEW,
    )


def compare_option() -> Any:
    """Declare the column of groups that are compared."""
    return option(
        None,
        "--compare",
        kind=str,
        help="Test whether the fractions of clusters differ between the groups in this column; "
        "needs --by.",
        section=_GROUPS,
        matters="run",
    )


def by_option() -> Any:
    """Declare the column of patients."""
    return option(
        None,
        "--by",
        kind=str,
        help="Column that says which patient a cell is of: patients are compared, not cells.",
        section=_GROUPS,
        matters="run",
    )


def maps_option() -> Any:
    """Declare how many fields of view are drawn."""
    return option(
        None,
        "--maps",
        kind=int,
        help="Fields of view to draw where cells have coordinates, chosen for the clusters if "
        "there are more; 0 draws none.",
        section=_TISSUE,
        shown_default="12",
        matters="run",
    )


def map_fovs_option() -> Any:
    """Declare which fields of view are drawn."""
    return option(
        (),
        "--map-fovs",
        kind=tuple,
        help="Names of the fields of view to draw, in place of chosen ones.",
        section=_TISSUE,
        shown_default="chosen for the clusters",
        matters="run",
    )


def check_tissue(options: Any) -> None:
    """Raise `UsageError` unless the options of tissue, groups and new cells fit each other."""
    for name in ("model", "compare", "by"):
        if getattr(options, name) == "":
            raise UsageError(f"{name} must be a name, not empty")
    if options.compare is not None and options.by is None:
        raise UsageError(
            "compare needs by, the column that says which patient a cell is of: cells of one "
            "patient are not independent. For example: --compare group --by patient"
        )
    if options.by is not None and options.compare is None:
        raise UsageError("by needs compare, the column of the groups: --compare group --by patient")
    if options.model is None:
        for name, flag in (("min_coverage", "--min-coverage"), ("allow", "--allow")):
            if getattr(options, name):
                raise UsageError(f"{flag} needs --model: it is about new cells in known niches")
    if options.min_coverage is not None:
        check_number("min_coverage", options.min_coverage)
        if options.min_coverage > 1:
            raise UsageError(
                f"min_coverage must be a share from 0 to 1, not {options.min_coverage}"
            )
    if options.maps is not None:
        check_whole("maps", options.maps, least=0)
        if options.map_fovs:
            raise UsageError("give either maps, a number, or map_fovs, names; not both")
