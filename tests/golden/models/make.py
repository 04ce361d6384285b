"""Write the bundles of this folder: once per layout and class, never again.

A bundle that is there is a promise that every later partwise loads it, so an existing file is
never overwritten; a new class or layout gets a new file. Run from the root of the repository:

    python tests/golden/models/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import partwise
from partwise.io.models import SCHEMA

HERE = Path(__file__).parent
GENES = [f"CD{j}" for j in range(1, 7)]


def data() -> np.ndarray:
    """Return 40 x 6 values of rank 2 and some noise, from sines, so that no generator decides."""
    i, j = np.arange(40)[:, None], np.arange(6)[None, :]
    left = np.concatenate([1 + np.sin(0.7 * i), 1 + np.cos(1.3 * i)], axis=1)
    right = np.concatenate([1 + np.cos(0.9 * j), 1 + np.sin(2.1 * j)], axis=0)
    return left @ right + 0.05 * (1 + np.sin(3.7 * i * (j + 1)))


def models() -> dict[str, object]:
    """Return the fitted models to keep, by name of file."""
    X = data()
    counts = np.floor(3 * X)
    known = np.array([[1.0, 1.0, 0.0, 0.0, 0.0, np.nan]])
    prepared = partwise.NMF(2, random_state=0).fit(np.log1p(X))
    prepared.preparation_ = [
        {"step": "normalize_total", "target": 1e4},
        {"step": "log1p", "base": "e"},
    ]
    return {
        f"schema{SCHEMA}_nmf_counts": partwise.NMF(2, loss="kullback-leibler", random_state=0).fit(
            counts
        ),
        f"schema{SCHEMA}_nmf_known_program": partwise.NMF(
            3, fixed_programs=known, random_state=0
        ).fit(X),
        f"schema{SCHEMA}_nmf_signed": partwise.NMF(2, signed="usage", random_state=0).fit(X - 1),
        f"schema{SCHEMA}_nmf_prepared": prepared,
        f"schema{SCHEMA}_minibatch_counts": partwise.MiniBatchNMF(
            2, loss="kullback-leibler", batch_size=8, random_state=0
        ).fit(counts),
        f"schema{SCHEMA}_minibatch_counts_online": partwise.MiniBatchNMF(
            2, loss="kullback-leibler", batch_size=8, random_state=0
        ).partial_fit(counts[:20]),
        f"schema{SCHEMA}_consensus": partwise.ConsensusNMF(
            2, n_replicates=4, density_threshold=2.0, random_state=0
        ).fit(X),
        f"schema{SCHEMA}_nmf": partwise.NMF(2, random_state=0).fit(X),
        f"schema{SCHEMA}_nmf_penalties_float32": partwise.NMF(
            2, l1_programs=0.01, l2_usage=np.array([0.1, 0.2]), solver="bpp", random_state=1
        ).fit(X.astype(np.float32)),
        f"schema{SCHEMA}_minibatch": partwise.MiniBatchNMF(2, batch_size=8, random_state=0).fit(X),
        f"schema{SCHEMA}_minibatch_online": partwise.MiniBatchNMF(
            2, batch_size=8, random_state=0
        ).partial_fit(X[:20]),
        # frames are columns for sequences
        f"schema{SCHEMA}_seqnmf": partwise.SeqNMF(2, 4, max_iter=20, random_state=0).fit(X.T),
    }


def rows(model: object) -> np.ndarray:
    """Return the first five rows in the type of a model."""
    return data()[:5].astype(model.components_.dtype)


def facts_of(model: object) -> dict[str, object]:
    """Return the numbers that a model must give."""
    facts = {
        "class": type(model).__name__,
        "partwise": partwise.__version__,
        "feature_names": GENES,
    }
    if isinstance(model, partwise.SeqNMF):
        recording = data()[:12].T
        return facts | {
            "motifs": np.asarray(model.motifs_, float).tolist(),
            "activations": np.asarray(model.transform(recording), float).tolist(),
        }
    return facts | {
        "components": np.asarray(model.components_, float).tolist(),
        "usage": np.asarray(model.transform(rows(model)), float).tolist(),
    }


def main() -> None:
    """Write the bundles that are not there, and beside each the numbers that it must give."""
    for name, model in models().items():
        path = HERE / f"{name}.npz"
        if path.exists():
            continue
        facts = facts_of(model)
        partwise.save(model, path, feature_names=GENES)
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        print("wrote", path.name)


if __name__ == "__main__":
    main()
