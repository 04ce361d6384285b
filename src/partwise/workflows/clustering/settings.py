"""Settings of one run: several numbers of factors, neighbours and resolutions, from text or files.

Imports nothing heavy, because the options of the job do.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from partwise.exceptions import DataError, UsageError

if TYPE_CHECKING:
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["Setting", "as_texts", "main_setting", "read_settings", "resolve_settings"]

#: More settings than this are a grid to be tuned on a sample.
MOST = 200

_NAMES = {
    "n": "n_components",
    "n_components": "n_components",
    "k": "n_neighbors",
    "n_neighbors": "n_neighbors",
    "r": "resolution",
    "resolution": "resolution",
}
_ORDER = ("n_components", "n_neighbors", "resolution")


class Setting(NamedTuple):
    """One setting.

    Attributes
    ----------
    n_components
        Number of NMF factors.
    n_neighbors
        Neighbours of each cell.
    resolution
        Leiden resolution.
    """

    n_components: int
    n_neighbors: int
    resolution: float

    @property
    def name(self) -> str:
        """Name in tables.

        Examples
        --------
        >>> Setting(5, 60, 0.1).name
        'n5_k60_r0.1'
        """
        return f"n{self.n_components}_k{self.n_neighbors}_r{self.resolution:.12g}"


def as_texts(value: Any) -> tuple[str, ...]:
    """Return settings as texts: a text or a file, a triple of numbers, or a sequence of these.

    Examples
    --------
    >>> as_texts([(5, 15, 0.1), "6 15 0.1"]), as_texts("grid.txt")
    (('5 15 0.1', '6 15 0.1'), ('grid.txt',))
    """
    if value is None:
        return ()
    if isinstance(value, (str, Path)):
        value = (value,)
    texts = []
    for entry in value:
        if isinstance(entry, (str, Path)):
            texts.append(str(entry).strip())
        elif isinstance(entry, Sequence) and len(entry) == 3:
            texts.append(" ".join(str(number) for number in entry))
        else:
            raise UsageError(f"a setting is three numbers n k r, or a file of them; not {entry!r}")
    if not all(texts):
        raise UsageError("a setting must not be empty: three numbers n k r, or a file of them")
    return tuple(texts)


def resolve_settings(texts: Iterable[str]) -> tuple[tuple[Setting, ...], tuple[Path, ...]]:
    """Return the settings that texts and files name, each once, and the files.

    Parameters
    ----------
    texts
        Three numbers "n k r", or the name of a file, see `read_settings`.

    Raises
    ------
    UsageError
        If a text is neither, or there are more than 200 settings.
    DataError
        If a file holds something else.

    Examples
    --------
    >>> [setting.name for setting in resolve_settings(["5 15 0.1", "5 30 0.1", "5 15 0.10"])[0]]
    ['n5_k15_r0.1', 'n5_k30_r0.1']
    """
    settings: list[Setting] = []
    files: list[Path] = []
    for text in texts:
        if re.fullmatch(r"[\d.eE+\-\s]+", text):
            settings.append(_setting(text.split(), f"the setting {text!r}", UsageError))
        elif Path(text).is_file():
            files.append(Path(text))
            settings += read_settings(text)
        else:
            raise UsageError(
                f"settings: {text!r} is neither three numbers (such as '5 15 0.1') nor a file"
            )
    found = tuple(dict.fromkeys(settings))
    if len(found) > MOST:
        raise UsageError(
            f"{len(found)} settings are more than the {MOST} that one run takes: compare them on a "
            "sample with `partwise tune`"
        )
    return found, tuple(files)


def read_settings(path: str | Path) -> list[Setting]:
    """Read settings from a file.

    Parameters
    ----------
    path
        A line `n k r` per setting, or a table with columns n, k and r (or n_components,
        n_neighbors, resolution) among others, such as the grid that `partwise tune` writes.
        Separated by blanks, tabs, commas or semicolons; what follows # is a remark.

    Returns
    -------
    list of Setting
        In the order of the file.

    Raises
    ------
    DataError
        If a line cannot be read, or there is none.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the settings cannot be read ({error})", path=path) from error
    rows = [(i + 1, _fields(line)) for i, line in enumerate(lines)]
    rows = [(i, fields) for i, fields in rows if fields]
    places: Sequence[int] = (0, 1, 2)
    if rows and any(re.search(r"[A-Za-z_]{1}", field) for field in rows[0][1][:1]):
        places = _places(rows[0][1], path)
        rows = rows[1:]
    elif any(len(fields) != 3 for _, fields in rows):
        line, fields = next((i, f) for i, f in rows if len(f) != 3)
        raise DataError(
            f"line {line} has {len(fields)} values; a setting is three numbers: n k r", path=path
        )
    if not rows:
        raise DataError("there is no setting in the file: a line `n k r` for each", path=path)
    found = []
    for line, fields in rows:
        if max(places) >= len(fields):
            raise DataError(f"line {line} has only {len(fields)} values", path=path)
        found.append(_setting([fields[i] for i in places], f"{path}, line {line}", DataError))
    return found


def main_setting(options: ClusterOptions) -> tuple[ClusterOptions, tuple[Path, ...]]:
    """Return the options of the first setting, and the files that settings come from.

    Without `settings` these are the options as they are.

    Raises
    ------
    UsageError
        If settings are given and -n, -k or -r beside them.
    """
    if not options.settings:
        return options, ()
    settings, files = resolve_settings(options.settings)
    first = settings[0]
    defaults = {f.name: f.default for f in dataclasses.fields(options) if f.name in _ORDER}
    for name in _ORDER:
        given = getattr(options, name)
        if given not in (defaults[name], getattr(first, name)):
            raise UsageError(
                f"give either settings or {name} ({given}), not both: a setting names n, k and r"
            )
    return dataclasses.replace(options, **first._asdict()), files


def _fields(line: str) -> list[str]:
    line = line.partition("#")[0].strip()
    for mark in (",", ";", "\t"):
        if mark in line:
            return [field.strip() for field in next(csv.reader([line], delimiter=mark))]
    return line.split()


def _places(header: list[str], path: Path) -> list[int]:
    names = [_NAMES.get(name.strip().lower()) for name in header]
    missing = [name for name in _ORDER if names.count(name) != 1]
    if missing:
        raise DataError(
            f"the columns {', '.join(missing)} are not there once each; found: {', '.join(header)}",
            path=path,
        )
    return [names.index(name) for name in _ORDER]


def _setting(fields: Sequence[str], where: str, error: type[Exception]) -> Setting:
    try:
        n, k = (_whole(text) for text in fields[:2])
        (r,) = (float(text) for text in fields[2:])
        good = n >= 1 and k >= 1 and math.isfinite(r) and r > 0
    except ValueError:
        good = False
    if not good:
        raise error(
            f"{where}: {' '.join(fields)} is not a setting: n and k are whole numbers from 1 up, r "
            "a number above 0"
        )
    return Setting(n, k, r)


def _whole(text: str) -> int:
    number = float(text)  # tables that a program wrote may have 5.0
    if number != int(number):
        raise ValueError
    return int(number)
