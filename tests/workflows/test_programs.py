"""The programs job, from counts to its files."""

import hashlib
import json
import re
import subprocess
import sys
import weakref

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.factorize import gene_scores, refit_programs
from partwise.prepare import normalize_total, overdispersed_genes, scale_to_unit_variance
from partwise.report import Report
from partwise.workflows import ProgramsOptions, programs, programs_input, programs_job
from partwise.workflows.programs_options import parse_ranks

SETTINGS = {"ranks": "3-6", "replicates": 8, "genes": 60, "top": 10}


def simulate(n=220, p=110, k=4, seed=0):
    rng = np.random.default_rng(seed)
    usage = rng.dirichlet(np.full(k, 0.2), size=n)
    mean = rng.gamma(0.3, size=(k, p)) * rng.gamma(0.6, size=p) + 1e-3
    mean /= mean.sum(axis=1, keepdims=True)
    X = rng.poisson(rng.lognormal(7, 0.3, size=(n, 1)) * (usage @ mean)).astype(np.float32)
    X[:, 5] = 0
    X[:, 6] = 0
    X[:2, 6] = 3  # a gene of two cells
    return X, usage


@pytest.fixture(scope="module")
def counts():
    return simulate()


@pytest.fixture(scope="module")
def h5ad(counts, tmp_path_factory):
    X, usage = counts
    path = tmp_path_factory.mktemp("counts") / "cells.h5ad"
    obs = pd.DataFrame(
        {"type": pd.Categorical([f"T{t}" for t in usage.argmax(axis=1)])},
        index=[f"c{i}" for i in range(len(X))],
    )
    var = pd.DataFrame(index=[f"g{j}" for j in range(X.shape[1])])
    data = anndata.AnnData(sp.csr_matrix(np.log1p(X)), obs=obs, var=var)
    data.layers["counts"] = sp.csr_matrix(X)
    data.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def result(h5ad, tmp_path_factory):
    return programs(
        h5ad,
        layer="counts",
        formats=("csv", "parquet", "h5ad"),
        output_dir=tmp_path_factory.mktemp("out"),
        **SETTINGS,
    )


@pytest.fixture
def run(h5ad, tmp_path, monkeypatch):
    """Run the job into a new folder each time, without figures."""
    monkeypatch.setattr(programs_job, "build_report", lambda *_: Report("no figures"))
    count = iter(range(100))

    def job(path=h5ad, **options):
        options = {"layer": "counts" if path is h5ad else None, **SETTINGS, **options}
        return programs(path, output_dir=tmp_path / f"out{next(count)}", **options)

    return job


def read(result, kind):
    return pd.read_csv(result.outputs[kind])


def test_planted_programs_are_found(result, counts):
    assert result.ranks.recommended == 4
    assert result.model.n_components_ == 4
    usage = read(result, "usage").filter(regex="^program_").to_numpy()
    best = np.corrcoef(counts[1].T, usage.T)[:4, 4:].max(axis=1)
    assert best.min() > 0.9


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_the_steps_are_those_of_the_library(result, counts):
    X = sp.csr_matrix(counts[0])
    kept = np.flatnonzero((counts[0] > 0).sum(axis=0) >= 3)
    assert not {5, 6} & set(kept)
    million = normalize_total(X, target=1e6).X[:, kept]
    genes = overdispersed_genes(million, n_genes=60)
    assert result.genes == tuple(f"g{j}" for j in kept[genes.indices])
    scaled = scale_to_unit_variance(X[:, kept[genes.indices]]).X
    usage = result.model.transform(scaled.astype(np.float32))
    np.testing.assert_allclose(usage, result.model.result_.usage, rtol=1e-4, atol=1e-3)
    table = read(result, "usage")
    np.testing.assert_allclose(table.filter(regex="^program_"), usage, rtol=1e-4, atol=1e-3)
    shares = usage / usage.sum(axis=1, keepdims=True)
    programs_table = read(result, "programs").set_index("gene")
    assert list(programs_table.index) == [f"g{j}" for j in kept]
    expected = refit_programs(million, shares)
    np.testing.assert_allclose(programs_table.T, expected, rtol=2e-3, atol=1e-3 * expected.max())
    scores = read(result, "gene_scores").set_index("gene")
    expected = gene_scores(million, usage)
    np.testing.assert_allclose(scores.T, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())
    top = read(result, "top_genes")
    assert len(top) == 10
    for name in scores:
        assert list(top[name]) == list(scores[name].sort_values(ascending=False).index[:10])


