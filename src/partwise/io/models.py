"""Fitted models on disk: arrays and JSON in one zip file; no pickle, ever."""

from __future__ import annotations

import importlib
import json
import os
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io.packing import Packer, Unpacker, array_bytes, array_from_bytes
from partwise.utils.atomic import atomic_path

__all__ = ["SCHEMA", "load_model", "save_model"]

#: Version of the layout; raised when an older partwise could not read it. Layout 1 had no losses
#: but the squared one, no constraints and no consensus; what it holds means the same in layout 2.
SCHEMA = 2
_READABLE = (1, 2)
_FORMAT = "partwise-model"
_JSON = "model.json"
_LARGEST_JSON = 2**28
#: Models that can be saved: name -> module.
_MODELS = {
    "ConsensusNMF": "partwise.factorize",
    "MiniBatchNMF": "partwise.factorize",
    "NMF": "partwise.factorize",
    "SeqNMF": "partwise.sequences",
}
#: What makes a model a fitted one, where it is not `components_`.
_LEARNED = {"SeqNMF": "motifs_"}
#: State that is not public but that `partial_fit` goes on from.
_PRIVATE = ("_online",)
_FITTED = re.compile(r"[a-z][A-Za-z0-9_]*_")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes

_DAMAGE = (
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    feature_names: Sequence[str] | None = None,
) -> None:
    """Save a fitted model as one file: a zip of npy arrays and a JSON, with checksums.

    Parameters
    ----------
    model
        A fitted `NMF`, `MiniBatchNMF`, `ConsensusNMF` or `SeqNMF`.
    path
        Where; any name will do, `.npz` says best what it is.
    feature_names
        Names of the features (of the units, for sequences), if the model was fitted on an array,
        which has none.

    Raises
    ------
    UsageError
        If the model is not fitted, is of another class, or the names do not fit it.
    ResourceError
        If the disk is full or not ours to write; an earlier file at `path` stays whole.

    Examples
    --------
    >>> import tempfile, partwise
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> model = partwise.NMF(1, random_state=0).fit(np.ones((4, 3)))
    >>> partwise.save(model, path, feature_names=["A", "B", "C"])
    >>> list(partwise.load(path).feature_names_in_)
    ['A', 'B', 'C']
    """
    name = type(model).__name__
    if name not in _MODELS or not type(model).__module__.startswith(_MODELS[name]):
        raise UsageError(f"cannot save a {name}; models are: {', '.join(_MODELS)}")
    if not hasattr(model, _LEARNED.get(name, "components_")):
        raise UsageError(f"the {name} is not fitted; call fit before saving it")
    parameters = model.get_params(deep=False)
    state = {
        key: value
        for key, value in vars(model).items()
        if key not in parameters and (_FITTED.fullmatch(key) or key in _PRIVATE)
    }
    if feature_names is not None:
        state["feature_names_in_"] = _names(model, feature_names)
    if not isinstance(parameters.get("random_state"), int | np.integer | None):
        warnings.warn(
            "random_state is a generator, whose state is not saved: the loaded model has None",
            PartwiseWarning,
            stacklevel=2,
        )
        parameters["random_state"] = None
    from partwise import __version__

    parameters = {key: _plain(value, model) for key, value in parameters.items()}
    packer = Packer()
    description = {
        "format": _FORMAT,
        "schema": SCHEMA,
        "class": name,
        "partwise": __version__,
        "parameters": {key: packer.pack(value, key) for key, value in parameters.items()},
        "state": {key: packer.pack(value, key) for key, value in state.items()},
    }
    text = json.dumps(description, ensure_ascii=False, allow_nan=False, indent=1)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_JSON, _EPOCH), text.encode())
        for key, array in packer.arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", _EPOCH), array_bytes(array))


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a model that `save_model` wrote. Nothing in the file can run code.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    NMF, MiniBatchNMF, ConsensusNMF or SeqNMF
        The fitted model.

    Raises
    ------
    DataError
        If the file is missing, damaged, no model, or written by a later partwise.
    """
    path = Path(path)
    if not path.is_file():
        what = "this is a folder, no model" if path.is_dir() else "there is no such file"
        raise DataError(what, path=path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _load(_Archive(archive, path), path)
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(
            f"this is no model that partwise saved, or it is damaged ({error})", path=path
        ) from error
    except OSError as error:
        raise DataError(f"the model cannot be read ({error})", path=path) from error


class _Archive:
    """The members of a zip file, read into memory with their checksums; never unpacked."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._arrays: dict[str, np.ndarray] = {}
        size = path.stat().st_size
        for member in archive.infolist():
            # stored as they are, so no member can be larger than the file
            stored = member.compress_type == zipfile.ZIP_STORED
            if not stored or member.file_size != member.compress_size or member.file_size > size:
                raise ValueError(f"the member {member.filename!r} is compressed")
            if member.filename in self._members:
                raise ValueError(f"the member {member.filename!r} is there twice")
            self._members[member.filename] = member

    def read(self, name: str) -> bytes:
        return self._archive.read(self._members[name])

    def array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = array_from_bytes(self.read(f"{name}.npy"))
        return self._arrays[name]

    def description(self) -> dict[str, Any]:
        if self._members[_JSON].file_size > _LARGEST_JSON:
            raise ValueError("the description is too long")
        description = json.loads(self.read(_JSON))
        if not isinstance(description, dict) or description.get("format") != _FORMAT:
            raise ValueError("the description is not that of a model")
        return description


