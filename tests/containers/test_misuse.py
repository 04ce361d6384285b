"""What people do with an AnnData by mistake, and values that go with its variables."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import partwise as pw
from partwise.exceptions import DataError, PartwiseWarning, ResourceError, UsageError


def make(n=60, p=12):
    rng = np.random.default_rng(0)
    X = rng.poisson(3 * rng.random((n, 3)) @ rng.random((3, p))).astype(np.float32)
    adata = anndata.AnnData(X + 1)
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.var_names = [f"g{j}" for j in range(p)]
    adata.var["good"] = np.arange(p) % 3 > 0
    return adata


@pytest.fixture
def adata():
    return make()


@pytest.fixture
def fitted(adata):
    pw.tl.nmf(adata, 2)
    return adata


@pytest.mark.parametrize("what", [np.ones((5, 4)), "cells.h5ad", pd.DataFrame(np.ones((5, 4)))])
@pytest.mark.parametrize(
    "call",
    [lambda a: pw.tl.nmf(a, 2), pw.pp.log1p, pw.get.usage, pw.pl.loss, pw.tl.neighbors],
)
def test_what_is_no_anndata(call, what):
    advice = r"read_h5ad" if isinstance(what, str) else r"partwise\.NMF"
    with pytest.raises(UsageError, match=f"an AnnData is needed, not a .*{advice}"):
        call(what)


def test_keys_that_files_do_not_hold(adata):
    for call in (pw.tl.nmf, pw.tl.consensus_nmf):
        with pytest.raises(UsageError, match="key_added must be a text without '/'"):
            call(adata, 2, key_added="a/b")
    assert not len(adata.obsm)


@pytest.mark.parametrize(
    ("name", "text"), [("use_highly_variable", "mask_var='highly_variable'"), ("use_raw", "raw")]
)
def test_parameters_of_scanpy(adata, name, text):
    with pytest.raises(UsageError, match=f"no parameter '{name}': .*{text}"):
        pw.tl.nmf(adata, 2, **{name: True})
    with pytest.raises(UsageError, match=r"no parameter 'alpha_W' .take l1_usage"):
        pw.tl.nmf(adata, 2, alpha_W=0.1)


class TestGivenPrograms:
    """`fixed_programs` are matched with the variables by name, and survive a file."""

    @pytest.mark.parametrize("mask", [None, "good"])
    def test_by_name(self, adata, mask, tmp_path):
        given = pd.DataFrame(np.random.default_rng(1).random((1, 12)), columns=adata.var_names)
        pw.tl.nmf(adata, 2, fixed_programs=given.iloc[:, ::-1], mask_var=mask)
        kept = adata.var["good"].to_numpy() if mask else np.ones(12, bool)
        there = adata.varm["NMF_loadings"][:, 0]
        np.testing.assert_array_equal(there[kept], given.to_numpy("f4")[0, kept])
        assert np.isnan(there[~kept]).all()
        adata.write_h5ad(tmp_path / "a.h5ad")
        model = pw.get.model(anndata.read_h5ad(tmp_path / "a.h5ad"))
        np.testing.assert_array_equal(model.fixed_programs, given.to_numpy()[:, kept])

    def test_an_array_of_all_variables(self, adata):
        given = np.random.default_rng(1).random((1, 12))
        pw.tl.nmf(adata, 2, fixed_programs=given, mask_var="good")
        kept = adata.var["good"].to_numpy()
        there = adata.varm["NMF_loadings"][kept, 0]
        np.testing.assert_array_equal(there, given.astype("f4")[0, kept])

    def test_a_data_frame_is_saved_in_the_order_of_the_fit(self, adata, tmp_path):
        given = pd.DataFrame(np.random.default_rng(1).random((1, 12)), columns=adata.var_names)
        model = pw.NMF(2, fixed_programs=given.iloc[:, ::-1], random_state=0).fit(adata.to_df())
        pw.save(model, tmp_path / "model.npz")
        back = pw.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(back.fixed_programs, given)
        pw.tl.project(adata, back)
        pw.tl.project(adata, model)
        kept = pw.get.model(adata).fixed_programs
        np.testing.assert_array_equal(kept, given)

    def test_names_that_differ_or_repeat(self, adata):
        given = pd.DataFrame(np.ones((1, 12)), columns=[f"h{j}" for j in range(12)])
        with pytest.raises(UsageError, match="must be the features of X, each once"):
            pw.tl.nmf(adata, 2, fixed_programs=given)
        adata.var_names = ["g0", "g0", *adata.var_names[2:]]
        with pytest.raises(UsageError, match="must be the features of X, each once"):
            pw.tl.nmf(adata, 2, fixed_programs=given.set_axis(adata.var_names, axis=1))


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sp.csr_matrix, sp.coo_matrix])
def test_masks_of_all_variables_go_with_some(adata, kind):
    hidden = np.zeros(adata.shape, bool)
    hidden[3, 4] = True
    pw.tl.nmf(adata, 2, mask=kind(hidden), mask_var="good")
    with_nan = make()
    with_nan.X[3, 4] = np.nan
    pw.tl.nmf(with_nan, 2, mask_var="good")
    np.testing.assert_array_equal(adata.obsm["X_nmf"], with_nan.obsm["X_nmf"])


def test_weights_of_the_variables_go_with_some(adata):
    weights = np.linspace(1, 2, 12)
    pw.tl.nmf(adata, 2, weights=weights[None, :], mask_var="good")
    other = make()[:, make().var["good"]].copy()
    pw.tl.nmf(other, 2, weights=weights[None, adata.var["good"]])
    np.testing.assert_array_equal(adata.obsm["X_nmf"], other.obsm["X_nmf"])


def test_names_that_repeat(fitted):
    again = make()
    again.var_names = ["g0", "g0", *again.var_names[2:]]
    pw.tl.nmf(again, 2)
    assert pw.get.loadings(again).shape == (12, 2)
    with pytest.raises(DataError, match="the model has more than one feature of the name 'g0'"):
        pw.tl.project(make(), again)
    with pytest.raises(DataError, match="'g0': 1 feature that the model needs is there more"):
        pw.tl.project(again.copy(), fitted)


def test_projecting_on_what_is_no_model(fitted):
    with pytest.raises(UsageError, match="model must be a fitted AnnData"):
        pw.tl.project(make(), 3)


def test_logarithms_twice(adata):
    pw.pp.log1p(adata)
    with pytest.warns(PartwiseWarning, match="logarithm is taken again"):
        pw.pp.log1p(adata)
    with pytest.warns(PartwiseWarning, match="chosen before"):
        pw.pp.overdispersed_genes(adata, n_genes=3)


@pytest.mark.parametrize("programs", [3, [0], [], ["program_1"], [1.5], "12"])
def test_programs_to_draw(fitted, programs):
    with pytest.raises(UsageError, match="numbered from 1 to 2"):
        pw.pl.usage(fitted, basis="nmf", programs=programs)


def test_no_loss_to_draw(adata):
    pw.tl.consensus_nmf(adata, 2, n_replicates=3)
    with pytest.raises(UsageError, match=r"neither tl\.consensus_nmf"):
        pw.pl.loss(adata)


def test_where_nothing_can_be_saved(fitted, tmp_path):
    model = pw.get.model(fitted)
    with pytest.raises(ResourceError, match="there is no folder"):
        pw.save(model, tmp_path / "no" / "model.npz")
    with pytest.raises(ResourceError, match="folder of that name"):
        pw.save(model, tmp_path)
    with pytest.raises(DataError, match="this is a folder"):
        pw.load(tmp_path)


def test_more_programs_than_panels():
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(np.zeros((9, 45), np.float32))
    adata.obsm["X_nmf"] = rng.random((9, 41))
    adata.varm["NMF_loadings"] = rng.random((45, 41))
    assert len(pw.pl.usage(adata, basis="nmf").axes) == 40
    with pytest.raises(UsageError, match="at most 40 programs fit"):
        pw.pl.usage(adata, basis="nmf", programs=range(1, 42))
    axes = pw.pl.usage(adata, basis="nmf", programs=[3]).axes[0]
    top = np.quantile(adata.obsm["X_nmf"][:, 2], 0.99)
    assert axes.get_title(loc="right") == f"0 to {top:.3g}"
