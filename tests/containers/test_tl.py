"""AnnData in, AnnData out: layers, masks, views, copies, backed files, projections."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import sparse_dataset

import partwise as pw
from partwise import _slots
from partwise.exceptions import DataError, PartwiseWarning, UsageError


def make(n=60, p=12, seed=0, *, kind=np.asarray):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3)) @ (rng.random((3, p)) * (rng.random((3, p)) > 0.4))
    X[X < 0.3] = 0
    adata = anndata.AnnData(
        kind(X.astype(np.float32)),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"g{j}" for j in range(p)]),
    )
    adata.layers["double"] = kind((2 * X).astype(np.float32))
    adata.var["good"] = np.arange(p) % 3 > 0
    return adata


@pytest.fixture
def adata():
    return make()


def usage_of(adata, key="X_nmf"):
    return np.asarray(adata.obsm[key])


def test_slots_are_those_of_the_table(adata):
    assert pw.tl.nmf(adata, 3) is None
    assert adata.obsm["X_nmf"].dtype == np.float32
    assert adata.varm["NMF_loadings"].shape == (12, 3)
    record = adata.uns["nmf"]
    listed = {"params", "n_components", "loss", "loss_trace", "n_iter", "converged", "seed"}
    assert listed | {"version", "schema_version"} <= set(record)
    assert record["seed"] == 0
    model = pw.NMF(3, random_state=0)
    np.testing.assert_array_equal(usage_of(adata), model.fit_transform(adata.X))
    np.testing.assert_array_equal(adata.varm["NMF_loadings"], model.components_.T)


def test_a_key_of_ones_own_names_all_three(adata, tmp_path):
    pw.tl.nmf(adata, 2, key_added="mine")
    assert "mine" in adata.obsm
    assert "mine" in adata.varm
    assert "mine" in adata.uns
    assert pw.get.usage(adata, key="mine").shape == (60, 2)
    assert "X_nmf" not in adata.obsm


@pytest.mark.parametrize("style", [("X_nmf", "NMF_loadings"), ("nmf", "nmf")])
def test_both_styles_are_read(adata, style):
    pw.tl.nmf(adata, 2)
    usage, loadings = adata.obsm.pop("X_nmf"), adata.varm.pop("NMF_loadings")
    adata.obsm[style[0]], adata.varm[style[1]] = usage, loadings
    np.testing.assert_array_equal(pw.get.usage(adata).to_numpy(), usage)
    assert list(pw.get.loadings(adata).index) == list(adata.var_names)


def test_layer_and_mask(adata):
    pw.tl.nmf(adata, 3, layer="double", mask_var="good")
    loadings = adata.varm["NMF_loadings"]
    good = adata.var["good"].to_numpy()
    assert np.isnan(loadings[~good]).all()
    assert not np.isnan(loadings[good]).any()
    expected = pw.NMF(3, random_state=0).fit(adata.layers["double"][:, good])
    np.testing.assert_array_equal(loadings[good].T, expected.components_)
    assert adata.uns["nmf"]["params"]["layer"] == "double"
    assert adata.uns["nmf"]["params"]["mask_var"] == "good"
    assert len(pw.get.loadings(adata)) == good.sum()
    assert set(pw.get.top_genes(adata)["gene"]) <= set(adata.var_names[good])


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_sparse_stays_sparse(kind, monkeypatch):
    adata = make(kind=kind)
    for cls in (sp.csr_matrix, sp.csc_matrix, sp.csr_array):
        monkeypatch.setattr(cls, "toarray", None)
        monkeypatch.setattr(cls, "todense", None)
    before = adata.X.copy()
    pw.tl.nmf(adata, 3, mask_var="good")
    assert (before != adata.X).nnz == 0
    assert type(adata.X) is kind
    dense = make()
    pw.tl.nmf(dense, 3, mask_var="good")
    np.testing.assert_allclose(usage_of(adata), usage_of(dense), rtol=2e-2, atol=2e-3)


def test_copy_leaves_the_original_alone(adata):
    other = pw.tl.nmf(adata, 2, copy=True)
    assert "X_nmf" in other.obsm
    assert not len(adata.obsm)
    graph = pw.tl.neighbors(other, copy=True)
    assert not len(other.obsp)
    assert "leiden" in pw.tl.leiden(graph, copy=True).obs
    assert "leiden" not in graph.obs


def test_a_view_becomes_its_own(adata, recwarn):
    view = adata[:40, ::-1]
    pw.tl.nmf(view, 2)
    assert not view.is_view
    assert not len(adata.obsm)
    assert not [w for w in recwarn if "view" in str(w.message)]
    direct = adata[:40, ::-1].copy()
    pw.tl.nmf(direct, 2)
    np.testing.assert_array_equal(usage_of(view), usage_of(direct))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("mask", [None, "good"])
def test_backed_is_read_by_blocks_and_gives_the_same_bits(tmp_path, kind, mask, monkeypatch):
    adata = make(700, 30, kind=kind)
    adata.write_h5ad(tmp_path / "a.h5ad")
    pw.tl.nmf(adata, 3, mask_var=mask)
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    monkeypatch.setattr(anndata.AnnData, "to_memory", None)
    pw.tl.nmf(backed, 3, mask_var=mask)
    np.testing.assert_array_equal(usage_of(backed), usage_of(adata))
    assert backed.isbacked
    pw.tl.neighbors(backed)
    pw.tl.leiden(backed)
    pw.tl.project(backed, adata)
    np.testing.assert_array_equal(usage_of(backed), usage_of(adata))
    backed.file.close()


def test_sparse_and_dense_zarr_are_read_by_blocks(tmp_path):
    adata = make(700, 30, kind=sp.csr_matrix)
    adata.layers["dense"] = adata.X.toarray()
    adata.write_zarr(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    lazy = anndata.AnnData(sparse_dataset(group["X"]), obs=adata.obs, var=adata.var)
    pw.tl.nmf(lazy, 3)
    pw.tl.nmf(adata, 3)
    np.testing.assert_array_equal(usage_of(lazy), usage_of(adata))


def test_lost_chunks_are_not_zeros(tmp_path):
    adata = make(700, 30, kind=sp.csr_matrix)
    adata.write_zarr(tmp_path / "a.zarr")
    next(path for path in (tmp_path / "a.zarr/X/data").iterdir() if path.name == "0").unlink()
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    with pytest.raises(DataError, match="chunks of X/data are missing"):
        pw.tl.nmf(anndata.AnnData(sparse_dataset(group["X"])), 2)


def test_columns_on_disk_say_so(tmp_path):
    adata = make(700, 30, kind=sp.csc_matrix)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.warns(PartwiseWarning, match="stored by columns"):
        pw.tl.nmf(backed, 2)
    backed.file.close()


def test_what_a_backed_file_refuses(tmp_path):
    make(20).write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(UsageError, match="copy=True would copy the file"):
        pw.tl.nmf(backed, 2, copy=True)
    with pytest.raises(UsageError, match="view of an AnnData in a file"):
        pw.tl.nmf(backed[:10], 2)
    backed.file.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layer": "counts"}, "there is no layer 'counts'; there are 'double'"),
        ({"mask_var": "best"}, "var has no column 'best'; it has 'good'"),
        ({"mask_var": np.ones(3, bool)}, "one value for each of the 12 variables"),
        ({"mask_var": np.arange(12)}, "must hold truth values"),
        ({"mask_var": np.zeros(12, bool)}, "leaves no variable"),
        ({"nonsense": 1}, "NMF has no parameter 'nonsense'"),
        ({"solver": "minibatch", "n_init": 2}, "MiniBatchNMF has no parameter 'n_init'"),
    ],
)
def test_bad_options(adata, options, text):
    with pytest.raises(UsageError, match=text):
        pw.tl.nmf(adata, 2, **options)
    assert not len(adata.obsm)


def test_no_matrix_and_strange_matrices(adata):
    del adata.X
    with pytest.raises(DataError, match=r"has no X; name a layer \('double'\)"):
        pw.tl.nmf(adata, 2)
    with pytest.raises(DataError, match="Negative values in data passed to NMF"):
        pw.tl.nmf(anndata.AnnData(-np.ones((5, 4), np.float32)), 2)


def test_minibatch(adata):
    pw.tl.nmf(adata, 2, solver="minibatch", batch_size=16)
    assert adata.uns["nmf"]["estimator"] == "MiniBatchNMF"
    assert adata.uns["nmf"]["params"]["batch_size"] == 16
    assert type(pw.get.model(adata)).__name__ == "MiniBatchNMF"


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_everything_reopens(adata, tmp_path, form):
    pw.tl.nmf(adata, 2, l1_usage=np.array([0.1, 0.2]), l2_programs=0.1, mask_var="good")
    pw.tl.neighbors(adata)
    pw.tl.leiden(adata)
    path = tmp_path / f"a.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    for key, value in adata.uns["nmf"].items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(back.uns["nmf"][key], value)
        elif not isinstance(value, dict):
            assert back.uns["nmf"][key] == value
    assert back.obs["leiden"].equals(adata.obs["leiden"])
    assert (back.obsp["connectivities"] != adata.obsp["connectivities"]).nnz == 0
    model = pw.get.model(back)
    np.testing.assert_array_equal(model.l1_usage, [0.1, 0.2])
    good = adata.var["good"].to_numpy()
    np.testing.assert_allclose(
        model.transform(back.X[:, good]), usage_of(adata), rtol=1e-4, atol=1e-6
    )
    pw.save(model, tmp_path / "m.npz")
    assert list(pw.load(tmp_path / "m.npz").feature_names_in_) == list(adata.var_names[good])


def test_a_record_of_a_later_version(adata):
    pw.tl.nmf(adata, 2)
    adata.uns["nmf"]["schema_version"] = _slots.SCHEMA_VERSION + 1
    with pytest.raises(DataError, match="later partwise"):
        pw.get.model(adata)
    adata.uns["nmf"] |= {"schema_version": 1, "estimator": "os.system"}
    with pytest.raises(DataError, match="unknown estimator"):
        pw.get.model(adata)


def test_nothing_fitted(adata):
    for ask in (pw.get.usage, pw.get.loadings, pw.get.model, pw.pl.top_genes, pw.pl.loss):
        with pytest.raises(DataError, match=r"no factorization 'nmf'.*Run partwise\.tl\.nmf"):
            ask(adata)
    with pytest.raises(UsageError, match="obsm has no 'X_nmf'"):
        pw.tl.neighbors(adata)
    with pytest.raises(UsageError, match="there is no graph"):
        pw.tl.leiden(adata)


def test_top_genes(adata):
    pw.tl.nmf(adata, 3)
    top = pw.get.top_genes(adata, n_genes=4)
    loadings = pw.get.loadings(adata)
    assert list(top.columns) == ["program", "rank", "gene", "weight", "share"]
    first = top[top["rank"] == 1].set_index("program")["gene"]
    assert (first == loadings.idxmax()).all()
    shares = pw.get.top_genes(adata, n_genes=4, by="share")
    assert shares.groupby("program")["share"].apply(lambda s: s.is_monotonic_decreasing).all()


def test_pictures(adata):
    pw.tl.nmf(adata, 3)
    adata.obsm["X_umap"] = np.random.default_rng(0).random((60, 2))
    assert len(pw.pl.usage(adata).axes) == 3
    assert [a.get_title(loc="left") for a in pw.pl.usage(adata, programs=[2]).axes] == ["Program 2"]
    with pytest.raises(UsageError, match="numbered from 1 to 3"):
        pw.pl.usage(adata, programs=[4])
    with pytest.raises(UsageError, match="no embedding 'tsne'"):
        pw.pl.usage(adata, basis="tsne")
    labels = [t.get_text() for t in pw.pl.top_genes(adata, n_genes=2).axes[0].get_yticklabels()]
    assert labels == pw.get.top_genes(adata, n_genes=2)["gene"].tolist()[:2]
    assert len(pw.pl.loss(adata).axes) == 2


class TestProject:
    @pytest.fixture
    def halves(self):
        adata = make(120)
        fitted, new = adata[:60].copy(), adata[60:].copy()
        pw.tl.nmf(fitted, 3)
        return fitted, new

    def test_equals_transform(self, halves, tmp_path):
        fitted, new = halves
        pw.tl.project(new, fitted)
        expected = pw.get.model(fitted).transform(new.to_df())
        np.testing.assert_array_equal(usage_of(new), expected)
        pw.save(pw.get.model(fitted), tmp_path / "m.npz")
        for model in (str(tmp_path / "m.npz"), tmp_path / "m.npz", pw.get.model(fitted)):
            other = pw.tl.project(new, model, key_added="again", copy=True)
            np.testing.assert_array_equal(usage_of(other, "again"), expected)
        assert new.uns["nmf"]["coverage"]["features"] == 1

    def test_genes_are_matched_by_name(self, halves):
        fitted, new = halves
        shuffled = new[:, ::-1].copy()
        extra = anndata.AnnData(
            np.full((60, 2), 9, np.float32),
            obs=new.obs,
            var=pd.DataFrame(index=["other1", "other2"]),
        )
        wider = anndata.concat([extra, shuffled], axis=1)
        pw.tl.project(new, fitted)
        pw.tl.project(wider, fitted)
        np.testing.assert_allclose(usage_of(wider), usage_of(new), rtol=1e-6)
        assert np.isnan(wider.varm["NMF_loadings"][:2]).all()
        back = wider[:, list(new.var_names)].varm["NMF_loadings"]
        np.testing.assert_array_equal(back, new.varm["NMF_loadings"])

    def test_missing_genes_are_left_out_not_zero(self, halves):
        fitted, new = halves
        some = new[:, 2:].copy()
        pw.tl.project(some, fitted)
        from scipy.optimize import nnls

        H = fitted.varm["NMF_loadings"][2:].astype(float)
        expected = [nnls(H, row)[0] for row in some.X.astype(float)]
        np.testing.assert_allclose(usage_of(some), expected, rtol=1e-3, atol=1e-4)
        assert list(some.uns["nmf"]["coverage"]["missing"]) == ["g0", "g1"]
        assert 0 < some.uns["nmf"]["coverage"]["programs"].min() < 1

    def test_fit_of_each_cell(self, halves):
        fitted, new = halves
        new.X[3] = 0
        pw.tl.project(new, fitted)
        rest = new.X - usage_of(new) @ new.varm["NMF_loadings"].T
        expected = 1 - (rest**2).sum(axis=1) / np.maximum((new.X**2).sum(axis=1), 1e-30)
        expected[3] = np.nan
        np.testing.assert_allclose(new.obs["nmf_fit"], expected, rtol=1e-4, atol=1e-5)

    def test_too_few_genes(self, halves):
        fitted, new = halves
        few = new[:, :2].copy()
        with pytest.raises(DataError, match=r"2 of the model's 12 features.*Missing: g2, g3"):
            pw.tl.project(few, fitted)
        assert not len(few.obsm)
        pw.tl.project(few, fitted, min_coverage=0)
        assert usage_of(few).shape == (60, 3)

    def test_no_gene_or_double_genes(self, halves):
        fitted, new = halves
        other = new.copy()
        other.var_names = [f"ENSG{j}" for j in range(12)]
        with pytest.raises(DataError, match="are the names of the same kind"):
            pw.tl.project(other, fitted)
        other.var_names = ["g0", "g0", *other.var_names[2:]]
        with pytest.raises(DataError, match="there more than once"):
            pw.tl.project(other, fitted)

    def test_a_model_without_names(self, halves):
        _, new = halves
        with pytest.raises(UsageError, match="no names of features"):
            pw.tl.project(new, pw.NMF(2, random_state=0).fit(new.X))


def test_plain_values_go_through_hdf5(tmp_path):
    value = _slots.plain(
        {"a": None, "b/c": (1, 2), "d": ["x", 1], "e": np.float32(2), "f": {"g": True}, "h": []}
    )
    assert set(value) == {"b_c", "d", "e", "f", "h"}
    adata = anndata.AnnData(np.ones((2, 2), np.float32), uns={"v": value})
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad").uns["v"]
    assert back["d"].tolist() == ["x", "1"]
    assert bool(back["f"]["g"]) is True
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert "b_c" in file["uns/v"]


class TestOtherEstimators:
    @pytest.fixture
    def counts(self):
        adata = make(80)
        adata.X = np.random.default_rng(5).poisson(6 * adata.X).astype(np.float32) + 0
        adata.obs["size"] = 1.0 + np.arange(80) % 3
        return adata

    def test_counts(self, counts, tmp_path):
        pw.tl.nmf(counts, 2, loss="kullback-leibler", size_factors="size", mask_var="good")
        good = counts.var["good"].to_numpy()
        model = pw.NMF(2, loss="kullback-leibler", random_state=0)
        expected = model.fit_transform(counts.X[:, good], size_factors=counts.obs["size"])
        np.testing.assert_array_equal(usage_of(counts), expected)
        assert counts.uns["nmf"]["loss"] == "kullback-leibler"
        counts.write_h5ad(tmp_path / "a.h5ad")
        again = pw.get.model(anndata.read_h5ad(tmp_path / "a.h5ad"))
        assert again.loss == "kullback-leibler"
        with pytest.raises(UsageError, match="obs has no column 'nothing'"):
            pw.tl.nmf(counts, 2, loss="kullback-leibler", size_factors="nothing")

    def test_projected_counts(self, counts):
        fitted, new = counts[:40].copy(), counts[40:].copy()
        pw.tl.nmf(fitted, 2, loss="kullback-leibler")
        pw.tl.project(new, fitted)
        np.testing.assert_allclose(
            usage_of(new), pw.get.model(fitted).transform(new.to_df()), rtol=1e-5
        )
        x, m = new.X.astype(float), usage_of(new) @ new.varm["NMF_loadings"].T.astype(float)
        q = new.varm["NMF_loadings"] / new.varm["NMF_loadings"].sum(axis=0)
        null = x.sum(axis=1, keepdims=True) * q.mean(axis=1).astype(float)

        def deviance(mean):
            ratio = np.where(x > 0, x / np.where(x > 0, mean, 1), 1)
            return (x * np.log(ratio) - x + mean).sum(axis=1)

        np.testing.assert_allclose(new.obs["nmf_fit"], 1 - deviance(m) / deviance(null), rtol=1e-4)

    def test_mask_goes_with_the_variables(self, counts):
        mask = np.random.default_rng(1).random(counts.shape) < 0.1
        pw.tl.nmf(counts, 2, mask=mask, mask_var="good")
        good = counts.var["good"].to_numpy()
        expected = pw.NMF(2, random_state=0).fit(counts.X[:, good], mask=mask[:, good])
        loadings = counts.varm["NMF_loadings"][good].T
        np.testing.assert_array_equal(loadings, expected.components_)

    def test_consensus(self, counts, tmp_path):
        pw.tl.consensus_nmf(counts, 3, n_replicates=5, density_threshold=2.0)
        record = counts.uns["nmf"]
        assert record["estimator"] == "ConsensusNMF"
        assert -1 <= record["stability"] <= 1
        assert len(record["local_density"]) == 15
        counts.write_h5ad(tmp_path / "a.h5ad")
        back = anndata.read_h5ad(tmp_path / "a.h5ad")
        pw.save(pw.get.model(back), tmp_path / "m.npz")
        new = make(20, seed=1)
        pw.tl.project(new, tmp_path / "m.npz", min_coverage=0.9)
        assert usage_of(new).shape == (20, 3)

    def test_rank(self, counts, tmp_path):
        pw.tl.select_rank(counts, [1, 2, 3], methods=("cv",), n_replicates=2)
        assert set(counts.uns["nmf_rank"]["rank"]) == {1, 2, 3}
        choice = counts.uns["nmf_rank_choice"]
        assert choice["recommended"] in (1, 2, 3)
        counts.write_h5ad(tmp_path / "a.h5ad")
        back = anndata.read_h5ad(tmp_path / "a.h5ad")
        assert list(back.uns["nmf_rank"].columns) == list(counts.uns["nmf_rank"].columns)
        assert back.uns["nmf_rank_choice"]["rule"] == choice["rule"]

    def test_known_programs(self, counts):
        known = np.full((1, 12), np.nan)
        known[0, :3] = 1.0
        pw.tl.nmf(counts, 2, fixed_programs=known)
        np.testing.assert_array_equal(counts.varm["NMF_loadings"][:3, 0], 1.0)
        some = counts[:, 1:].copy()
        pw.tl.project(some, counts)
        assert usage_of(some).shape == (80, 2)

    def test_a_model_of_the_command_line_prepares_the_new_values(self, counts, tmp_path):
        model = pw.NMF(2, random_state=0)
        totals = counts.X.sum(axis=1, keepdims=True)
        ready = np.log1p(counts.X * np.float32(100) / np.where(totals > 0, totals, 1))
        model.fit(pd.DataFrame(ready, columns=counts.var_names))
        model.preparation_ = [{"step": "normalize_total", "target": 100.0}, {"step": "log1p"}]
        pw.save(model, tmp_path / "m.npz")
        pw.tl.project(counts, tmp_path / "m.npz")
        frame = pd.DataFrame(ready, columns=counts.var_names)
        np.testing.assert_allclose(usage_of(counts), model.transform(frame), rtol=1e-3, atol=1e-4)
        assert counts.uns["nmf"]["params"]["preparation"].startswith("each row scaled")
        counts.X = ready
        pw.tl.project(counts, tmp_path / "m.npz", prepare=False, key_added="as_is")
        np.testing.assert_allclose(
            usage_of(counts, "as_is"), usage_of(counts), rtol=1e-3, atol=1e-4
        )
