"""Files in, files out: open a table of any kind, write results, save and load models."""

from __future__ import annotations

from partwise.io.opening import open_table
from partwise.io.table import Table

__all__ = ["Table", "open_table"]
