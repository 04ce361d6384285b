"""The factorize and project jobs, from a table to their files and back."""

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import partwise as pw
from partwise.exceptions import DataError, UsageError
from partwise.workflows import FactorizeOptions, ProjectOptions, factorize, project

GENES = [f"gene{j}" for j in range(30)]


def counts(n=90, seed=0):
    rng = np.random.default_rng(seed)
    mixture = rng.dirichlet(np.full(3, 0.2), size=n)
    programs = 200 * np.random.default_rng(9).dirichlet(np.full(30, 0.2), size=3)
    return rng.poisson(mixture @ programs).astype(np.float32)


def write(folder, X, name="cells.h5ad", genes=GENES):
    adata = anndata.AnnData(
        sp.csr_matrix(X),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(len(X))]),
        var=pd.DataFrame(index=list(genes)),
    )
    adata.layers["double"] = 2 * adata.X
    path = folder / name
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("factorize")


@pytest.fixture(scope="module")
def cells(folder):
    return write(folder, counts())


@pytest.fixture(scope="module")
def result(cells, folder):
    return factorize(
        cells,
        n_components=3,
        normalize=True,
        target=1e3,
        log1p=True,
        genes=20,
        formats=("parquet", "h5ad"),
        output_dir=folder / "fit",
    )


@pytest.fixture(scope="module")
def projected(result, folder):
    new = write(folder, counts(40, seed=1), "new.h5ad")
    return project(result.outputs["model"], new, formats=("h5ad",), output_dir=folder / "new")


def test_files(result):
    there = {path.name for path in result.outputs["run"].parent.iterdir()}
    assert there == {path.name for path in result.outputs.values()}
    usage = pd.read_csv(result.outputs["usage"])
    assert list(usage.columns) == ["cell", "program_1", "program_2", "program_3"]
    np.testing.assert_array_equal(usage.iloc[:, 1:].to_numpy(np.float32), result.usage)
    programs = pd.read_csv(result.outputs["programs"], index_col="feature")
    assert tuple(programs.index) == result.features
    top = pd.read_csv(result.outputs["top"])
    assert (top[top["rank"] == 1].set_index("program")["feature"] == programs.idxmax()).all()
    typed = pd.read_parquet(result.outputs["usage_parquet"])
    np.testing.assert_array_equal(typed.iloc[:, 1:].to_numpy(), result.usage)
    assert list(typed["cell"]) == list(usage["cell"])


def test_preparation_is_what_was_asked_for(result):
    X = counts()
    X *= 1e3 / X.sum(axis=1, keepdims=True)
    from partwise.prepare import overdispersed_genes

    kept = overdispersed_genes(X, n_genes=20).indices
    assert result.features == tuple(GENES[j] for j in kept)
    model = pw.NMF(3, random_state=42).fit(sp.csr_matrix(np.log1p(X[:, kept])))
    np.testing.assert_allclose(model.components_, result.model.components_, rtol=1e-3, atol=1e-6)


def test_h5ad_holds_all_genes_and_reads_like_tl(result):
    adata = anndata.read_h5ad(result.outputs["h5ad"])
    assert adata.shape == (90, 30)
    np.testing.assert_array_equal(adata.X.toarray(), counts())
    assert adata.obsm["X_nmf"].dtype == np.float32
    assert tuple(pw.get.loadings(adata).index) == result.features
    np.testing.assert_array_equal(pw.get.usage(adata).to_numpy(), result.usage)
    assert (
        adata.uns["nmf"]["params"]["preparation"] == "each row scaled to a sum of 1000, log(1 + x)"
    )
    assert pw.get.model(adata).components_.shape == (3, 20)


def test_run_record_and_report(result):
    run = json.loads(result.outputs["run"].read_text())
    assert run["status"] == "done"
    assert run["command"].startswith("partwise factorize ")
    assert run["results"]["n_features_used"] == 20
    assert [s["step"] for s in run["results"]["preparation"]] == [
        "normalize_total",
        "log1p",
        "overdispersed_genes",
    ]
    assert run["parameters"]["layer"] == "X"
    report = result.outputs["report"].read_text()
    assert not re.search(r'(src|href)="https?:', report)
    assert "Leading features" in report
    assert report.count("<figure") == 4


def test_model_remembers(result):
    model = pw.load(result.outputs["model"])
    assert tuple(model.feature_names_in_) == result.features
    assert model.preparation_[0] == {"step": "normalize_total", "target": 1000.0}


@pytest.mark.parametrize("kind", ["csv", "npz", "npy", "mtx", "zarr", "parquet"])
def test_any_table(tmp_path, kind):
    X = counts(40)
    path = tmp_path / f"a.{kind}"
    frame = pd.DataFrame(X, columns=GENES)
    frame.insert(0, "cell", [f"c{i}" for i in range(40)])
    ids = ("cell",)
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npz":
        sp.save_npz(path, sp.csr_matrix(X))
    elif kind == "npy":
        np.save(path, X)
    elif kind == "mtx":
        from scipy.io import mmwrite

        mmwrite(path, sp.coo_matrix(X))
    else:
        anndata.AnnData(sp.csr_matrix(X)).write_zarr(path)
    found = factorize(
        path,
        n_components=2,
        id_columns=ids if kind in ("csv", "parquet") else (),
        output_dir=tmp_path / "out",
    )
    assert found.usage.shape == (40, 2)
    again = project(
        found.outputs["model"],
        path,
        id_columns=ids if kind in ("csv", "parquet") else (),
        output_dir=tmp_path / "again",
    )
    np.testing.assert_allclose(again.usage, found.usage, rtol=1e-3, atol=1e-4)


