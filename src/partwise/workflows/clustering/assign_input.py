"""What `partwise cluster --model` is given: which model, and how the new table is read for it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import DataError, UsageError
from partwise.io import load_model
from partwise.io.peek import peek
from partwise.workflows.cells import is_cells
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.clustering.niches import COUNTING, Niches, read_niches
from partwise.workflows.options import specs

if TYPE_CHECKING:
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["Known", "find_model", "known_niches", "table_options"]

#: Options that mean something for new cells; all others say how niches are found.
_OWN = (
    *("model", "min_coverage", "allow", "compare", "by", "maps", "map_fovs", "id_columns"),
    *("features", "output_dir", "formats", "threads", "memory", "chunksize", "seed"),
    *("coordinates", "type_column", "fov_column"),
)
#: Those of them that are as in the run that made the model, unless they are given.
_KEPT = ("id_columns", "features", "coordinates", "type_column", "fov_column")
#: Options of that run which concern its own cells alone.
_OF_THE_FIT = ("subsample", "subsample_fraction")
#: Flags of parts that only the report of a run that finds niches has.
_OF_A_REPORT = ("--color-by", "--svd", "--umap")
#: With more features all columns are read, and matched by name then.
_MOST_BY_NAME = 500


@dataclass(frozen=True)
class Known:
    """A model, its niches, and the options that follow from them.

    Attributes
    ----------
    path
        The model file.
    model, niches
        The programs, k, and the niches.
    options
        What was asked for, with what the model says of the preparation.
    """

    path: Path
    model: Any
    niches: Niches
    options: ClusterOptions

    @property
    def features(self) -> list[str]:
        """Names of the features of the model."""
        return [str(name) for name in getattr(self.model, "feature_names_in_", ())]


def known_niches(options: ClusterOptions) -> Known:
    """Load the model that the options name.

    Parameters
    ----------
    options
        What was asked for; `options.model` is a model file of `partwise cluster`, or its folder.

    Returns
    -------
    Known
        Model, niches, and the options with those of the preparation as the model has them.

    Raises
    ------
    UsageError
        If an option is given that says how niches are found: those of the model are known.
    DataError
        If there is no model, or it has no niches.
    """
    path = find_model(options.model or "")
    model = load_model(path)
    niches = read_niches(model, path)
    return Known(path, model, niches, _effective(options, niches))


def find_model(path: str | os.PathLike[str]) -> Path:
    """Return the model file that a path names: the file itself, or the one in a folder.

    Raises
    ------
    DataError
        If there is none, or more than one in the folder.
    """
    place = Path(path)
    if not place.is_dir():
        if not place.exists():
            raise DataError("--model: there is no such file or folder", path=place)
        return place
    models = sorted(place.glob("*_nmf_model.npz"))
    if len(models) == 1:
        return models[0]
    if not models:
        raise DataError(
            "--model: there is no model (*_nmf_model.npz) in this folder; name the folder that "
            "`partwise cluster` wrote, or the file itself",
            path=place,
        )
    names = ", ".join(model.name for model in models[:6])
    raise DataError(
        f"--model: there are {len(models)} models in this folder, name one of them: {names}",
        path=place,
    )


def table_options(input: str | os.PathLike[str], known: Known, asked: ClusterOptions) -> Any:
    """Return the options with which the new table is read.

    Only the columns that the model knows are read; what else the table has is not looked at.
    Neighbourhoods are counted as the model has it if it is a table of cells; if it is not, how
    that is done has no meaning.

    Parameters
    ----------
    input
        The new table; only its beginning is read.
    known
        The model.
    asked
        What was asked for.

    Raises
    ------
    DataError
        If the table cannot be read.
    """
    names = known.features
    found = peek(Path(input), wanted=tuple(names))
    columns = set() if found is None else {*found.names, *found.features}
    there = tuple(name for name in names if name in columns)
    options = known.options
    if there and len(names) <= _MOST_BY_NAME and not asked.features:
        options = dataclasses.replace(options, features=there)
    try:
        is_cells(Path(input), options)
    except UsageError:
        if not there:
            raise DataError(
                f"none of the model's {len(names):,} features ({names[0]!r}, ...) is a column, and "
                "there are no cells around which they could be counted: for that, name the columns "
                "of position and type with --coordinates and --type",
                path=Path(input),
            ) from None
        fields = dataclasses.fields(CellOptions)
        return dataclasses.replace(options, **{f.name: getattr(asked, f.name) for f in fields})
    return options


def _effective(options: ClusterOptions, niches: Niches) -> ClusterOptions:
    """Return the options, with those of the preparation as the model has them."""
    settings = {spec.name: spec for spec in specs(type(options))}
    own = _OWN if niches.counted else (*_OWN, *COUNTING)
    given = [
        spec.flags[-1]
        for name, spec in settings.items()
        if name not in own and spec.matters != "once" and getattr(options, name) != spec.default
    ]
    drawn = [flag for flag in given if flag in _OF_A_REPORT]
    if drawn:
        raise UsageError(
            f"{', '.join(drawn)} cannot be used with --model: the report of new cells has no such "
            "part"
        )
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be used with --model: how niches are found, and how values "
            "are prepared for that, is what the model says"
        )
    taken = {
        name: value
        for name, value in niches.options.items()
        if name in settings
        and name not in _OF_THE_FIT
        and (name not in own or (name in _KEPT and not getattr(options, name)))
    }
    return dataclasses.replace(options, **taken)
