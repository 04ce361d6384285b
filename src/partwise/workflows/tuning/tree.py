"""How clusters come from each other as the resolution rises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.workflows.tuning.types import Store

__all__ = ["TREE_COLUMNS", "Remembering", "cluster_tree"]

TREE_COLUMNS = (
    "resolution", "cluster", "size", "parent_resolution", "parent", "share_from_parent",
    "share_of_parent",
)  # fmt: skip
#: Units of the engine that hold the labels of all cells, one row per resolution.
_UNIT = "points-{n}-{k}"


class Remembering:
    """A store that also remembers the labels that pass through it.

    Parameters
    ----------
    store
        Where units are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._labels: dict[str, npt.NDArray[Any]] = {}

    def get(self, key: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return what was put under a key, None if nothing was."""
        found = self._store.get(key)
        if found is not None:
            self._note(key, found)
        return found

    def put(self, key: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Keep named arrays under a key."""
        self._note(key, arrays)
        self._store.put(key, arrays)

    def labels(self, n_components: int, n_neighbors: int) -> npt.NDArray[Any] | None:
        """Return the labels of all cells at one n and k, resolutions x cells, if they came by."""
        return self._labels.get(_UNIT.format(n=n_components, k=n_neighbors))

    def _note(self, key: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        if key.startswith(_UNIT.partition("{")[0]) and "labels" in arrays:
            self._labels[key] = arrays["labels"]


def cluster_tree(labels: npt.NDArray[Any], resolutions: Sequence[float]) -> pd.DataFrame:
    """Say for each cluster from which one of the next lower resolution most of its cells come.

    Parameters
    ----------
    labels
        Clusters at each resolution, resolutions x cells; -1 for cells in none.
    resolutions
        Ascending.

    Returns
    -------
    DataFrame
        `resolution`, `cluster`, `size`, `parent_resolution`, `parent`, `share_from_parent` (of the
        cells of the cluster) and `share_of_parent` (of those of its parent); no parent at the
        lowest resolution.

    References
    ----------
    Zappia & Oshlack (2018), GigaScience 7, giy083 (clustering trees).

    Examples
    --------
    >>> tree = cluster_tree(np.array([[0, 0, 0, 0], [0, 0, 0, 1]]), [0.1, 0.5])
    >>> tree[["cluster", "parent", "share_of_parent"]].tail(2).to_numpy().tolist()
    [[0.0, 0.0, 0.75], [1.0, 0.0, 0.25]]
    """
    parts = []
    for j, resolution in enumerate(resolutions):
        sizes = np.bincount(labels[j][labels[j] >= 0])
        part = pd.DataFrame(
            {"resolution": resolution, "cluster": np.arange(sizes.size), "size": sizes}
        )
        if j > 0:
            part = part.assign(parent_resolution=resolutions[j - 1], **_parents(labels, j, sizes))
        parts.append(part)
    return pd.concat(parts, ignore_index=True).reindex(columns=list(TREE_COLUMNS))


def _parents(
    labels: npt.NDArray[Any], j: int, sizes: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Return the parents of the clusters at one resolution, and the shares in common."""
    used = (labels[j] >= 0) & (labels[j - 1] >= 0)
    counts = np.zeros((labels[j].max(initial=-1) + 1, labels[j - 1].max(initial=-1) + 1))
    np.add.at(counts, (labels[j][used], labels[j - 1][used]), 1)
    if not counts.size:
        return {}
    parent = counts.argmax(axis=1)
    common = counts[np.arange(len(parent)), parent]
    return {
        "parent": parent,
        "share_from_parent": common / sizes,
        "share_of_parent": common / counts.sum(axis=0)[parent],
    }
