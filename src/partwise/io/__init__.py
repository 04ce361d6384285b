"""Files in, files out: tables and recordings of any kind, results, models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from partwise.io.opening import open_table
from partwise.io.table import Table

if TYPE_CHECKING:
    from partwise.io.epochs import read_epochs
    from partwise.io.h5ad_writer import write_h5ad
    from partwise.io.models import load_model, save_model
    from partwise.io.recordings import Recording, open_recording
    from partwise.io.writers import write_csv, write_parquet

__all__ = [
    "Recording",
    "Table",
    "load_model",
    "open_recording",
    "open_table",
    "read_epochs",
    "save_model",
    "write_csv",
    "write_h5ad",
    "write_parquet",
]

#: public name -> module; loaded on first use, because pandas and pyarrow take half a second
_LATER = {
    "Recording": "recordings",
    "open_recording": "recordings",
    "read_epochs": "epochs",
    "load_model": "models",
    "save_model": "models",
    "write_csv": "writers",
    "write_h5ad": "h5ad_writer",
    "write_parquet": "writers",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"partwise.io.{_LATER[name]}"), name)
    raise AttributeError(f"module 'partwise.io' has no attribute {name!r}")