def test_tables(result, h5ad):
    usage = read(result, "usage")
    names = [f"program_{t}" for t in range(1, 5)]
    assert list(usage.columns) == ["cell", "main_program", *names]
    assert list(usage["cell"]) == [f"c{i}" for i in range(220)]
    assert list(usage["main_program"]) == list(usage[names].idxmax(axis=1))
    ranks = read(result, "ranks")
    assert list(ranks["n_programs"]) == [3, 4, 5, 6]
    assert list(ranks["chosen"]) == [0, 1, 0, 0]
    assert list(ranks["recommended"]) == [0, 1, 0, 0]
    np.testing.assert_allclose(ranks["stability"], result.ranks.stability)
    genes = read(result, "genes")
    assert genes["chosen"].sum() == 60
    assert tuple(genes["gene"][genes["chosen"] == 1]) == result.genes
    for kind in ("usage", "programs", "gene_scores", "top_genes", "ranks", "genes"):
        parquet = pd.read_parquet(result.outputs[f"{kind}_parquet"])
        pd.testing.assert_frame_equal(
            parquet, read(result, kind), check_dtype=False, rtol=1e-5, check_exact=False
        )
    data = anndata.read_h5ad(result.outputs["h5ad"])
    np.testing.assert_allclose(data.obsm["X_nmf"], usage[names], rtol=1e-5)
    loadings = pd.DataFrame(data.varm["NMF_loadings"], data.var_names, names)
    assert loadings.loc[["g5", "g6"]].isna().all(axis=None)
    np.testing.assert_allclose(
        loadings.dropna(), read(result, "programs").set_index("gene"), rtol=1e-5
    )
    assert data.uns["nmf"]["estimator"] == "ConsensusNMF"


def test_run_record(result, h5ad):
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["status"] == "done"
    assert record["parameters"]["choose"] == 4
    assert record["parameters"]["layer"] == "counts"
    assert record["command"].startswith("partwise programs ")
    assert "--ranks 3-6" in record["command"]
    assert record["results"]["recommended"] == 4
    assert [step["step"] for step in record["results"]["preparation"]] == [
        "overdispersed_genes",
        "scale_to_unit_variance",
    ]
    (entry,) = record["inputs"]
    assert entry["sha256"] == hashlib.sha256(h5ad.read_bytes()).hexdigest()
    folder = result.outputs["run"].parent
    assert {path.name for path in folder.iterdir()} == {p.name for p in result.outputs.values()}
    for entry in record["outputs"]:
        data = (folder / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_report_is_complete_and_needs_no_network(result):
    html = result.outputs["report"].read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "<script" not in html
    assert len(html) < 5_000_000
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) >= 5
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)
    for text in (
        "Stability and error",
        "Genes of highest score",
        "Distances between the programs of all fits",
        "Share of the usage",
        "Over-dispersed genes",
        "Kotliar",
        result.ranks.rule,
        f"{result.model.result_.stability:.3f}",
        "partwise programs ",
    ):
        assert text in html, text


def test_usage_by_an_identifier_is_shown(h5ad, tmp_path):
    options = {**SETTINGS, "ranks": "4", "replicates": 4, "id_columns": "type"}
    done = programs(h5ad, layer="counts", output_dir=tmp_path, **options)
    usage = read(done, "usage")
    assert list(usage.columns[:3]) == ["cell", "type", "main_program"]
    assert list(usage["cell"]) == [f"c{i}" for i in range(220)]
    assert not any("earlier row" in text for text in done.warnings)
    html = done.outputs["report"].read_text("utf-8")
    assert "Usage by type" in html
    assert "How many programs" not in html  # one number was asked for


