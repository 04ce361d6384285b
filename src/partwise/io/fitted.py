"""From the slots of an AnnData back to a fitted estimator."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from partwise import _slots
from partwise.exceptions import DataError

__all__ = ["model_of"]

#: Estimators that a record may name: name -> module.
_ESTIMATORS = {
    "ConsensusNMF": "partwise.factorize",
    "MiniBatchNMF": "partwise.factorize",
    "NMF": "partwise.factorize",
}


def model_of(adata: Any, key: str = _slots.NMF_KEY) -> Any:
    """Return the estimator behind a factorization that is written in an AnnData.

    Parameters
    ----------
    adata
        An AnnData after `partwise.tl.nmf`.
    key
        Key of the factorization.

    Returns
    -------
    NMF, MiniBatchNMF or ConsensusNMF
        With `components_`, `feature_names_in_` and the parameters of the fit: it can `transform`,
        and be saved. What the fit recorded stays in `uns`.

    Raises
    ------
    DataError
        If there is no factorization of that key, or its record is not ours.
    """
    slots = _slots.find_fit(adata, key)
    record = adata.uns.get(slots.record, {})
    name = str(record.get("estimator", "NMF"))
    if name not in _ESTIMATORS:
        raise DataError(f"uns[{slots.record!r}] names the unknown estimator {name!r}")
    if int(record.get("schema_version", 1)) > _slots.SCHEMA_VERSION:
        raise DataError(
            f"uns[{slots.record!r}] was written by a later partwise "
            f"({record.get('version', 'unknown')}): update partwise"
        )
    cls = getattr(importlib.import_module(_ESTIMATORS[name]), name)
    loadings = np.asarray(adata.varm[slots.loadings])
    kept = np.flatnonzero(~np.isnan(loadings).any(axis=1))
    known = set(cls._get_param_names())
    params = {k: _value(v) for k, v in record.get("params", {}).items() if k in known}
    params["n_components"] = loadings.shape[1]
    model = cls(**params)
    model.components_ = np.ascontiguousarray(loadings[kept].T)
    model.n_components_ = loadings.shape[1]
    model.n_features_in_ = len(kept)
    model.feature_names_in_ = np.array([str(n) for n in adata.var_names[kept]], dtype=object)
    return model


def _value(value: Any) -> Any:
    """Return a value as it was before it went through a file."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {k: _value(v) for k, v in value.items()}
    return value
