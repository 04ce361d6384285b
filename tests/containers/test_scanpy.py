"""scanpy reads what we write, and takes our neighbours; the file reopens in anndata."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import partwise as pw
from partwise.graph.fuzzy import fuzzy_connectivities
from partwise.graph.graphs import distance_matrix

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sc = pytest.importorskip("scanpy")

# what scanpy and its dependencies warn of is theirs
pytestmark = [pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def cells():
    """Three kinds of cells, 240 x 40, sparse float32."""
    rng = np.random.default_rng(0)
    usage = np.repeat(np.eye(3), 80, axis=0) + 0.1 * rng.random((240, 3))
    counts = rng.poisson(usage @ (12 * rng.random((3, 40)) ** 3)).astype(np.float32)
    adata = anndata.AnnData(sp.csr_matrix(counts))
    adata.obs["kind"] = np.repeat(["a", "b", "c"], 80)
    return adata


@pytest.fixture
def fitted(cells):
    return pw.tl.nmf(cells, 3, copy=True)


def test_round_trip(fitted, tmp_path):
    sc.pp.neighbors(fitted, use_rep="X_nmf")
    sc.tl.leiden(fitted, flavor="igraph", n_iterations=2, directed=False)
    sc.tl.umap(fitted, random_state=0)
    sc.pl.umap(fitted, color=["leiden", "kind"], show=False)
    assert fitted.obs["leiden"].nunique() >= 3
    for mode in (None, "r"):
        path = tmp_path / f"{mode}.h5ad"
        fitted.write_h5ad(path)
        back = anndata.read_h5ad(path, backed=mode)
        np.testing.assert_array_equal(back.obsm["X_nmf"], fitted.obsm["X_nmf"])
        assert back.uns["nmf"]["loss"] == "frobenius"
        trace = fitted.uns["nmf"]["loss_trace"]
        np.testing.assert_array_equal(back.uns["nmf"]["loss_trace"], trace)
        assert pw.get.usage(back).shape == (240, 3)
        if mode:
            back.file.close()


def test_our_graph_is_read(fitted):
    pw.tl.neighbors(fitted)
    pw.tl.leiden(fitted)
    ours = fitted.obs["leiden"].copy()
    sc.tl.umap(fitted, random_state=0)
    sc.tl.leiden(fitted, flavor="igraph", n_iterations=2, directed=False)
    sc.pl.umap(fitted, color="leiden", show=False)
    sc.pl.embedding(fitted, basis="nmf", color="leiden", show=False)
    kinds = pd.crosstab(ours, fitted.obs["kind"])
    assert (kinds.max(axis=1) >= 0.95 * kinds.sum(axis=1)).all()
    assert list(ours.cat.categories) == [str(i) for i in range(ours.nunique())]
    assert ours.value_counts(sort=False).is_monotonic_decreasing
    sc.tl.paga(fitted, groups="leiden")
    assert "paga" in fitted.uns


def test_slots_of_the_graph_are_those_of_scanpy(fitted):
    theirs = fitted.copy()
    sc.pp.neighbors(theirs, use_rep="X_nmf", n_neighbors=10)
    pw.tl.neighbors(fitted, n_neighbors=10)
    assert set(fitted.obsp) == set(theirs.obsp)
    assert set(fitted.uns["neighbors"]) == set(theirs.uns["neighbors"])
    assert fitted.uns["neighbors"]["params"].keys() == theirs.uns["neighbors"]["params"].keys()
    assert fitted.uns["neighbors"]["params"]["n_neighbors"] == 10
    for name in ("distances", "connectivities"):
        left, right = fitted.obsp[name], theirs.obsp[name]
        assert type(left) is type(right)
        assert (np.diff(left.indptr) == np.diff(right.indptr)).all()
        np.testing.assert_allclose(left.toarray(), right.toarray(), atol=2e-3)


def test_our_transformer(fitted):
    sc.pp.neighbors(fitted, use_rep="X_nmf", transformer=pw.KNeighborsTransformer(n_neighbors=15))
    assert fitted.uns["neighbors"]["params"]["n_neighbors"] == 15
    plain = fitted.copy()
    sc.pp.neighbors(plain, use_rep="X_nmf", n_neighbors=15)
    left, right = fitted.obsp["connectivities"], plain.obsp["connectivities"]
    np.testing.assert_allclose(left.toarray(), right.toarray(), atol=2e-3)
    sc.tl.umap(fitted, random_state=0)


def test_transformer_with_equal_rows(fitted):
    """Where rows repeat, the first neighbour of each must still be the row itself."""
    fitted.obsm["X_same"] = np.repeat(fitted.obsm["X_nmf"][:24], 10, axis=0)
    sc.pp.neighbors(fitted, use_rep="X_same", transformer=pw.KNeighborsTransformer(n_neighbors=5))
    assert fitted.obsp["connectivities"].diagonal().max() == 0


def test_fuzzy_weights_are_those_of_umap():
    from umap.umap_ import fuzzy_simplicial_set

    X = np.random.default_rng(1).random((300, 4)).astype(np.float32)
    X[50:60] = X[50]  # distances of zero
    near = pw.neighbors(X, 14)
    ours = fuzzy_connectivities(near)
    itself = np.arange(300, dtype=np.int32)[:, None]
    theirs, _, _ = fuzzy_simplicial_set(
        X, 15, np.random.RandomState(0), "euclidean",
        knn_indices=np.hstack([itself, near.indices]),
        knn_dists=np.hstack([np.zeros((300, 1), np.float32), near.distances]),
    )  # fmt: skip
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-4)
    assert (ours != ours.T).nnz == 0


def test_distances_keep_zeros():
    near = pw.neighbors(np.array([[0.0], [0.0], [1.0]]), 1)
    assert distance_matrix(near).nnz == 3
