"""The cluster job, from a table to its files."""

import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

import partwise
from partwise.exceptions import MissingDependencyError, UsageError
from partwise.report import Report
from partwise.workflows import ClusterOptions, cluster, simulate
from partwise.workflows.clustering import job as cluster_job
from plain_report import write_plain

STEM = "test_neighborhood_freqs_600"
CLUSTERS, BASIS = f"{STEM}_nmf_leiden_clusters.csv", f"{STEM}_nmf_basis_H.csv"


@pytest.fixture(scope="module")
def result(small_table, tmp_path_factory):
    return cluster(small_table, n_components=5, output_dir=tmp_path_factory.mktemp("out"))


@pytest.fixture
def run(small_table, tmp_path, monkeypatch):
    """Run the job on the small table into a new folder each time; figures only if asked for."""
    count = iter(range(100))

    def job(table=small_table, *, figures=False, **options):
        with monkeypatch.context() as patch:
            if not figures:
                patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
            return cluster(table, output_dir=tmp_path / f"out{next(count)}", **options)

    return job


def read(result, kind="clusters"):
    return pd.read_csv(result.outputs[kind])


def test_files_and_columns_are_those_of_the_original(result, small_table):
    folder = result.outputs["clusters"].parent
    assert result.outputs["clusters"].name == CLUSTERS
    assert result.outputs["basis"].name == BASIS
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in result.outputs.values())
    table, source = read(result), pd.read_csv(small_table)
    factors = [f"NMF_factor_{i}" for i in range(1, 6)]
    assert list(table.columns) == ["fov", "label", "cell_meta_cluster", "leiden_cluster", *factors]
    ids = ["fov", "label", "cell_meta_cluster"]
    pd.testing.assert_frame_equal(table[ids], source[ids])
    basis = read(result, "basis")
    assert list(basis.columns) == ["cell_type", *factors]
    assert list(basis["cell_type"]) == list(source.columns[3:])


def test_the_files_hold_what_the_result_holds(result, small_table):
    table, basis = read(result), read(result, "basis").set_index("cell_type")
    np.testing.assert_array_equal(table["leiden_cluster"], result.rows.clustering.labels)
    np.testing.assert_allclose(basis.to_numpy().T, result.factorization.programs, rtol=1e-6)
    W = table.filter(like="NMF_factor").to_numpy()
    X = pd.read_csv(small_table).iloc[:, 3:].to_numpy()
    error = np.linalg.norm(X - W @ basis.to_numpy().T) / np.linalg.norm(X)
    assert error == pytest.approx(result.factorization.relative_error, rel=1e-3)
    assert (W >= 0).all()
    assert (basis.to_numpy() >= 0).all()


def test_planted_types_are_found(result, small_table):
    truth = pd.read_csv(str(small_table).replace(".csv", "_truth.csv"))["type"]
    from partwise.metrics import adjusted_rand

    assert adjusted_rand(truth, result.rows.clustering.labels) > 0.85
    assert result.factorization.converged


def test_run_record(result, small_table):
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["status"] == "done"
    assert record["seed"] == 42
    assert record["parameters"]["n_components"] == 5
    assert record["parameters"]["id_columns"] == ["fov", "label", "cell_meta_cluster"]
    assert record["command"].startswith("partwise cluster ")
    assert "--n-components 5" in record["command"]
    assert record["results"]["n_clusters"] == result.rows.clustering.n_clusters
    assert {stage["status"] for stage in record["stages"]} == {"done"}
    assert record["warnings"] == list(result.warnings)
    (entry,) = record["inputs"]
    assert entry["sha256"] == hashlib.sha256(small_table.read_bytes()).hexdigest()
    folder = result.outputs["run"].parent
    assert {entry["path"] for entry in record["outputs"]} == {
        path.name for kind, path in result.outputs.items() if kind != "run"
    }
    for entry in record["outputs"]:
        data = (folder / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)


def test_report_is_complete_and_needs_no_network(result):
    html = result.outputs["report"].read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "<script" not in html
    assert len(html) < 5_000_000
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) >= 8
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)
    for text in (
        "Relative error",
        "Control: clusters without the factorization",
        "Clusters by cell_meta_cluster",
        "Clusters by fov",
        "Loss by iteration",
        "Cells in the plane",
        "Factors in each cluster",
        "Cells per cluster",
        "What the factors are made of",
        "partwise cluster ",
        f"{result.factorization.relative_error:.3g}",
        f"{result.control.adjusted_rand:.3f}",
    ):
        assert text in html, text


