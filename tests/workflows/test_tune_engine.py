"""The measurements of tuning: stability, the null, the rule, the same bits again."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from partwise.datasets import simulate_neighborhoods
from partwise.exceptions import UsageError
from partwise.workflows import cluster
from partwise.workflows.tuning.engine import tune_rows
from partwise.workflows.tuning.rank import pack_rank, rank_of_rows, unpack_rank
from partwise.workflows.tuning.stability import (
    co_clustering,
    draw_rows,
    null_curve,
    pairwise_agreement,
    replicate_labels,
)
from partwise.workflows.tuning.types import GRID_COLUMNS, TuneGrid

GRID = TuneGrid(n_components=(4, 5), n_neighbors=(10, 15), resolutions=(0.1, 0.8))
SETTINGS = {"seed": 3, "n_replicates": 3, "min_cluster_size": 10}


class Memory:
    """A store that may be full after some units."""

    def __init__(self, units=None, room=10**6):
        self.units = dict(units or {})
        self.room = room
        self.put_now = []

    def get(self, key):
        return self.units.get(key)

    def put(self, key, arrays):
        if len(self.put_now) == self.room:
            raise KeyboardInterrupt
        self.put_now.append(key)
        self.units[key] = arrays


@pytest.fixture(scope="module")
def table():
    sim = simulate_neighborhoods(600, seed=4, n_fovs=3)
    X = sim.table[list(sim.features)].to_numpy("float32")
    X[11] = 0
    return X, sim.table["fov"].to_numpy()


@pytest.fixture(scope="module")
def store():
    return Memory()


@pytest.fixture(scope="module")
def found(table, store):
    X, fov = table
    return tune_rows(X, GRID, fov=fov, store=store, n_threads=2, **SETTINGS)


def same(one, two):
    """Whether two results are equal to the bit."""
    for name in ("components", "grid", "per_cluster"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)
    np.testing.assert_array_equal(one.confidence, two.confidence)
    np.testing.assert_array_equal(one.labels, two.labels)
    mine, other = vars(one.recommendation).copy(), vars(two.recommendation).copy()
    pd.testing.assert_frame_equal(mine.pop("alternatives"), other.pop("alternatives"))
    assert mine == other
    pd.testing.assert_frame_equal(one.rank.table, two.rank.table, check_exact=True)


class TestResult:
    def test_planted_types_are_found(self, found):
        assert found.recommendation.n_clusters == 5
        assert found.recommendation.confidence > 0.9
        assert found.recommendation.resolution == 0.1

    def test_tables(self, found, table):
        wanted = [name for name in GRID_COLUMNS if name != "batch_entropy"]
        assert list(found.grid) == wanted
        points = found.grid[["n_components", "n_neighbors", "resolution"]]
        assert list(points.itertuples(index=False, name=None)) == list(
            itertools.product(GRID.n_components, GRID.n_neighbors, GRID.resolutions)
        )
        assert found.components["n_components"].tolist() == [4, 5]
        assert (found.components["relative_error"].diff().dropna() < 0).all()
        norm = np.linalg.norm(table[0].astype(float))
        np.testing.assert_allclose(
            found.components["reconstruction_error"], found.components["relative_error"] * norm
        )
        assert found.grid["score"].max() > 0.8
        assert (found.grid["mean_ari"] <= 1).all()

    def test_sizes_are_those_of_the_labels(self, found):
        best = found.recommendation
        row = found.grid.set_index(["n_components", "n_neighbors", "resolution"]).loc[
            (best.n_components, best.n_neighbors, best.resolution)
        ]
        sizes = np.bincount(found.labels[found.labels >= 0])
        assert found.labels[11] == -1
        assert np.isnan(found.confidence[11])
        assert row["n_clusters"] == best.n_clusters == sizes.size
        assert row["min_cluster_size"] == sizes.min()
        assert row["max_cluster_size"] == sizes.max()
        assert row["median_cluster_size"] == np.median(sizes)
        assert row["share_small"] == sizes[sizes < 10].sum() / sizes.sum()
        assert found.per_cluster["size"].tolist() == sizes.tolist()
        assert (np.delete(found.confidence, 11) <= 1).all()

    def test_stability_is_that_of_replicates_clustered_one_by_one(self, found, table):
        X, _ = table
        draws = [draw_rows(600, b, 3) for b in range(3)]
        runs = [replicate_labels(X, draw, 5, GRID.n_neighbors, GRID.resolutions) for draw in draws]
        wanted = []
        for a, b in itertools.combinations(range(3), 2):
            one = dict(zip(draws[a].rows.tolist(), runs[a][1, 0].tolist(), strict=True))
            two = dict(zip(draws[b].rows.tolist(), runs[b][1, 0].tolist(), strict=True))
            common = [row for row in one if row in two and row != 11]
            wanted.append(adjusted_rand_score([one[i] for i in common], [two[i] for i in common]))
        row = found.grid.set_index(["n_components", "n_neighbors", "resolution"]).loc[5, 15, 0.1]
        assert row["mean_ari"] == pytest.approx(np.mean(wanted), abs=1e-12)
        assert row["std_ari"] == pytest.approx(np.std(wanted), abs=1e-12)
        assert row["score"] == pytest.approx(
            (row["mean_ari"] - row["null_ari"]) / (1 - row["null_ari"])
        )

    def test_the_command_gives_the_same_clusters(self, found, table, tmp_path):
        X, fov = table
        ids = {"fov": fov, "label": np.arange(600), "cell_meta_cluster": "x"}
        frame = pd.DataFrame(ids | {f"t{j}": X[:, j] for j in range(X.shape[1])})
        frame.to_csv(tmp_path / "cells.csv", index=False)
        best = found.recommendation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a row of zeros is told of
            again = cluster(
                tmp_path / "cells.csv",
                n_components=best.n_components,
                n_neighbors=best.n_neighbors,
                resolution=best.resolution,
                seed=3,
                output_dir=tmp_path / "out",
            )
        np.testing.assert_array_equal(again.rows.clustering.labels, found.labels)


class TestTheSameAgain:
    def test_one_thread_and_no_store(self, found, table):
        X, fov = table
        same(tune_rows(X, GRID, fov=fov, n_threads=1, **SETTINGS), found)

    def test_after_an_interruption(self, found, store, table):
        X, fov = table
        kept = dict(itertools.islice(store.units.items(), 9))
        with pytest.raises(KeyboardInterrupt):
            tune_rows(X, GRID, fov=fov, n_threads=1, store=(cut := Memory(kept, 3)), **SETTINGS)
        assert len(cut.units) == 12
        resumed = Memory(cut.units)
        same(tune_rows(X, GRID, fov=fov, n_threads=1, store=resumed, **SETTINGS), found)
        assert set(resumed.put_now) == set(store.units) - set(cut.units)

    def test_nothing_is_computed_twice(self, found, store, table, monkeypatch):
        X, fov = table

        def refuse(*_, **__):
            raise AssertionError("computed again")

        for name in ("NMF", "RowGraphs", "null_curve", "replicate_labels"):
            monkeypatch.setattr(f"partwise.workflows.tuning.units.{name}", refuse)
        same(tune_rows(X, GRID, fov=fov, store=store, **SETTINGS), found)

    def test_rank_packed(self, table):
        rank = rank_of_rows(table[0], (2, 4, 9), n_replicates=2, seed=0, n_threads=1)
        assert rank.ranks == (2, 4), "more programs than features have nothing to measure"
        again = unpack_rank(pack_rank(rank))
        for name in ("table", "summary", "spectrum"):
            pd.testing.assert_frame_equal(
                getattr(again, name), getattr(rank, name), check_exact=True
            )
        plain = ("recommended", "rule", "alternatives", "by_method", "advice", "fraction")
        assert all(getattr(again, name) == getattr(rank, name) for name in plain)
        np.testing.assert_equal(again.confidence, rank.confidence)


@pytest.mark.parametrize("shape", ["ball", "triangle"])
def test_cells_without_clusters_are_not_cut(shape):
    rng = np.random.default_rng(8)
    if shape == "ball":
        X = np.abs(1 + 0.1 * rng.normal(size=(900, 6)))
    else:
        X = rng.dirichlet(np.ones(3), 900) @ rng.random((3, 6))
    grid = TuneGrid((3,), (15,), (0.1, 0.3, 1.0))
    found = tune_rows(X.astype(np.float32), grid, seed=1, n_replicates=3)
    best = found.recommendation
    assert found.grid["score"].max() < 0.5
    assert best.confidence == 0.0
    assert best.n_clusters == found.grid.query("n_clusters > 1")["n_clusters"].min()
    assert any("continuum" in text for text in best.advice)


class TestAgreement:
    def test_trivial_partitions_agree_with_nothing(self):
        rows = [np.arange(6), np.arange(6)]
        together, alone = np.zeros(6, int), np.arange(6)
        real = np.array([0, 0, 1, 1, 2, -1])
        labels = np.array([together, alone, real])
        found = pairwise_agreement(rows, [labels, labels])[:, 0, 1]
        assert found.tolist() == [0.0, 0.0, 1.0]

    def test_too_few_cells_in_common(self):
        rows = [np.array([0, 1, 2]), np.array([2, 3, 4])]
        labels = [np.array([[0, 0, 1]])] * 2
        assert np.isnan(pairwise_agreement(rows, labels)[0, 0, 1])

    def test_co_clustering_equals_counting_pairs(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(-1, 3, 40)
        rows = [np.sort(rng.choice(40, 30, replace=False)) for _ in range(4)]
        runs = [rng.integers(-1, 4, 30) for _ in range(4)]
        together, per_cell = co_clustering(labels, rows, runs)
        chances = {pair: [] for pair in itertools.product(range(3), repeat=2)}
        shares = [[] for _ in range(40)]
        for own, run in zip(rows, runs, strict=True):
            used = [i for i in range(30) if run[i] >= 0 and labels[own[i]] >= 0]
            hits = {pair: [] for pair in chances}
            for i in used:
                mates = [
                    run[i] == run[j] for j in used if j != i and labels[own[j]] == labels[own[i]]
                ]
                shares[own[i]].append(np.mean(mates))
                for j in used:
                    if i != j:
                        hits[labels[own[i]], labels[own[j]]].append(run[i] == run[j])
            for pair, found in hits.items():
                chances[pair].append(np.mean(found))
        for (c, d), values in chances.items():
            assert together[c, d] == pytest.approx(np.mean(values))
        for value, wanted in zip(per_cell, shares, strict=True):
            assert np.isnan(value) if not wanted else value == pytest.approx(np.mean(wanted))


def test_null_is_blind_to_clusters_of_the_same_covariance():
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(4, 3))
    clustered = (centres[rng.integers(4, size=700)] + 0.1 * rng.normal(size=(700, 3))).astype("f4")
    found = null_curve(clustered, (10,), (0.1, 1.0), seed=0)
    assert (np.diff(found.n_clusters) > 0).all()
    assert found.at(4) < 0.7
    assert np.isnan(found.at(1))
    assert found.ari.min() <= found.at(7) <= found.ari.max()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"n_replicates": 1}, "at least 2 replicates"), ({"fov": [1, 2]}, "fov has 2 values for 600")],
)
def test_what_cannot_be_used(wrong, text, table):
    with pytest.raises(UsageError, match=text):
        tune_rows(table[0], GRID, **wrong)


def test_a_table_too_small_to_hide_entries():
    X = np.random.default_rng(0).random((20, 4)).astype(np.float32)
    found = tune_rows(X, TuneGrid((2,), (3,), (0.5,)), n_replicates=2)
    assert found.components["held_out_error"].isna().all()
    assert found.components["singular_value"].notna().all()
    assert found.labels.shape == (20,)