def _load(archive: _Archive, path: Path) -> Any:
    description = archive.description()
    schema, name = description["schema"], description["class"]
    if schema not in _READABLE:
        known = " and ".join(map(str, _READABLE))
        raise DataError(
            f"the model has layout {schema!r} (partwise {description.get('partwise')}), but this "
            f"partwise reads layouts {known}: update partwise",
            path=path,
        )
    if not isinstance(name, str) or name not in _MODELS:
        raise DataError(f"the model is of the unknown class {name!r}", path=path)
    cls = getattr(importlib.import_module(_MODELS[name]), name)
    unpacker = Unpacker(archive.array)
    parameters = {key: unpacker.unpack(v) for key, v in description["parameters"].items()}
    unknown = set(parameters) - set(cls._get_param_names())
    if unknown:
        raise ValueError(f"unknown parameters: {', '.join(sorted(unknown))}")
    model = cls(**parameters)
    for key, value in description["state"].items():
        allowed = _FITTED.fullmatch(key) or key in _PRIVATE
        if not allowed or key in parameters or hasattr(cls, key):
            raise ValueError(f"an unknown attribute: {key!r}")
        setattr(model, key, unpacker.unpack(value))
    if name == "SeqNMF":
        _check_sequences(model)
    else:
        _check_shapes(model)
    return model


def _check_sequences(model: Any) -> None:
    """Make sure that motifs and activations fit each other."""
    motifs, activations = model.motifs_, model.activations_
    for array, name, dimensions in ((motifs, "motifs", 3), (activations, "activations", 2)):
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            raise ValueError(f"the {name} are not an array of floats")
        if array.ndim != dimensions or not np.all(np.isfinite(array) & (array >= 0)):
            raise ValueError(f"the {name} have another shape, or negative or missing values")
    n, k, n_lags = motifs.shape
    if (n, k, n_lags) != (model.n_features_in_, model.n_components, model.n_lags):
        raise ValueError("the motifs do not fit the parameters")
    if activations.shape[0] != k or np.shape(model.before_) != (k, len(model.epochs_), n_lags - 1):
        raise ValueError("the activations do not fit the motifs")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and (not isinstance(names, np.ndarray) or names.shape != (n,)):
        raise ValueError("the names do not fit the number of units")


def _check_shapes(model: Any) -> None:
    """Make sure that the arrays fit each other: compiled loops trust their sizes."""
    programs = model.components_
    if not isinstance(programs, np.ndarray) or programs.dtype not in (np.float32, np.float64):
        raise ValueError("the programs are not an array of floats")
    if programs.ndim != 2 or programs.shape[1] != model.n_features_in_:
        raise ValueError("the programs do not fit the number of features")
    least = -np.inf if getattr(model, "signed", None) == "programs" else 0
    if not np.all(np.isfinite(programs) & (programs >= least)):
        raise ValueError("the programs have negative or missing values")
    k, p = programs.shape
    names = getattr(model, "feature_names_in_", None)
    if names is not None and (not isinstance(names, np.ndarray) or names.shape != (p,)):
        raise ValueError("the feature names do not fit the number of features")
    online = getattr(model, "_online", None)
    if online is None:
        return
    for name, array in vars(online).items():
        shape = {"steps": None, "gram": (k, k)}.get(name, (p, k))
        if shape is None:
            continue
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind != "f":
            raise ValueError("the sums of the batches do not fit the programs")


def _plain(value: Any, model: Any) -> Any:
    """Return a parameter as an array where it is a data frame (in the order of the fit) or column.

    The names of the columns are those of the fit, which the model has.
    """
    if hasattr(value, "columns"):
        from partwise.factorize._checks import by_name

        return np.asarray(by_name(value, getattr(model, "feature_names_in_", None)))
    return np.asarray(value) if hasattr(value, "iloc") else value


def _names(model: Any, feature_names: Sequence[str]) -> np.ndarray:
    names = np.array([str(name) for name in feature_names], dtype=object)
    if len(names) != model.n_features_in_:
        raise UsageError(
            f"there are {len(names)} feature names, but the model has {model.n_features_in_} "
            "features"
        )
    return names
