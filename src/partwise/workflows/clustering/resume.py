"""What the cluster job keeps for `--resume`: the factorization and the clusters.

Letters: W is the usage (cells x factors).
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph import RowClustering
from partwise.io import load_model, save_model
from partwise.io.packing import Packer, Unpacker
from partwise.results import Clustering
from partwise.workflows.checkpoint import Checkpoint

__all__ = ["keep_fit", "keep_rows"]

Fit = tuple[Any, npt.NDArray[np.floating[Any]]]


def keep_fit(kept: Checkpoint, make: Callable[[], Fit], *, key: str = "factorize") -> Fit:
    """Return the fitted model and the usage: what was kept, else what `make` gives.

    Parameters
    ----------
    kept
        What earlier runs did.
    make
        Fits the model; returns it and W, n x k.
    key
        Name of this part of the work, of its own for each fit of a run.

    Returns
    -------
    tuple
        Model and usage, bit for bit the same either way.
    """
    arrays = kept.get(key)
    if arrays is not None:
        return _model_from(arrays["model"]), arrays["usage"]
    model, usage = make()
    kept.put(key, {"model": _model_bytes(model), "usage": usage})
    return model, usage


def keep_rows(
    kept: Checkpoint, make: Callable[[], RowClustering], *, key: str = "cluster"
) -> RowClustering:
    """Return the clusters of the rows: what was kept, else what `make` gives.

    Parameters
    ----------
    kept
        What earlier runs did.
    make
        Clusters the rows.
    key
        Name of this part of the work, of its own for each clustering of a run.
    """
    arrays = kept.get(key)
    if arrays is not None:
        return _rows_from(arrays)
    rows = make()
    kept.put(key, _rows_arrays(rows))
    return rows


def _model_bytes(model: Any) -> npt.NDArray[np.uint8]:
    with tempfile.TemporaryDirectory(prefix="partwise-") as folder:
        path = Path(folder) / "model.npz"
        save_model(model, path)
        return np.fromfile(path, np.uint8)


def _model_from(data: npt.NDArray[np.uint8]) -> Any:
    with tempfile.TemporaryDirectory(prefix="partwise-") as folder:
        path = Path(folder) / "model.npz"
        data.tofile(path)
        return load_model(path)


def _rows_arrays(rows: RowClustering) -> dict[str, npt.NDArray[Any]]:
    """Return all fields: arrays as they are, the rest as JSON in an array of bytes."""
    packer = Packer()
    fields = {"rows": _fields(rows), "clustering": _fields(rows.clustering)}
    del fields["rows"]["clustering"]
    packed = {
        group: {name: packer.pack(value, f"{group}_{name}") for name, value in values.items()}
        for group, values in fields.items()
    }
    text = np.frombuffer(json.dumps(packed).encode(), np.uint8)
    return {**packer.arrays, "$json": text}


def _rows_from(arrays: dict[str, npt.NDArray[Any]]) -> RowClustering:
    packed = json.loads(arrays["$json"].tobytes())
    unpacker = Unpacker(arrays.__getitem__)
    fields = {
        group: {name: unpacker.unpack(value) for name, value in values.items()}
        for group, values in packed.items()
    }
    return RowClustering(clustering=Clustering(**fields["clustering"]), **fields["rows"])


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
