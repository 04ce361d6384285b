"""The stages of `partwise cluster --model`: usage of the known programs, and the vote.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.graph.assign import assign_labels
from partwise.workflows.clustering.niches import niche_space, unexplained_of

if TYPE_CHECKING:
    from partwise.utils.progress import Stage
    from partwise.workflows.checkpoint import Checkpoint
    from partwise.workflows.clustering.assign_input import Known

__all__ = ["Placed", "place_cells", "project_cells"]

#: Cells whose niches are found, and kept, together.
CELLS = 2**20


@dataclass(frozen=True)
class Placed:
    """Niches of n cells.

    Attributes
    ----------
    labels, confidence
        Niche (-1: no neighbourhood) and its share of the vote.
    unseen
        Whether a cell is unlike anything that the model has seen.
    """

    labels: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float64]
    unseen: npt.NDArray[np.bool_]


def project_cells(
    X: Any, model: Any, kept: Checkpoint
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the usage of a model's programs, and what they leave unexplained.

    Parameters
    ----------
    X
        Array, CSR matrix or block source, n x p.
    model
        A fitted estimator of the p features, k programs.
    kept
        What an interrupted run did.

    Returns
    -------
    usage
        W, n x k.
    left
        Share of each row's sum of squares that W H leaves, n.
    """
    done = kept.get("project")
    if done is None:
        usage = np.asarray(model.transform(X), np.float32)
        done = {"usage": usage, "left": unexplained_of(X, usage, model.components_)}
        kept.put("project", done)
    return done["usage"], done["left"]


def place_cells(
    usage: npt.NDArray[np.float32],
    left: npt.NDArray[np.float64],
    known: Known,
    kept: Checkpoint,
    *,
    n_threads: int,
    stage: Stage,
) -> Placed:
    """Let the nearest known cells vote for the niche of each cell, a block of cells at a time.

    Parameters
    ----------
    usage, left
        What `project_cells` returned.
    known
        The model and its niches.
    kept
        What an interrupted run did; told of each block that is done.
    n_threads
        Threads; the result does not depend on them.
    stage
        Told of the cells that are done.

    Returns
    -------
    Placed
        Niches of all cells.
    """
    n = len(usage)
    placed = Placed(np.empty(n, np.int32), np.empty(n), np.empty(n, np.bool_))
    reference = niche_space(known.niches.usage, known.model.components_, known.options)
    for first in range(0, n, CELLS):
        rows = slice(first, min(first + CELLS, n))
        key = f"assign {rows.start}-{rows.stop}"
        done = kept.get(key)
        if done is None:
            done = _vote(usage[rows], left[rows], reference, known, n_threads)
            kept.put(key, done)
        for name, values in done.items():
            getattr(placed, name)[rows] = values
        stage.advance(rows.stop - first)
    return placed


def _vote(
    usage: npt.NDArray[np.float32],
    left: npt.NDArray[np.float64],
    reference: npt.NDArray[Any],
    known: Known,
    n_threads: int,
) -> dict[str, npt.NDArray[Any]]:
    """Return the fields of `Placed` for some cells."""
    niches = known.niches
    found = assign_labels(
        niche_space(usage, known.model.components_, known.options),
        reference,
        niches.labels,
        weights=niches.weights,
        n_neighbors=niches.n_neighbors,
        n_threads=n_threads,
    )
    far = found.distance > np.append(niches.distance, np.inf)[found.labels]
    unseen = (found.labels >= 0) & (far | (left > niches.unexplained))
    return {"labels": found.labels, "confidence": found.confidence, "unseen": unseen}