def test_cells_of_a_zarr_folder_keep_their_names(run, h5ad, tmp_path):
    anndata.read_h5ad(h5ad).write_zarr(tmp_path / "cells.zarr")
    done = run(tmp_path / "cells.zarr", layer="counts", id_columns="type", ranks="4")
    usage = read(done, "usage")
    assert list(usage["cell"]) == [f"c{i}" for i in range(220)]
    assert usage["type"].str.startswith("T").all()


def test_the_same_files_for_any_number_of_threads_and_again(run):
    one, two, again = (run(ranks="3,4", threads=n) for n in (1, 2, 2))
    for other in (two, again):
        for kind, path in one.outputs.items():
            if kind not in ("report", "run"):
                assert path.read_bytes() == other.outputs[kind].read_bytes(), kind


def test_a_table_on_disk_gives_the_same(run, monkeypatch, counts, tmp_path):
    from partwise.workflows import programs_job as job

    path = tmp_path / "counts.npy"
    np.save(path, counts[0])
    one = run(path, ranks="4")
    real = job.open_counts
    monkeypatch.setattr(job, "open_counts", lambda *a, **k: real(*a, **{**k, "memory_limit": 0}))
    two = run(path, ranks="4")
    for kind in ("usage", "programs", "gene_scores", "genes"):
        a, b = (read(done, kind).select_dtypes("number") for done in (one, two))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.nanmax(np.abs(a)))


def test_a_number_can_be_chosen(run):
    done = run(choose=5)
    assert done.model.n_components_ == 5
    assert done.ranks.recommended == 4
    assert "5 programs (chosen)" in "\n".join(done.lines())
    assert done.summary["n_programs"] == 5
    json.dumps(done.summary)


def test_warnings(run, h5ad, counts, tmp_path):
    texts = "\n".join(run(h5ad, layer=None, ranks="4").warnings)
    assert "not whole numbers" in texts
    X = counts[0].copy()
    X[7] = 0
    X[7, 5] = 1  # a gene of one cell
    np.save(tmp_path / "few.npy", X)
    done = run(tmp_path / "few.npy", ranks="3,4,5", max_iter=3)
    texts = "\n".join(done.warnings)
    assert "1 cell has no count in the chosen genes" in texts
    assert "row 8" in texts
    assert "fits stopped at max_iter" in texts
    usage = read(done, "usage")
    assert (usage.filter(regex="^program").iloc[7] == 0).all()
    assert pd.isna(usage["main_program"][7])
    texts = "\n".join(run(genes=5000, ranks="2-4", replicates=3).warnings)
    assert "fewer than the 5,000 of --genes" in texts
    assert "is the largest that was tried" in texts


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ranks": "5-"}, "like 9, 5-13 or 5,7,9"),
        ({"ranks": "13-5"}, "like 9"),
        ({"ranks": "1-3"}, "2 or more"),
        ({"ranks": ""}, "like 9"),
        ({"ranks": "5-7", "choose": 9}, "must be one of -k 5-7"),
        ({"replicates": 1}, "replicates"),
        ({"genes": 1}, "genes"),
        ({"min_cells": -1}, "min_cells"),
        ({"density_threshold": 0}, "density_threshold"),
        ({"neighborhood_size": 1.5}, "share"),
        ({"formats": "xlsx"}, "format"),
        ({"tol": -1}, "tol"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(options, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        ProgramsOptions(**options)


def test_ranks_are_parsed():
    assert parse_ranks("9") == (9,)
    assert parse_ranks(" 5 - 7, 6 ,12") == (5, 6, 7, 12)


def test_what_cannot_be_done_leaves_no_files(run, tmp_path, counts):
    np.save(tmp_path / "zero.npy", np.zeros((5, 6)))
    np.save(tmp_path / "negative.npy", -np.ones((5, 6)))
    with pytest.raises(DataError, match="genes have a count"):
        run(tmp_path / "zero.npy")
    with pytest.raises(DataError, match="negative"):
        run(tmp_path / "negative.npy")
    with pytest.raises(UsageError, match="exceed"):
        run(ranks="3,80")
    with pytest.raises(DataError, match="density_threshold=1e-09 keeps"):
        run(density_threshold=1e-9, ranks="4")
    assert not list(tmp_path.glob("out*/*"))


def write_10x(folder, X, *, packed=True, old=False, kinds=None):
    """Write a folder as Cell Ranger does: genes in rows, names beside."""
    import gzip

    folder.mkdir()
    n, p = X.shape
    genes = [
        f"ENSG{j}\tg{j if j != 9 else 8}"
        + ("" if old else f"\t{kinds[j] if kinds else 'Gene Expression'}")
        for j in range(p)
    ]
    rows, columns = np.nonzero(X.T)
    values = X.T[rows, columns].astype(int)
    entries = [f"{i + 1} {j + 1} {v}" for i, j, v in zip(rows, columns, values, strict=True)]
    head = ["%%MatrixMarket matrix coordinate integer general", "%", f"{p} {n} {len(entries)}"]
    files = {
        "matrix.mtx": head + entries,
        "barcodes.tsv": [f"AAC{i}-1" for i in range(n)],
        "genes.tsv" if old else "features.tsv": genes,
    }
    for name, lines in files.items():
        text = ("\n".join(lines) + "\n").encode()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text))
        else:
            (folder / name).write_bytes(text)
    return folder


