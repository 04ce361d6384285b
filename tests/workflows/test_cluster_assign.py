"""New cells in known niches: agreement with a joint run, what is unlike, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import partwise
from partwise.exceptions import DataError, UsageError
from partwise.graph.spatial import neighborhood_table
from partwise.metrics import adjusted_rand
from partwise.report import Report
from partwise.workflows import cluster
from partwise.workflows.clustering import assign as cluster_assign
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.clustering import niches as cluster_niches

IDS = ["fov", "label", "cell_meta_cluster", "centroid-0", "centroid-1", "patient", "group"]


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Neighbourhood tables of 4 niches: half of the fields of view, the others, and both."""
    made = partwise.simulate_tissue(
        8_000, n_fovs=16, n_niches=4, n_types=8, n_patients=8, groups=2, effect=0.2, seed=4
    )
    cells = made.cells
    around = neighborhood_table(
        made.coordinates, cells["cell_meta_cluster"], fov=cells["fov"], radius=80.0
    )
    values = pd.DataFrame(around.frequencies, columns=[str(name) for name in around.types])
    frame = pd.concat([cells, values], axis=1)
    first = frame["fov"].isin([f"FOV_{i}" for i in range(1, 9)]).to_numpy()
    folder = tmp_path_factory.mktemp("tissue")
    parts = {"joint": frame, "half": frame[first], "other": frame[~first]}
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    cells[~first].to_csv(folder / "cells.csv", index=False)
    return folder, parts, first


