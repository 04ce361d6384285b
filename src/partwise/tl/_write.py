"""A fitted estimator into the slots of an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["write_fit"]


def write_fit(
    adata: AnnData,
    model: Any,
    usage: Any,
    mask: Any,
    key: str,
    where: Mapping[str, Any],
    *,
    coverage: Mapping[str, Any] | None = None,
) -> None:
    """Write usage, loadings and record; `where` says which values were factorized."""
    slots = _slots.fit_slots(key)
    loadings = _slots.spread(model.components_, mask, adata.n_vars)
    _slots.put(adata.obsm, slots.usage, np.ascontiguousarray(usage, dtype=np.float32))
    _slots.put(adata.varm, slots.loadings, loadings)
    where = {name: v if isinstance(v, str) else None for name, v in where.items()}
    record = _slots.fit_record(model, where)
    if coverage is not None:
        record["coverage"] = _slots.plain(coverage)
    _slots.put(adata.uns, slots.record, record)