@pytest.mark.parametrize(("packed", "old"), [(True, False), (False, False), (False, True)])
def test_a_folder_of_10x_genomics(run, counts, tmp_path, packed, old):
    X = counts[0]
    done = run(write_10x(tmp_path / "filtered", X, packed=packed, old=old), ranks="4")
    np.save(tmp_path / "same.npy", X)
    same = run(tmp_path / "same.npy", ranks="4")
    usage, expected = read(done, "usage"), read(same, "usage")
    assert done.outputs["usage"].name == "filtered_usage.csv"
    assert list(usage["cell"]) == [f"AAC{i}-1" for i in range(len(X))]
    a, b = (table.filter(regex="^program_").to_numpy() for table in (usage, expected))
    np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3 * b.max())  # dense or sparse: other sums
    genes = read(done, "genes")["gene"]
    assert {"g7", "g8 (ENSG8)", "g8 (ENSG9)"} <= set(genes)


def test_features_of_another_kind_are_left_out(run, counts, tmp_path):
    X = counts[0]
    kinds = ["Gene Expression"] * X.shape[1]
    kinds[-3:] = ["Antibody Capture"] * 3
    done = run(write_10x(tmp_path / "multi", X, kinds=kinds), ranks="4")
    assert "3 features that are no genes were left out" in done.warnings
    assert done.n_genes == X.shape[1] - 3
    some = run(tmp_path / "multi", ranks="4", features=("g1*", "g2*"))
    assert all(name.startswith(("g1", "g2")) for name in some.genes)


def test_damaged_folders(run, counts, tmp_path):
    folder = write_10x(tmp_path / "a", counts[0], packed=False)
    with pytest.raises(UsageError, match="no layers"):
        run(folder, layer="counts")
    (folder / "barcodes.tsv").write_text("one\n")
    with pytest.raises(DataError, match="1 barcodes"):
        run(folder)
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(DataError, match="no barcodes"):
        run(folder)
    (folder / "barcodes.tsv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="damaged"):
        run(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folder"):
        run(tmp_path / "empty")


def test_the_counts_are_gone_before_the_report(run, monkeypatch):
    opened, left = [], []

    def open_counts(*args, **settings):
        table = programs_input.open_counts(*args, **settings)
        opened.append(weakref.ref(table.matrix))
        return table

    def build_report(*_):
        left.extend(reference() for reference in opened)
        return Report("no figures")

    monkeypatch.setattr(programs_job, "open_counts", open_counts)
    monkeypatch.setattr(programs_job, "build_report", build_report)
    run(formats=("csv", "h5ad"))
    assert left == [None]


def test_what_draws_is_not_loaded_before_the_report():
    code = "import sys, partwise.workflows.programs_job; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