@pytest.fixture(scope="module")
def known(tissue):
    """The run on half of the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
        return cluster(
            tissue[0] / "half.csv",
            n_components=6,
            output_dir=tissue[0] / "known",
            id_columns=IDS,
        )


@pytest.fixture
def assign(tissue, known, tmp_path, monkeypatch):
    count = iter(range(100))

    def job(table="other.csv", *, model=known.outputs["model"], figures=False, **options):
        with monkeypatch.context() as patch:
            if not figures:
                patch.setattr(cluster_assign, "build_report", lambda *_: Report("no figures"))
            path = tissue[0] / table if isinstance(table, str) else table
            return cluster(path, model=model, output_dir=tmp_path / f"new{next(count)}", **options)

    return job


def test_niches_are_those_of_a_joint_run(assign, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    frame = partwise.simulate_neighborhoods(3_000, n_fovs=6, seed=5).table
    first = frame["fov"].isin(["TEST_FOV_1", "TEST_FOV_3", "TEST_FOV_5"]).to_numpy()
    assert 0 < first.sum() < len(frame)
    parts = {"joint": frame, "half": frame[first], "other": frame[~first]}
    runs = {}
    for name, part in parts.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        if name != "other":
            runs[name] = cluster(tmp_path / f"{name}.csv", n_components=5, output_dir=tmp_path)
    new = assign(tmp_path / "other.csv", model=runs["half"].outputs["model"])
    joint = runs["joint"].rows.clustering.labels[~first]
    assert adjusted_rand(new.labels, joint) > 0.97
    assert new.unseen.mean() < 0.02
    assert (new.confidence > 0.9).mean() > 0.95


def test_files(tissue, known, assign):
    new = assign(figures=True, formats=("parquet", "h5ad"), compare="group", by="patient", maps=3)
    table, source = pd.read_csv(new.outputs["clusters"]), tissue[1]["other"]
    old = pd.read_csv(known.outputs["clusters"])
    assert list(table.columns) == [*old.columns, "confidence", "unseen"]
    assert set(IDS) < set(table.columns)
    assert list(table["label"]) == list(source["label"])
    np.testing.assert_array_equal(table["leiden_cluster"], new.labels)
    np.testing.assert_allclose(table["confidence"], new.confidence, rtol=1e-6)
    programs = known.model.components_
    X = source[list(known.features)].to_numpy()
    error = np.linalg.norm(X - new.usage @ programs) / np.linalg.norm(X)
    assert error < 1.5 * known.factorization.relative_error
    assert pd.read_parquet(new.outputs["parquet"])["unseen"].sum() == new.unseen.sum()
    import anndata

    adata = anndata.read_h5ad(new.outputs["h5ad"])
    # images: the second coordinate is the horizontal one
    np.testing.assert_allclose(adata.obsm["spatial"], source[["centroid-1", "centroid-0"]])
    np.testing.assert_allclose(adata.obs["confidence"], new.confidence, rtol=1e-6)
    record = json.loads(new.outputs["run"].read_text("utf-8"))
    assert record["results"]["cluster_sizes"] == new.sizes.tolist()
    assert record["results"]["cluster_sizes_model"] == known.rows.clustering.sizes.tolist()
    assert record["results"]["compare"]["patients"] == {"Group 1": 4, "Group 2": 4}
    assert len(record["inputs"]) == 2
    assert "--model" in record["command"]
    html = new.outputs["report"].read_text("utf-8")
    for text in (
        "Share of each niche, before and now",
        "Confidence in each niche",
        "Where each cluster is",
        "Drawn are 3 of 8 fields of view",
        "Niches compared between groups: group",
        "How much of each program is covered",
    ):
        assert text in html, text


def test_known_cells_keep_their_cluster(known, assign):
    again = assign("half.csv")
    labels = known.rows.clustering.labels
    assert (again.labels == labels).mean() == 1
    assert again.unseen.mean() < 0.005


def test_neither_threads_nor_chunks_nor_order_matter(tissue, assign, tmp_path):
    one, two = assign(threads=1), assign(threads=3, chunksize=97)
    assert one.outputs["clusters"].read_bytes() == two.outputs["clusters"].read_bytes()
    order = np.random.default_rng(0).permutation(len(tissue[1]["other"]))
    features = [c for c in tissue[1]["other"] if c not in IDS]
    mixed = tissue[1]["other"].iloc[order][[*IDS, *features[::-1]]]
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    three = assign(tmp_path / "mixed.csv")
    np.testing.assert_array_equal(three.labels, one.labels[order])


def test_cells_unlike_all_are_marked(tissue, assign, tmp_path):
    frame = tissue[1]["other"].reset_index(drop=True)
    features = [c for c in frame if c not in IDS]
    strange = frame.copy()
    strange.loc[:299, features] = 0.0
    strange.loc[:299, features[0]] = 1.0  # one type alone: nowhere in the tissue
    strange.loc[300:302, features] = 0.0
    strange.to_csv(tmp_path / "strange.csv", index=False)
    new = assign(tmp_path / "strange.csv")
    assert new.unseen[:300].mean() > 0.95
    assert new.unseen[303:].mean() < 0.02
    assert new.labels[300:303].tolist() == [-1, -1, -1]
    assert not new.unseen[300:303].any()
    assert np.isnan(new.confidence[300:303]).all()
    assert any("are unlike anything" in text for text in new.warnings)
    assert any("3 cells have no neighbourhood" in text for text in new.warnings)


def test_features_are_matched_by_name(tissue, assign, tmp_path):
    frame = tissue[1]["other"]
    frame.assign(remark="text").drop(columns="Type 7").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match=r"7 of the model's 8 features.*Missing: Type 7.*--allow"):
        assign(tmp_path / "less.csv", min_coverage=0.99)
    new = assign(tmp_path / "less.csv", min_coverage=0.99, allow=True)
    assert new.coverage.missing == ("Type 7",)
    assert any("Type 7" in text for text in new.warnings)
    frame.rename(columns=lambda c: c.replace("Type", "Kind")).to_csv(
        tmp_path / "others.csv", index=False
    )
    with pytest.raises(DataError, match="none of the model's 8 features"):
        assign(tmp_path / "others.csv")


def test_cells_with_coordinates_are_counted_as_the_model_was(tissue, assign, tmp_path, monkeypatch):
    folder = tissue[0]
    new = assign("cells.csv", radius=80.0)
    table = assign("other.csv")
    assert (new.labels == table.labels).mean() > 0.999
    assert any("counted in the same way" in text for text in new.warnings)
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    counted = cluster(folder / "cells.csv", n_components=6, radius=80.0, output_dir=tmp_path)
    for name in ("cells.csv", "other.csv"):  # the second was counted with that radius before
        again = assign(name, model=counted.outputs["model"])
        assert (again.labels == counted.rows.clustering.labels).mean() > 0.999
    cells = pd.read_csv(folder / "cells.csv")
    cells.assign(cell_meta_cluster="other").to_csv(tmp_path / "strange.csv", index=False)
    with pytest.raises(DataError, match="none of the model's 8 features"):
        assign(tmp_path / "strange.csv", model=counted.outputs["model"])
    cells.rename(columns={"centroid-0": "there"}).to_csv(tmp_path / "nowhere.csv", index=False)
    with pytest.raises(DataError, match="position and type with --coordinates"):
        assign(tmp_path / "nowhere.csv", model=counted.outputs["model"])
    # the radius of the model does not suit: told, not replaced by another
    cells[["centroid-0", "centroid-1"]] *= 1e4
    cells.to_csv(tmp_path / "far.csv", index=False)
    with pytest.raises(UsageError, match="no cell has a neighbour within 80"):
        assign(tmp_path / "far.csv", model=counted.outputs["model"])
    with pytest.raises(UsageError, match="--radius cannot be used with --model"):
        assign("cells.csv", model=counted.outputs["model"], radius=50.0)


def test_the_metric_of_the_model_counts(tissue, assign, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    found = cluster(
        tissue[0] / "half.csv",
        n_components=6,
        metric="cosine",
        normalize_by_fov=True,
        id_columns=IDS,
        output_dir=tmp_path,
    )
    again = assign("half.csv", model=tmp_path)
    assert (again.labels == found.rows.clustering.labels).mean() > 0.999


def test_models_that_cannot_be_used(tissue, known, assign, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        assign(model=tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no model \(\*_nmf_model.npz\) in this folder"):
        assign(model=tmp_path)
    with pytest.raises(DataError, match="no model that partwise saved"):
        assign(model=tissue[0] / "half.csv")
    plain = partwise.NMF(2, random_state=0).fit(np.ones((4, 3)))
    partwise.save(plain, tmp_path / "a_nmf_model.npz", feature_names=["A", "B", "C"])
    with pytest.raises(DataError, match=r"has programs but no niches.*run `partwise cluster`"):
        assign(model=tmp_path)
    (tmp_path / "b_nmf_model.npz").write_bytes(b"")
    with pytest.raises(DataError, match="2 models in this folder, name one"):
        assign(model=tmp_path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("labels", np.full(5, 99, np.int32)),
        ("usage", np.zeros((3, 3), np.float32)),
        ("distance", np.zeros(2)),
        ("weights", None),
        ("version", 99),
    ],
)
def test_damaged_niches_are_refused(known, assign, tmp_path, part, value):
    model = partwise.load(known.outputs["model"])
    model.niches_ = {**model.niches_, part: value}
    partwise.save(model, tmp_path / "model.npz")
    with pytest.raises(DataError, match=r"damaged|layout 99"):
        assign(model=tmp_path / "model.npz")


def test_options_that_say_how_niches_are_found_are_refused(tissue, assign):
    with pytest.raises(UsageError, match="--n-components, --resolution cannot be used"):
        assign(n_components=3, resolution=0.5)
    with pytest.raises(UsageError, match="--min-coverage needs --model"):
        cluster(tissue[0] / "half.csv", min_coverage=0.3)
    with pytest.raises(UsageError, match="a share from 0 to 1"):
        assign(min_coverage=1.5)


def test_large_tables_are_remembered_by_a_sample(tissue, known, assign, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_niches, "_MOST_CELLS", 1_500)
    monkeypatch.setattr(cluster_niches, "_FEWEST_OF_A_CLUSTER", 100)
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    found = cluster(
        tissue[0] / "half.csv", n_components=6, id_columns=IDS, output_dir=tmp_path / "few"
    )
    niches = partwise.load(found.outputs["model"]).niches_
    sizes = np.bincount(niches["labels"])
    assert sizes.sum() < 1_700
    assert sizes.min() >= 95  # equal rows are kept once
    np.testing.assert_array_equal(niches["sizes"], known.rows.clustering.sizes)
    stands_for = np.bincount(niches["labels"], niches["weights"])
    np.testing.assert_allclose(stands_for, niches["sizes"], rtol=0.05)
    few = assign(model=found.outputs["model"])
    assert adjusted_rand(few.labels, assign().labels) > 0.95


def test_a_model_of_an_earlier_version_gives_what_it_gave(assign, tmp_path):
    """Made by `partwise cluster -n 4` on 300 simulated cells when niches had layout 1."""
    path = Path(__file__).parents[1] / "golden" / "models" / "schema2_nmf_niches.npz"
    facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
    i, j = np.arange(5)[:, None], np.arange(6)[None, :]
    left = np.concatenate([1 + np.sin(0.7 * i), 1 + np.cos(1.3 * i)], axis=1)
    right = np.concatenate([1 + np.cos(0.9 * j), 1 + np.sin(2.1 * j)], axis=0)
    X = left @ right + 0.05 * (1 + np.sin(3.7 * i * (j + 1)))
    frame = pd.DataFrame(X / X.sum(axis=1, keepdims=True), columns=facts["feature_names"])
    frame.insert(0, "cell", list("abcde"))
    frame.to_csv(tmp_path / "new.csv", index=False)
    new = assign(tmp_path / "new.csv", model=path, id_columns=("cell",))
    assert new.labels.tolist() == facts["niches"]["labels"]
    assert new.unseen.tolist() == facts["niches"]["unseen"]
    np.testing.assert_allclose(new.confidence, facts["niches"]["confidence"], rtol=1e-3)
