"""Small clusters, metrics and shares in the cluster job."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import UsageError
from partwise.graph.representation import clustering_space, usage_shares
from partwise.metrics import adjusted_rand
from partwise.report import Report
from partwise.results import Clustering
from partwise.workflows import ClusterOptions, cluster
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.clustering.extra_options import least_cells
from partwise.workflows.clustering.small import settle_small
from plain_report import write_plain


@pytest.fixture
def run(small_table, tmp_path, monkeypatch):
    """Run the job, without figures unless asked, into a new folder each time."""
    count = iter(range(100))

    def job(table=small_table, *, figures=False, **options):
        with monkeypatch.context() as patch:
            patch.setattr(cluster_job, "write_report", write_plain)
            if not figures:
                patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
            folder = tmp_path / f"out{next(count)}"
            return cluster(table, n_components=5, output_dir=folder, **options)

    return job


def _clustering(labels):
    labels = np.array(labels, np.int32)
    sizes = np.bincount(labels[labels >= 0])
    return Clustering(labels, sizes, 0.5, "modularity", 1.0, 0, 2)


SPACE = np.array([[0.0, 0], [0, 1], [0, 2], [9, 0], [9, 1], [3.0, 0], [8, 0], [0, 0]])
LABELS = [0, 0, 0, 1, 1, 2, 3, -1]


def _settle(least, small="reassign", metric="euclidean", **options):
    options = SimpleNamespace(min_cluster_size=least, small=small, metric=metric)
    return settle_small(SPACE, _clustering(LABELS), options)


def test_cells_go_to_the_nearest_centroid():
    settled, small = _settle(2)
    assert settled.labels.tolist() == [0, 0, 0, 1, 1, 0, 1, -1]
    assert settled.sizes.tolist() == [4, 3]
    assert small.moves.to_numpy().tolist() == [[2, 0, 1], [3, 1, 1]]
    assert (small.n_clusters, small.n_cells, small.n_marked) == (2, 2, 0)


def test_numbers_follow_the_new_sizes():
    space = np.array([[0.0], [0], [0], [9], [9], [8], [8.1], [7.9]])
    options = SimpleNamespace(min_cluster_size=2, small="reassign", metric="euclidean")
    settled, small = settle_small(space, _clustering([0, 0, 0, 1, 1, 2, 3, 4]), options)
    assert settled.labels.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert settled.sizes.tolist() == [5, 3]
    assert set(small.moves["cluster"]) == {0}


def test_cells_are_marked():
    settled, small = _settle("25%", "mark")  # of 8 cells
    assert settled.labels.tolist() == [0, 0, 0, 1, 1, -2, -2, -1]
    assert settled.sizes.tolist() == [3, 2]
    assert small.least == 2
    assert small.n_marked == 2


def test_directions_decide_with_the_cosine():
    # (3, 0) points as cluster 1 does, though it is nearer to cluster 0; this makes 1 the largest
    settled, _ = _settle(2, metric="cosine")
    assert settled.labels.tolist() == [1, 1, 1, 0, 0, 0, 0, -1]


def test_nothing_is_done_where_all_or_none_are_large_enough():
    for least in (1, None):
        assert _settle(least)[0].labels.tolist() == LABELS
    settled, small = _settle(4)
    assert settled.labels.tolist() == LABELS
    assert small.none_large
    assert "left as they are" in small.sentence


@pytest.mark.parametrize("bad", ["", "0", "-3", "0%", "101%", "2.5", "few", "%"])
def test_sizes_that_cannot_be_used(bad):
    with pytest.raises(UsageError, match="number of cells, such as 50"):
        ClusterOptions(min_cluster_size=bad)


def test_sizes():
    assert least_cells("50", 10) == least_cells(50, 10) == 50
    assert least_cells("0.5%", 1001) == 6


def test_small_clusters_of_a_run(run):
    fine = {"resolution": 2.0}
    found = run(**fine)
    least = int(np.median(found.rows.clustering.sizes))
    reassigned = run(**fine, min_cluster_size=least)
    assert reassigned.rows.clustering.sizes.min() >= least
    assert reassigned.rows.clustering.sizes.sum() == 600
    assert any("went to the nearest" in text for text in reassigned.warnings)
    marked = run(**fine, min_cluster_size=least, small="mark", figures=True)
    labels = pd.read_csv(marked.outputs["clusters"])["leiden_cluster"].to_numpy()
    old = found.rows.clustering.labels
    kept = found.rows.clustering.sizes >= least
    np.testing.assert_array_equal(labels, np.where(kept[old], old, -2))
    record = json.loads(marked.outputs["run"].read_text("utf-8"))
    assert record["results"]["small_clusters"]["n_cells"] == np.count_nonzero(labels == -2)
    html = marked.outputs["report"].read_text("utf-8")
    assert "leiden_cluster is -2" in html
    assert "What became of small clusters" in html


def test_a_percentage_is_of_all_cells(run):
    result = run(resolution=2.0, min_cluster_size="10%", small="mark")
    assert result.small.least == 60


def test_shares_do_not_depend_on_the_scale_of_programs():
    rng = np.random.default_rng(0)
    W, H = rng.random((50, 4)), rng.random((4, 7))
    W[3] = 0
    W[7] = 5 * W[8]
    shares, programs = usage_shares(W, H)
    X = W @ H
    totals = X.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares @ programs, X / np.where(totals > 0, totals, 1), atol=1e-15)
    assert not shares[3].any()
    np.testing.assert_allclose(shares[7], shares[8])
    scale = np.array([1e-3, 1.0, 10.0, 1e4])
    again, _ = usage_shares(W / scale, H * scale[:, None])
    np.testing.assert_allclose(again, shares)
    gaps = np.linalg.norm(np.diff(clustering_space(shares, programs), axis=0), axis=1)
    expected = np.linalg.norm(np.diff(shares @ programs, axis=0), axis=1)
    np.testing.assert_allclose(gaps, expected, atol=1e-14)


def test_equal_rows_have_equal_shares():
    rng = np.random.default_rng(0)
    W = np.repeat(rng.random((3, 9)).astype(np.float32), 5000, axis=0)
    shares, _ = usage_shares(W, rng.random((9, 7)))
    assert len(np.unique(shares, axis=0)) == 3


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    """Three kinds of composition, half of the cells at thirty times the depth."""
    rng = np.random.default_rng(0)
    kind, depth = np.repeat(np.arange(3), 150), np.tile(np.r_[np.ones(75), np.full(75, 30)], 3)
    depth = depth * rng.uniform(0.9, 1.1, 450)
    shares = rng.dirichlet([1, 1, 1, 1, 1, 1], 3)[kind] + 0.02 * rng.random((450, 6))
    frame = pd.DataFrame(shares * depth[:, None], columns=list("ABCDEF"))
    frame.insert(0, "fov", "F1")
    frame.insert(1, "label", np.arange(450))
    frame.insert(2, "cell_meta_cluster", np.array(["x", "y", "z"])[kind])
    path = tmp_path_factory.mktemp("depths") / "depths.csv"
    frame.to_csv(path, index=False)
    return path, kind


@pytest.mark.parametrize("options", [{"metric": "cosine"}, {"normalize_usage": True}])
def test_depth_does_not_matter_to_cosine_and_shares(run, depths, options):
    path, kind = depths
    assert adjusted_rand(kind, run(path).rows.clustering.labels) < 0.7
    result = run(path, **options, figures=True)
    assert adjusted_rand(kind, result.rows.clustering.labels) == 1
    assert adjusted_rand(kind, result.control.raw) == 1  # the control compares in the same way
    name = "each scaled to a sum of one" if "normalize_usage" in options else "cosine; "
    assert name in result.outputs["report"].read_text("utf-8")


def test_both_say_that_one_has_no_effect(run):
    result = run(metric="cosine", normalize_usage=True)
    assert any("normalize_usage has no effect" in text for text in result.warnings)
    np.testing.assert_array_equal(
        result.rows.clustering.labels, run(metric="cosine").rows.clustering.labels
    )