def test_saved_model(result, small_table):
    model = partwise.load(result.outputs["model"])
    X = pd.read_csv(small_table, dtype=dict.fromkeys(result.features, np.float32)).iloc[:, 3:]
    np.testing.assert_allclose(
        model.transform(X), read(result).filter(like="NMF_factor"), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_array_equal(model.components_, result.model.components_)


def _same_bytes(a, b):
    for kind in ("clusters", "basis"):
        assert a.outputs[kind].read_bytes() == b.outputs[kind].read_bytes(), kind


@pytest.mark.parametrize("chunksize", [1, 7, 100, 599, 600, 10_000])
def test_chunks_do_not_change_results(result, run, chunksize):
    _same_bytes(result, run(n_components=5, chunksize=chunksize))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_results(result, run, threads):
    _same_bytes(result, run(n_components=5, threads=threads))


def test_python_and_options_are_the_same_call(result, small_table, tmp_path):
    options = ClusterOptions(n_components=5, output_dir=tmp_path)
    _same_bytes(result, cluster(small_table, options=options))
    with pytest.raises(UsageError, match="not both"):
        cluster(small_table, options=options, seed=3)


def test_more_factors_than_features_work_with_advice(run):
    result = run(n_components=10)
    assert result.factorization.programs.shape == (10, 6)
    assert any("n_components (-n 10) exceeds the 6 features" in text for text in result.warnings)
    assert result.factorization.relative_error < 0.02


def test_resolution_and_neighbors_have_an_effect(result, run):
    fine = run(n_components=5, resolution=3.0)
    assert fine.rows.clustering.n_clusters > result.rows.clustering.n_clusters
    wide = run(n_components=5, n_neighbors=40)
    assert wide.rows.n_neighbors == 40
    assert wide.rows.n_edges > result.rows.n_edges


@pytest.mark.parametrize("solver", ["bpp", "minibatch"])
def test_solvers(result, run, solver):
    other = run(n_components=5, solver=solver)
    assert other.factorization.solver == solver
    assert not np.array_equal(other.factorization.programs, result.factorization.programs)


def test_the_mini_batch_solver_says_how_far_it_stopped(run):
    result = run(n_components=5, solver="minibatch", figures=True)
    assert "relative_gap" in result.factorization.details
    html = result.outputs["report"].read_text("utf-8")
    assert "relative gap" in html


def test_batch_size_has_an_effect_or_says_that_it_has_none(run):
    told = run(n_components=5, batch_size=64)
    assert any("batch_size (-b 64) has no effect" in text for text in told.warnings)
    quiet = run(n_components=5)
    assert not any("batch_size" in text for text in quiet.warnings)
    small = run(n_components=5, solver="minibatch", batch_size=64)
    large = run(n_components=5, solver="minibatch", batch_size=600)
    assert not any("batch_size" in text for text in small.warnings)
    assert not np.array_equal(small.factorization.programs, large.factorization.programs)


def test_fit_options_have_an_effect(result, run):
    short = run(n_components=5, max_iter=2, tol=0.0)
    assert short.factorization.n_iter == 2
    assert not short.factorization.converged
    assert any("max_iter" in text for text in short.warnings)
    loose = run(n_components=5, tol=0.1)
    assert loose.factorization.n_iter < result.factorization.n_iter
    random = run(n_components=5, init="random")
    other = run(n_components=5, init="random", seed=1)
    assert not np.array_equal(random.factorization.programs, other.factorization.programs)


def test_features_and_id_columns(run, small_table, tmp_path):
    frame = pd.read_csv(small_table).rename(columns={"fov": "sample", "label": "cell"})
    path = tmp_path / "renamed.csv"
    frame.to_csv(path, index=False)
    result = run(
        path,
        n_components=2,
        id_columns=("sample", "cell"),
        features=("*cell", "Fibro*", "Lymphocyte"),
    )
    table = read(result)
    assert list(table.columns[:3]) == ["sample", "cell", "leiden_cluster"]
    assert set(read(result, "basis")["cell_type"]) == {
        "Cancer cell",
        "Myeloid cell",
        "Endothelial cell",
        "Fibroblast",
        "Lymphocyte",
    }


def test_isolated_cells(run, small_table, tmp_path):
    frame = pd.read_csv(small_table)
    frame.iloc[[3, 500], 3:] = 0.0
    path = tmp_path / "isolated.csv"
    frame.to_csv(path, index=False)
    result = run(path, n_components=5, figures=True)
    labels = read(result)["leiden_cluster"]
    assert list(np.flatnonzero(labels == -1)) == [3, 500]
    assert result.rows.n_isolated == 2
    assert any("2 cells have no neighbourhood" in text for text in result.warnings)
    assert "Isolated cells" in result.outputs["report"].read_text("utf-8")


def test_fewer_cells_than_neighbors(run, small_table, tmp_path):
    path = tmp_path / "few.csv"
    pd.read_csv(small_table).head(9).to_csv(path, index=False)
    result = run(path, n_components=3, figures=True)
    assert len(read(result)) == 9
    assert any("n_neighbors (-k 15) is not less than the 9 cells" in t for t in result.warnings)


@pytest.mark.parametrize(("k", "trivial"), [(2, False), (3, True)])
def test_as_many_factors_as_features_are_no_finding(run, monkeypatch, tmp_path, k, trivial):
    """The error is small then, whatever is in the table."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"fov": "F", "label": range(300), "cell_meta_cluster": "a"})
    frame[["A", "B", "C"]] = rng.random((300, 3))
    frame.to_csv(tmp_path / "three.csv", index=False)
    monkeypatch.setattr(cluster_job, "write_report", write_plain)
    said = run(tmp_path / "three.csv", n_components=k, figures=True).outputs["report"].read_text()
    assert ("There are as many factors as features" in said) == trivial


def test_repeated_rows_give_few_clusters(run, tmp_path):
    table = simulate(n_cells=4000, mode="discrete", output_dir=tmp_path).outputs["table"]
    result = run(table, n_components=5)
    assert result.rows.n_distinct < 4000
    assert result.rows.clustering.n_clusters <= 12


def test_formats_hold_the_same(result, run):
    import anndata

    other = run(n_components=5, formats=("parquet", "h5ad"))
    _same_bytes(result, other)
    table = read(other)
    parquet = pd.read_parquet(other.outputs["parquet"])
    assert list(parquet.columns) == list(table.columns)
    np.testing.assert_allclose(parquet["NMF_factor_2"], table["NMF_factor_2"], rtol=1e-6)
    assert list(parquet["fov"].astype(str)) == list(table["fov"])
    adata = anndata.read_h5ad(other.outputs["h5ad"])
    assert adata.shape == (600, 6)
    np.testing.assert_allclose(adata.obsm["X_nmf"], table.filter(like="NMF_factor"), rtol=1e-6)
    np.testing.assert_allclose(adata.varm["NMF_loadings"], other.factorization.programs.T)
    assert list(adata.obs["leiden_cluster"].astype(int)) == list(table["leiden_cluster"])


def test_umap_is_asked_for_before_the_work(small_table, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'partwise\[umap\]'"):
        cluster(small_table, umap=True, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_umap_in_place_of_pca(run, monkeypatch):
    from partwise.workflows.clustering import job as cluster_job
    from partwise.workflows.clustering import stages as cluster_stages

    asked = {}

    def umap(points, **settings):
        asked.update(settings, shape=points.shape)
        return points[:, :2]

    monkeypatch.setattr(cluster_job, "require", lambda *_: None)
    monkeypatch.setattr(cluster_stages, "umap", umap)
    result = run(n_components=5, umap=True, seed=3, figures=True)
    assert asked == {"random_state": 3, "shape": (600, 5)}
    html = result.outputs["report"].read_text("utf-8")
    assert "UMAP of what the factors say" in html


def test_large_tables_are_compared_on_a_sample(small_table, run, monkeypatch):
    from partwise.workflows.clustering import control as cluster_control

    monkeypatch.setattr(cluster_control, "_MOST_CELLS", 250)
    result = run(n_components=5, figures=True)
    assert result.control.n_cells == 250
    assert (np.diff(result.control.rows) > 0).all()
    html = result.outputs["report"].read_text("utf-8")
    assert "a random sample of 250 cells" in html
    assert result.summary["control"]["sampled"]


def test_gather_rows_of_all_kinds():
    import scipy.sparse as sp

    from partwise.workflows.clustering.control import gather_rows

    X = np.arange(40.0).reshape(10, 4)

    class Blocks:
        shape, dtype = X.shape, X.dtype

        def blocks(self, start, stop):
            for first in range(start, stop, 3):
                yield first, X[first : min(first + 3, stop)]

    for rows in (None, np.array([0, 2, 3, 9])):
        expected = X if rows is None else X[rows]
        for matrix in (X, sp.csr_matrix(X), Blocks()):
            np.testing.assert_array_equal(gather_rows(matrix, rows), expected)


def test_wide_tables_are_compared_in_principal_components(run, tmp_path):
    rng = np.random.default_rng(0)
    kinds = rng.integers(3, size=300)
    X = rng.random((300, 80)) * 0.2 + (rng.random((3, 80)) ** 3)[kinds]
    frame = pd.DataFrame(X, columns=[f"gene {j}" for j in range(80)])
    frame.insert(0, "cell", [f"c{i}" for i in range(300)])
    frame.to_csv(tmp_path / "wide.csv", index=False)
    results = [
        run(tmp_path / "wide.csv", id_columns=("cell",), n_components=3, threads=n, figures=n == 2)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(results[0].control.raw, results[1].control.raw)
    assert results[1].summary["control"]["n_principal_components"] == 50
    assert results[1].control.n_raw_clusters == 3
    html = results[1].outputs["report"].read_text("utf-8")
    assert "the first 50 principal components of the raw features" in html
