"""The result of a fit on disk: one .npz of plain arrays, written and read back.

`motifs` (units x factors x lags), `activations` (factors x frames, of the whole recording),
`cost`, `loadings`, `power`, `power_held_out`, `units` (names), `rate` (NaN if not known),
`n_train` (frames before this one were fitted), `epochs` (start and stop, in frames), `empty`
(factors that explain nothing), `pvalues` (NaN if nothing was tested), `significant`.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError

__all__ = ["SUFFIX", "SequencesFit", "load_sequences", "save_sequences"]

#: File name of the arrays after the name of the recording.
SUFFIX = "_sequences.npz"
#: Version of the layout.
_LAYOUT = 1
_KEY = "partwise_sequences"
_NAMES = (
    "motifs",
    "activations",
    "cost",
    "loadings",
    "power",
    "power_held_out",
    "units",
    "rate",
    "n_train",
    "epochs",
    "empty",
    "pvalues",
    "significant",
)
_DAMAGE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class SequencesFit:
    """Motifs and activations of a recording.

    Attributes
    ----------
    motifs
        N x K x L.
    activations
        K x T, of the whole recording; those of the part that was held out are found with the
        motifs fixed.
    cost
        Root mean squared error before the first and after each iteration.
    loadings
        Share of the recording's power that each factor explains in the part that was fitted, K.
    power, power_held_out
        Share explained together, of what was fitted and of what was held out (NaN if nothing was).
    units
        Names of the units.
    rate
        Frames per second; None if not known.
    n_train
        Frames that were fitted.
    epochs
        First frame and the one after the last of each epoch, E x 2.
    empty
        Factors that explain nothing, K.
    pvalues, significant
        Of each factor, K; None if that was not tested.
    path, input, input_sha256, parameters
        Where it was read from, and what it was fitted to and how, if its run.json says.
    """

    motifs: npt.NDArray[Any]
    activations: npt.NDArray[Any]
    cost: npt.NDArray[np.float64]
    loadings: npt.NDArray[np.float64]
    power: float
    power_held_out: float
    units: tuple[str, ...]
    rate: float | None
    n_train: int
    epochs: npt.NDArray[np.int64]
    empty: npt.NDArray[np.bool_]
    pvalues: npt.NDArray[np.float64] | None = None
    significant: npt.NDArray[np.bool_] | None = None
    path: Path | None = None
    input: Path | None = None
    input_sha256: str | None = None
    parameters: dict[str, Any] | None = None

    @property
    def n_frames(self) -> int:
        """Frames of the recording."""
        return int(self.activations.shape[1])


def save_sequences(path: str | os.PathLike[str], fit: SequencesFit) -> None:
    """Write a fit as .npz; the same fit gives the same bytes.

    Parameters
    ----------
    path
        Where; a name that ends in .npz.
    fit
        What to write; where it was read from is left out.
    """
    arrays: dict[str, Any] = {
        _KEY: np.int64(_LAYOUT),
        "motifs": fit.motifs,
        "activations": fit.activations,
        "cost": np.asarray(fit.cost, np.float64),
        "loadings": np.asarray(fit.loadings, np.float64),
        "power": np.float64(fit.power),
        "power_held_out": np.float64(fit.power_held_out),
        "units": np.array(fit.units, dtype=np.str_),
        "rate": np.float64(np.nan if fit.rate is None else fit.rate),
        "n_train": np.int64(fit.n_train),
        "epochs": np.asarray(fit.epochs, np.int64).reshape(-1, 2),
        "empty": np.asarray(fit.empty, bool),
        "pvalues": np.full(fit.empty.size, np.nan) if fit.pvalues is None else fit.pvalues,
        "significant": fit.empty & False if fit.significant is None else fit.significant,
    }
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # plain numbers and text: no pickle


def load_sequences(path: str | os.PathLike[str]) -> SequencesFit:
    """Read what `partwise sequences fit` wrote; nothing in the file can run code.

    Parameters
    ----------
    path
        The folder of the results, or the .npz in it.

    Returns
    -------
    SequencesFit
        The fit. If run.json lies beside it, with the file that was fitted.

    Raises
    ------
    UsageError
        If a folder holds no such file, or several.
    DataError
        If the file is missing, damaged, or something else.
    """
    file = _file_of(Path(path))
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ValueError("it holds one array")
            missing = [name for name in (_KEY, *_NAMES) if name not in archive.files]
            if missing:
                raise DataError(
                    f"this is not a result of partwise sequences fit: {missing[0]!r} is missing; "
                    f"it holds {', '.join(archive.files[:20]) or 'nothing'}",
                    path=file,
                )
            layout = int(archive[_KEY])
            values = {name: archive[name] for name in _NAMES} if layout == _LAYOUT else {}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("there is no such file", path=file) from None
    except _DAMAGE as error:
        raise DataError(f"this cannot be read as a result: {error}", path=file) from error
    if not values:
        raise DataError(f"it was written in layout {layout}, by a newer partwise", path=file)
    return _checked(file, values)


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(f"[!.]*{SUFFIX}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"{path} holds no result of partwise sequences fit (a file that ends in {SUFFIX})"
        )
    names = ", ".join(file.name for file in found)
    raise UsageError(f"{path} holds several results, name one of them: {names}")


def _checked(file: Path, values: dict[str, npt.NDArray[Any]]) -> SequencesFit:
    """Return what was read, or raise if its parts do not belong together."""
    motifs, activations, units = values["motifs"], values["activations"], values["units"]
    good = (
        motifs.ndim == 3
        and activations.ndim == 2
        and motifs.dtype.kind == activations.dtype.kind == "f"
        and min(motifs.shape) > 0
        and activations.shape[0] == motifs.shape[1] == values["loadings"].size
        and {motifs.shape[1]} == {values[name].size for name in ("empty", "pvalues", "significant")}
        and units.shape == motifs.shape[:1]
        and units.dtype.kind == "U"
        and 0 < int(values["n_train"]) <= activations.shape[1]
    )
    finite = good and np.isfinite(motifs).all() and np.isfinite(activations).all()
    if not finite or motifs.min() < 0 or activations.min() < 0:
        raise DataError("its arrays do not belong together, or hold invalid values", path=file)
    rate = float(values["rate"])
    tested = bool(np.isfinite(values["pvalues"]).all())
    return SequencesFit(
        motifs=motifs,
        activations=activations,
        cost=values["cost"].ravel(),
        loadings=values["loadings"].ravel(),
        power=float(values["power"]),
        power_held_out=float(values["power_held_out"]),
        units=tuple(str(unit) for unit in units),
        rate=rate if np.isfinite(rate) and rate > 0 else None,
        n_train=int(values["n_train"]),
        epochs=values["epochs"].reshape(-1, 2),
        empty=values["empty"].ravel().astype(bool),
        pvalues=values["pvalues"].ravel() if tested else None,
        significant=values["significant"].ravel().astype(bool) if tested else None,
        path=file,
        **_provenance(file),
    )


def _provenance(file: Path) -> dict[str, Any]:
    """Return what the run.json beside a result says of its input; nothing if there is none."""
    try:
        record = json.loads((file.parent / "run.json").read_text(encoding="utf-8"))
        ours = any(entry["path"] == file.name for entry in record["outputs"])
        source = record["inputs"][0]
        if not ours:
            return {}
        return {
            "input": Path(source["path"]),
            "input_sha256": source["sha256"],
            "parameters": record["parameters"],
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return {}