def test_layer(cells, tmp_path):
    plain = factorize(cells, n_components=2, output_dir=tmp_path / "a")
    layer = factorize(cells, n_components=2, layer="double", output_dir=tmp_path / "b")
    # both stop near the same optimum
    np.testing.assert_allclose(layer.usage, 2 * plain.usage, rtol=0.02, atol=1.0)
    with pytest.raises(DataError, match=r"no layer 'x' in the file \(layers: 'double'\)"):
        factorize(cells, n_components=2, layer="x", output_dir=tmp_path / "c")
    np.save(tmp_path / "a.npy", counts())
    with pytest.raises(UsageError, match="has no layers; only AnnData"):
        factorize(tmp_path / "a.npy", layer="x", output_dir=tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("threads", [1, 3])
def test_same_bytes_for_any_number_of_threads(cells, result, tmp_path, threads):
    again = factorize(
        cells,
        n_components=3,
        normalize=True,
        target=1e3,
        log1p=True,
        genes=20,
        threads=threads,
        output_dir=tmp_path,
    )
    for kind in ("usage", "programs", "top"):
        assert again.outputs[kind].read_bytes() == result.outputs[kind].read_bytes()


def test_on_disk_gives_the_same(cells, result, tmp_path, monkeypatch):
    """With no memory for values, rows are prepared as they are read."""
    from partwise.workflows import any_table

    real = any_table.open_table
    monkeypatch.setattr(any_table, "open_table", lambda *a, **k: real(*a, memory_limit=0, **k))
    options = {"n_components": 3, "normalize": True, "target": 1e3, "log1p": True, "genes": 20}
    again = factorize(cells, output_dir=tmp_path / "a", **options)
    np.testing.assert_array_equal(again.usage, result.usage)
    median = factorize(
        cells, output_dir=tmp_path / "b", n_components=3, normalize=True, formats=("h5ad",)
    )
    assert any("X was left out of the h5ad" in text for text in median.warnings)
    totals = counts().sum(axis=1)
    assert median.model.preparation_[0]["target"] == np.median(totals)
    found = project(again.outputs["model"], cells, output_dir=tmp_path / "c")
    np.testing.assert_allclose(found.usage, result.usage, rtol=1e-3, atol=1e-4)


class TestOptions:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"n_components": 0}, "n_components"),
            ({"loss": "huber"}, "loss must be one of"),
            ({"target": 100.0}, "belongs to normalize"),
            ({"target": -1.0, "normalize": True}, "target"),
            ({"genes": 0}, "genes"),
            ({"solver": "newton"}, "for --loss kullback-leibler"),
            ({"solver": "hals", "loss": "kullback-leibler"}, "for --loss frobenius"),
            ({"solver": "minibatch", "n_init": 3}, "one start"),
            ({"formats": ("xlsx",)}, "format must be one of"),
        ],
    )
    def test_factorize(self, wrong, text):
        with pytest.raises(UsageError, match=text):
            FactorizeOptions(**wrong)

    @pytest.mark.parametrize(
        "wrong", [{"min_coverage": 2.0}, {"min_coverage": -1.0}, {"threads": 0}]
    )
    def test_project(self, wrong):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            ProjectOptions(**wrong)

    def test_advice(self, cells, tmp_path):
        found = factorize(cells, n_components=31, genes=30, max_iter=2, output_dir=tmp_path)
        text = "\n".join(found.warnings)
        assert "exceeds the 30 features" in text
        assert "all of them were kept" in text
        assert "stopped at max_iter" in text

    def test_minibatch(self, cells, tmp_path):
        found = factorize(cells, n_components=2, solver="minibatch", output_dir=tmp_path)
        assert type(found.model).__name__ == "MiniBatchNMF"


