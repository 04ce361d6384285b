"""Which columns of a file identify rows and which are features; always by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from partwise.exceptions import DataError, UsageError
from partwise.io.positions import known_coordinates

__all__ = [
    "DEFAULT_ID_COLUMNS",
    "Columns",
    "choose_columns",
    "is_geometry",
    "match_features",
    "shown",
]

#: The columns that identify a cell, unless the caller names others.
DEFAULT_ID_COLUMNS = ("fov", "label", "cell_meta_cluster")

#: Columns that programs add and that measure nothing: an index without a name, pandas' name for it.
_INDEX_NAME = re.compile(r"(Unnamed: \d+(_level_\d+)?|__index_level_\d+__)?")
#: Names that suggest where a cell is or how large it is rather than what surrounds it.
_GEOMETRY = re.compile(r"(.*centroid.*|x|y|z|[xyz]_.*|.*_[xyz]|area|cell_size)", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Positions of the chosen columns in the file, and their names.

    Attributes
    ----------
    header
        All names of the file, in order.
    ids, features
        Positions in `header`, ids in the order asked for, features in file order.
    notes
        What was left out or looks odd.
    coordinates
        Names of the identifiers that say where a cell is.
    """

    header: tuple[str, ...]
    ids: tuple[int, ...]
    features: tuple[int, ...]
    notes: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()

    @property
    def id_names(self) -> tuple[str, ...]:
        """Names of the identifier columns."""
        return tuple(self.header[i] for i in self.ids)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(self.header[i] for i in self.features)


def is_geometry(name: str) -> bool:
    """Whether a name suggests where a cell is or how large it is."""
    return _GEOMETRY.fullmatch(name) is not None


def shown(names: Sequence[str], limit: int = 12) -> str:
    """Return names as text for a message, the first `limit` of them."""
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def choose_columns(
    header: Sequence[str],
    *,
    path: Path,
    id_columns: Sequence[str] | None,
    features: Iterable[str] | None,
    metadata: Sequence[str] = (),
    coordinates: Sequence[str] | None = None,
) -> Columns:
    """Return which columns are identifiers and which are features.

    Parameters
    ----------
    header
        The names of the file's columns, in order.
    path
        The file, for messages.
    id_columns
        Names of the identifier columns; None means `DEFAULT_ID_COLUMNS`.
    features
        Glob patterns; None means all columns that are not identifiers, an empty sequence none.
    metadata
        Names of further columns that join the identifiers, unless they are among them.
    coordinates
        Names of columns that say where a cell is, which join them too; None means those with a
        known name, beside `fov` and `label`, that `features` does not name.

    Returns
    -------
    Columns
        The choice.

    Raises
    ------
    DataError
        If an identifier column is missing, a pattern matches nothing, no feature is left, or two
        chosen columns have one name.
    """
    wanted = DEFAULT_ID_COLUMNS if id_columns is None else tuple(id_columns)
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"id_columns names a column twice: {', '.join(wanted)}")
    header = tuple(header)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DataError(_missing_text(missing, header, id_columns is None), path=path)
    features = (
        None
        if features is None
        else ((features,) if isinstance(features, str) else tuple(features))
    )
    where, notes = _coordinates(header, wanted, features, coordinates)
    absent = [name for name in (*metadata, *where) if name not in header]
    if absent:
        text = _missing_text(absent, header, default=False)
        raise DataError(text.replace("identifier ", "", 1), path=path)
    wanted = tuple(dict.fromkeys([*wanted, *where, *metadata]))
    ids = tuple(header.index(name) for name in wanted)
    unnamed = [i for i, name in enumerate(header) if _INDEX_NAME.fullmatch(name)]
    rest = [i for i in range(len(header)) if header[i] not in wanted and i not in set(unnamed)]
    notes += [
        f"column {i + 1} has no name of its own ({header[i]!r}): left out, as an index that a "
        "program added"
        for i in unnamed
        if header[i] not in wanted
    ]
    if features is None:
        chosen = rest
    else:
        keep = match_features([header[i] for i in rest], features, path=path)
        chosen = [rest[i] for i in keep]
    if not chosen and features != ():
        raise DataError(
            f"there are no feature columns beside the identifiers {shown(wanted)}", path=path
        )
    _refuse_duplicates(header, wanted, chosen, path)
    odd = [header[i] for i in chosen if _GEOMETRY.fullmatch(header[i])]
    if odd and features is None:
        notes.append(
            f"{shown(odd)} may be a position or a size rather than a measurement to factorize; "
            "choose the features by pattern, or name it an identifier, to leave it out"
        )
    return Columns(header, ids, tuple(chosen), tuple(notes), where)


def _coordinates(
    header: tuple[str, ...],
    wanted: tuple[str, ...],
    features: tuple[str, ...] | None,
    coordinates: Sequence[str] | None,
) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns that say where a cell is, and what to tell of those nobody named."""
    if coordinates is not None:
        return tuple(coordinates), []
    if "fov" not in wanted or "label" not in wanted:
        return (), []
    found = known_coordinates(header)
    if any(name in (features or ()) for name in found):
        return (), []
    if not found or set(found) <= set(wanted) or features == ():
        return found, []
    return found, [
        f"{shown(found)} say where a cell is: kept beside the identifiers, not factorized (name "
        "them with --features if they are measurements)"
    ]


def match_features(names: Sequence[str], patterns: Iterable[str], *, path: Path) -> list[int]:
    """Return the positions of the names that any glob pattern matches, in the order of names."""
    if isinstance(patterns, str):
        patterns = (patterns,)
    chosen: set[int] = set()
    for pattern in patterns:
        hits = {i for i, name in enumerate(names) if name == pattern or fnmatchcase(name, pattern)}
        if not hits:
            raise DataError(
                f"the pattern {pattern!r} matches none of the feature columns; there are: "
                f"{shown(names)}",
                path=path,
            )
        chosen |= hits
    return sorted(chosen)


def _refuse_duplicates(
    header: tuple[str, ...], wanted: Sequence[str], chosen: Sequence[int], path: Path
) -> None:
    used = Counter(header[i] for i in chosen)
    used.update(name for name in header if name in wanted)
    for name, times in used.items():
        if times > 1:
            places = [str(i + 1) for i, other in enumerate(header) if other == name]
            raise DataError(
                f"the name stands at {times} columns ({', '.join(places)}): each needs a name of "
                "its own; rename or remove all but one",
                path=path,
                column=name,
            )


def _missing_text(missing: list[str], header: tuple[str, ...], default: bool) -> str:
    what = "identifier column" if len(missing) == 1 else "identifier columns"
    text = f"the {what} {shown(missing)} not found; the file has {shown(header)}."
    lower = {name.strip().lower(): name for name in header}
    alike = [(name, lower[name.lower()]) for name in missing if name.lower() in lower]
    if alike:
        text += " Upper and lower case count: " + ", ".join(
            f"is {there!r} meant to be {name!r}?" for name, there in alike
        )
    elif sum(_is_number(name) for name in header) * 2 > len(header):
        text += " The first line looks like data: a line with the names of the columns is needed."
    if default:
        text += " Name the identifier columns of this file with --id-columns (id_columns=...)."
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
