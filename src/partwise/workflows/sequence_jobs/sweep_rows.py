"""Rows of fits of a sweep, kept as they come, and what they amount to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from partwise.utils.progress import Stage
    from partwise.workflows.checkpoint import Checkpoint

__all__ = ["Rows", "results_of"]

_KEPT = "rows"


class Rows:
    """Rows of fits, kept as they come.

    Parameters
    ----------
    store
        Where they are kept.
    stage
        Told of each.
    """

    def __init__(self, store: Checkpoint, stage: Stage) -> None:
        self._store, self._stage = store, stage
        kept = store.get(_KEPT)
        self._rows: list[dict[str, Any]] = [] if kept is None else json.loads(str(kept["json"]))
        if self._rows:
            stage.advance(len(self._rows))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def append(self, row: dict[str, Any]) -> None:
        """Keep one more row."""
        self._rows.append({key: _plain(value) for key, value in row.items()})
        self._store.put(_KEPT, {"json": np.array(json.dumps(self._rows))})
        self._stage.advance()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def results_of(chosen: Any) -> dict[str, Any]:
    """Return the numbers that a run is about, as JSON has them."""
    facts: dict[str, Any] = {"recommended": _known(chosen.recommended), "rule": chosen.rule}
    if hasattr(chosen, "crossover"):
        facts["crossover"] = _known(chosen.crossover)
        facts["interval"] = [_known(end) for end in chosen.interval]
        facts["crossovers"] = [_known(value) for value in chosen.crossovers]
    else:
        facts["confidence"] = _known(chosen.confidence)
        facts["by_method"] = dict(chosen.by_method)
    facts["advice"] = list(chosen.advice)
    return facts


def _known(value: Any) -> Any:
    value = _plain(value)
    return None if value != value else value