class TestProject:
    def test_files(self, projected):
        usage = pd.read_csv(projected.outputs["usage"])
        assert list(usage.columns) == ["cell", "fit", "program_1", "program_2", "program_3"]
        coverage = pd.read_csv(projected.outputs["coverage"])
        assert (coverage["covered"] == 1).all()
        features = pd.read_csv(projected.outputs["features"])
        assert set(features["present"]) == {"yes"}
        assert "How much of each program is covered" in projected.outputs["report"].read_text()
        run = json.loads(projected.outputs["run"].read_text())
        assert len(run["inputs"]) == 2
        assert run["results"]["coverage_features"] == 1

    def test_usage_is_that_of_the_model(self, result, projected):
        X = counts(40, seed=1)
        X = np.log1p(X * 1e3 / X.sum(axis=1, keepdims=True))
        kept = [GENES.index(name) for name in result.features]
        rows = pd.DataFrame(X[:, kept], columns=list(result.features))
        np.testing.assert_allclose(
            projected.usage, result.model.transform(rows), rtol=1e-3, atol=1e-4
        )
        adata = anndata.read_h5ad(projected.outputs["h5ad"])
        np.testing.assert_allclose(adata.obs["fit"], projected.fit, equal_nan=True)
        assert np.isnan(adata.varm["NMF_loadings"]).any(axis=1).sum() == 10

    def test_other_order_more_and_fewer_genes(self, result, projected, folder):
        X = counts(40, seed=1)
        extra = np.zeros((40, 2), np.float32)
        # zeros, so that totals stay; other genes, and the known ones backwards
        new = write(
            folder, np.hstack([extra, X[:, ::-1]]), "b.h5ad", ["odd1", "odd2", *GENES[::-1]]
        )
        same = project(result.outputs["model"], new, output_dir=folder / "b")
        np.testing.assert_allclose(same.usage, projected.usage, rtol=1e-4, atol=1e-5)
        lost = result.features[0]
        some = [j for j, name in enumerate(GENES) if name != lost]
        new = write(folder, X[:, some], "c.h5ad", [GENES[j] for j in some])
        found = project(result.outputs["model"], new, output_dir=folder / "c", min_coverage=0.1)
        assert found.coverage.missing == (lost,)
        assert "1 of the model's 20 features are missing" in "\n".join(found.warnings)
        features = pd.read_csv(found.outputs["features"]).set_index("feature")
        assert features.loc[lost, "present"] == "no"

    def test_too_little_is_refused_unless_allowed(self, result, folder):
        few = list(result.features[:2])
        X = counts(40, seed=1)[:, [GENES.index(name) for name in few]]
        new = write(folder, X + 1, "few.h5ad", few)
        with pytest.raises(DataError, match=r"at least 50 % are asked for.*--allow"):
            project(result.outputs["model"], new, output_dir=folder / "few")
        assert not (folder / "few").exists()
        found = project(result.outputs["model"], new, output_dir=folder / "few", allow=True)
        assert any("of its weight" in text for text in found.warnings)

    def test_prepared_values_are_taken_as_they_are(self, result, projected, folder):
        X = counts(40, seed=1)
        ready = np.log1p(X * np.float32(1e3) / X.sum(axis=1, keepdims=True))
        new = write(folder, ready, "ready.h5ad")
        found = project(result.outputs["model"], new, prepared=True, output_dir=folder / "ready")
        np.testing.assert_allclose(found.usage, projected.usage, rtol=1e-3, atol=1e-4)

    def test_models_without_names(self, cells, tmp_path):
        pw.save(pw.NMF(2, random_state=0).fit(counts()), tmp_path / "m.npz")
        with pytest.raises(UsageError, match="no names of features"):
            project(tmp_path / "m.npz", cells, output_dir=tmp_path / "o")
        with pytest.raises(DataError, match="no such file"):
            project(tmp_path / "nothing.npz", cells, output_dir=tmp_path / "o")


@pytest.mark.parametrize(("k", "n_init", "least"), [(6, 1, 0.99), (10, 10, 0.9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_the_cells_on_a_model_of_the_other_half(data_dir, tmp_path, k, n_init, least, seed):
    """The usage is that of a joint fit's programs, matched by cosine, correlation >= 0.95.

    With 10 programs half of the cells do not determine each of them: the least is lower.
    """
    from scipy.optimize import linear_sum_assignment

    with np.load(data_dir / "pbmc3k.npz", allow_pickle=False) as file:
        X = sp.csr_matrix((file["data"], file["indices"], file["indptr"]), file["shape"])
    adata = anndata.AnnData(X.astype(np.float32))
    pw.pp.normalize_total(adata, target_sum=1e4)
    pw.pp.overdispersed_genes(adata, n_genes=2000)
    pw.pp.log1p(adata)
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    half = adata.n_obs // 2
    one, other = adata[order[:half]].copy(), adata[order[half:]].copy()
    for data in (one, adata):
        pw.tl.nmf(data, k, mask_var="highly_variable", n_init=n_init, tol=1e-6, max_iter=1000)
    pw.save(pw.get.model(one), tmp_path / "m.npz")
    pw.tl.project(other, tmp_path / "m.npz")
    left, right = (pw.get.loadings(data).to_numpy() for data in (one, adata))
    assert (pw.get.loadings(one).index == pw.get.loadings(adata).index).all()
    cosine = (left / np.linalg.norm(left, axis=0)).T @ (right / np.linalg.norm(right, axis=0))
    mine, joint = linear_sum_assignment(-cosine)
    expected = adata.obsm["X_nmf"][order[half:]][:, joint]
    usage = other.obsm["X_nmf"][:, mine]
    found = [np.corrcoef(usage[:, i], expected[:, i])[0, 1] for i in range(k)]
    assert min(found) >= least, np.round(found, 3)
    assert np.median(found) >= 0.98
    assert np.corrcoef(usage.ravel(), expected.ravel())[0, 1] >= 0.95
