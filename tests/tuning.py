"""Results of tuning that nobody measured, to test what is made of results."""

import itertools

import numpy as np
import pandas as pd

from partwise.factorize.rank import RankSelection
from partwise.workflows.tuning.types import Recommendation, TuneResult


def fabricated_grid(grid, *, batches=False):
    """A grid table whose clusters grow with the resolution while their stability falls."""
    rng = np.random.default_rng(0)
    rows = []
    for n, k, r in itertools.product(grid.n_components, grid.n_neighbors, grid.resolutions):
        clusters = max(1, int(3 + 20 * r + n / 3))
        ari = float(np.clip(0.98 - 0.5 * r + 0.02 * rng.standard_normal(), 0, 1))
        null = 0.05 + 0.3 * r * rng.random()
        trivial = clusters == 1
        rows.append(
            {
                "n_components": n,
                "n_neighbors": k,
                "resolution": r,
                "n_clusters": clusters,
                "min_cluster_size": int(900 / clusters),
                "max_cluster_size": int(9000 / clusters),
                "median_cluster_size": 3000.5 / clusters,
                "share_small": 0.01 * r,
                "modularity": 0.8 - 0.1 * r,
                "conductance": 0.1 + 0.1 * r,
                "silhouette": 0.4 - 0.2 * r,
                "fov_entropy": 0.9,
                **({"batch_entropy": 0.8} if batches else {}),
                "mean_ari": np.nan if trivial else ari,
                "std_ari": np.nan if trivial else 0.03,
                "null_ari": np.nan if trivial else null,
                "score": np.nan if trivial else ari - null,
                "range_low": 0.8 * r,
                "range_high": 1.25 * r,
            }
        )
    return pd.DataFrame(rows)


def fabricated_clusters(n_clusters):
    """The clusters of the recommended setting."""
    rng = np.random.default_rng(1)
    number = np.arange(n_clusters)
    return pd.DataFrame(
        {
            "cluster": number,
            "size": np.sort(rng.integers(60, 60_000, n_clusters))[::-1],
            "confidence": rng.uniform(0.3, 1.0, n_clusters),
            "nearest_cluster": (number + 1) % n_clusters if n_clusters > 1 else [-1],
            "nearest_share": rng.uniform(0.0, 0.3, n_clusters) if n_clusters > 1 else [np.nan],
        }
    )


def fabricated_rank(ranks):
    """A choice of rank."""
    ranks = np.array(ranks)
    count = len(ranks)
    curves = {
        "held_out_error": 0.6 + 0.02 * np.abs(np.arange(count) - count // 2),
        "training_error": 0.6 - 0.02 * np.arange(count),
        "matched_cosine": 0.99 - 0.01 * np.arange(count),
    }
    summary = pd.concat(
        pd.DataFrame(
            {"curve": name, "rank": ranks, "mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        )
        for name, mean in curves.items()
    )
    table = pd.DataFrame({"rank": ranks, "replicate": 0})
    spectrum = pd.DataFrame(
        {
            "component": np.arange(1, 9),
            "singular_value": 100.0 / np.arange(1, 9),
            "permuted_max": 12.0,
        }
    )
    return RankSelection(
        recommended=int(ranks[count // 2]),
        rule="the smallest rank within one standard error of the lowest held-out error",
        confidence=0.8,
        alternatives=(),
        by_method={"held-out error": int(ranks[count // 2])},
        table=table,
        summary=summary.reset_index(drop=True),
        spectrum=spectrum,
        advice=(),
        fraction=0.1,
    )


def fabricated(grid, n_cells, *, n_clusters=None, batches=False):
    """A result of tuning on so many cells."""
    points = fabricated_grid(grid, batches=batches)
    n, k, r = (
        values[len(values) // 2]
        for values in (grid.n_components, grid.n_neighbors, grid.resolutions)
    )
    at = points.set_index(["n_components", "n_neighbors", "resolution"]).loc[(n, k, r)]
    n_clusters = n_clusters or int(at["n_clusters"])
    rng = np.random.default_rng(2)
    others = points[["n_components", "n_neighbors", "resolution", "n_clusters", "score"]].head(3)
    components = pd.DataFrame({"n_components": grid.n_components})
    count = len(components)
    components = components.assign(
        reconstruction_error=30.0 - np.arange(count),
        relative_error=0.3 - 0.01 * np.arange(count),
        held_out_error=0.35,
        held_out_low=0.34,
        held_out_high=0.36,
        stability=0.97,
        cophenetic_correlation=np.nan,
        singular_value=10.0,
        permuted_max=4.0,
        above_noise=True,
    )
    return TuneResult(
        components=components,
        grid=points,
        per_cluster=fabricated_clusters(n_clusters),
        confidence=rng.uniform(0.3, 1.0, n_cells),
        labels=rng.integers(0, n_clusters, n_cells).astype(np.int32),
        recommendation=Recommendation(
            n_components=n,
            n_neighbors=k,
            resolution=r,
            n_clusters=n_clusters,
            rule="the most clusters whose score is within one standard error of the best",
            confidence=0.86,
            alternatives=others.assign(agreement=0.9, chosen=0.1),
            would_change=("a least cluster size of 10 in place of 50: r=0.5, 14 clusters",),
            advice=("the recommended resolution is the largest of the grid: add larger ones",),
        ),
        rank=fabricated_rank(grid.n_components),
    )
