"""Preparation in an AnnData, against scanpy; the recipe of a model."""

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

import partwise as pw
from partwise.exceptions import DataError, UsageError
from partwise.prepare.recipe import PreparedSource, Recipe, row_totals

COUNTS = np.random.default_rng(0).poisson(1.0, (50, 20)).astype(np.float32)
COUNTS[7] = 0


class Blocks:
    """A block source over an array, seven rows at a time."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def blocks(self, start, stop):
        for first in range(start, min(stop, self.shape[0]), 7):
            yield first, self.X[first : min(first + 7, stop)]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.filterwarnings("default")
def test_same_as_scanpy(kind):
    import scanpy as sc

    ours, theirs = (anndata.AnnData(kind(COUNTS.copy())) for _ in range(2))
    pw.pp.normalize_total(ours, target_sum=1e4, key_added="n_counts")
    sc.pp.normalize_total(theirs, target_sum=1e4)
    np.testing.assert_array_equal(ours.obs["n_counts"], COUNTS.sum(axis=1))
    pw.pp.log1p(ours)
    sc.pp.log1p(theirs)
    left, right = (a.X.toarray() if sp.issparse(a.X) else a.X for a in (ours, theirs))
    np.testing.assert_allclose(left, right, rtol=1e-5)
    assert type(ours.X) is type(theirs.X)
    sc.pp.highly_variable_genes(ours, n_top_genes=5)


def test_layer_copy_and_view():
    adata = anndata.AnnData(COUNTS.copy())
    adata.layers["counts"] = COUNTS.copy()
    pw.pp.normalize_total(adata, layer="counts")
    np.testing.assert_array_equal(adata.X, COUNTS)
    totals = adata.layers["counts"].sum(axis=1)
    np.testing.assert_allclose(totals[totals > 0], np.median(COUNTS.sum(axis=1)[totals > 0]), 1e-5)
    other = pw.pp.log1p(adata, copy=True)
    np.testing.assert_array_equal(adata.X, COUNTS)
    np.testing.assert_allclose(other.X, np.log1p(COUNTS))
    view = adata[:10]
    pw.pp.log1p(view)
    np.testing.assert_array_equal(adata.X, COUNTS)
    np.testing.assert_allclose(view.X, np.log1p(COUNTS[:10]))


def test_chosen_genes_go_into_a_fit():
    adata = anndata.AnnData(COUNTS.copy())
    adata.X[:25, 3] *= 9
    pw.pp.overdispersed_genes(adata, n_genes=4)
    assert adata.var["highly_variable"].sum() == 4
    assert adata.var["overdispersion"].idxmax() == "3"
    assert adata.uns["highly_variable"]["n_genes"] == 4
    pw.tl.nmf(adata, 2, mask_var="highly_variable")
    assert len(pw.get.loadings(adata)) == 4


def test_what_is_refused(tmp_path):
    adata = anndata.AnnData(-COUNTS)
    with pytest.raises(DataError, match="negative"):
        pw.pp.log1p(adata)
    anndata.AnnData(COUNTS).write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(UsageError, match="X is in a file, which is not changed"):
        pw.pp.log1p(backed)
    backed.file.close()


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(100.0), Recipe(log=True), Recipe(50.0, True)])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_recipe_is_what_prepare_does_and_blocks_give_the_same_bits(recipe, kind):
    from partwise import prepare

    X = kind(COUNTS.copy())
    expected = X
    if recipe.target is not None:
        expected = prepare.normalize_total(expected, target=recipe.target).X
    if recipe.log:
        expected = prepare.log1p(expected).X
    done = recipe.apply(X)
    dense = [v.toarray() if sp.issparse(v) else v for v in (done, expected, X)]
    np.testing.assert_allclose(dense[0], dense[1], rtol=1e-6)
    np.testing.assert_array_equal(dense[2], COUNTS)
    assert Recipe.from_steps(recipe.steps) == recipe
    columns = np.array([4, 2])
    source = PreparedSource(Blocks(X), recipe).take(columns)
    assert source.shape == (50, 2)
    for first, block in source.blocks(0, 50):
        part = block.toarray() if sp.issparse(block) else block
        np.testing.assert_array_equal(part, dense[0][first : first + 7][:, columns])
    np.testing.assert_array_equal(row_totals(Blocks(X)), COUNTS.sum(axis=1))


def test_an_unknown_recipe():
    with pytest.raises(DataError, match="not known to this partwise"):
        Recipe.from_steps([{"step": "whiten"}])
