"""The tuning job: its sample, its files, its words, the same files again and after an end.

Where only what is made of a result matters, the result is fabricated; `run` is a real one.
"""

import dataclasses
import json
import shlex

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.cli.cluster import cluster as command
from partwise.cli.tune import tune as tune_command
from partwise.exceptions import DataError, UsageError
from partwise.figures import message_figure
from partwise.io import open_table
from partwise.workflows import TuneOptions, simulate, tune
from partwise.workflows.cells import open_either
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.options import command_line, specs
from partwise.workflows.tuning import job as tuning_job
from partwise.workflows.tuning.sample import sample_cells
from partwise.workflows.tuning.tree import TREE_COLUMNS, cluster_tree
from partwise.workflows.tuning.types import TuneGrid
from tuning import fabricated

SMALL = {
    "n_components": (5, 6),
    "n_neighbors": (10,),
    "resolutions": (0.05, 0.1),
    "n_replicates": 2,
    "min_cluster_size": 5,
}
TABLES = (
    "reconstruction", "grid_search", "stability", "points", "components", "clusters", "cells",
    "alternatives", "tree",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    return simulate(n_cells=900, n_fovs=7, mode="anchored", output_dir=folder).outputs["table"]


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return tune(table, **SMALL, n_cells=400, output_dir=folder, figure=("png", "svg"))


@pytest.fixture
def fake(monkeypatch):
    """Put a fabricated result in place of the measurements; what was asked for is kept."""
    asked = {}

    def tune_rows(X, grid, **settings):
        asked.update(settings, X=X, grid=grid)
        return fabricated(grid, X.shape[0], batches=settings["batch"] is not None)

    def drawn_figures(found):  # tests/figures has the real ones
        kinds = ("components", "grid", "resolution", "confidence")
        return {kind: (message_figure(kind), kind) for kind in kinds}

    monkeypatch.setattr("partwise.workflows.tuning.job.tune_rows", tune_rows)
    monkeypatch.setattr("partwise.workflows.tuning.job.drawn_figures", drawn_figures)
    return asked


class TestFiles:
    def test_names(self, run):
        stem = "test_neighborhood_freqs_900"
        names = {kind: path.name for kind, path in run.outputs.items()}
        pictures = {
            f"figure_{kind}_{fmt}": f"{stem}_tune_{kind}.{fmt}"
            for kind in ("components", "grid", "resolution", "confidence")
            for fmt in ("png", "svg")
        }
        assert names == {
            "reconstruction": f"{stem}_nmf_reconstruction.csv",
            "grid_search": f"{stem}_grid_search.csv",
            "stability": f"{stem}_stability.csv",
            "text": f"{stem}_tuning_report.txt",
            "points": f"{stem}_tune_points.csv",
            "components": f"{stem}_tune_components.csv",
            "clusters": f"{stem}_tune_clusters.csv",
            "cells": f"{stem}_tune_cells.csv",
            "alternatives": f"{stem}_tune_alternatives.csv",
            "tree": f"{stem}_tune_tree.csv",
            **pictures,
            "report": "report.html",
            "run": "run.json",
        }
        folder = run.outputs["run"].parent
        assert {path.name for path in folder.iterdir()} == set(names.values())

    def test_columns_of_the_original(self, run):
        read = {kind: pd.read_csv(run.outputs[kind]) for kind in TABLES}
        assert list(read["reconstruction"]) == ["n_components", "reconstruction_error"]
        assert list(read["grid_search"]) == [
            "n_components", "n_neighbors", "resolution", "n_clusters", "min_cluster_size",
            "max_cluster_size", "median_cluster_size",
        ]  # fmt: skip
        assert list(read["stability"]) == [
            "resolution", "n_components", "n_neighbors", "mean_ari", "std_ari"
        ]  # fmt: skip
        for kind in ("grid_search", "stability", "points"):
            assert len(read[kind]) == 4, "a row for every setting"
        assert read["stability"]["mean_ari"].notna().all()
        pd.testing.assert_frame_equal(read["points"], run.result.grid, check_dtype=False)

    def test_cells_are_those_that_were_drawn(self, run, table):
        cells = pd.read_csv(run.outputs["cells"])
        all_cells = pd.read_csv(table)
        merged = cells.merge(all_cells, on=["fov", "label", "cell_meta_cluster"])
        assert len(cells) == len(merged) == 400
        np.testing.assert_array_equal(cells["leiden_cluster"], run.result.labels)
        sizes = cells["leiden_cluster"].value_counts().sort_index().to_numpy()
        assert sizes.tolist() == run.result.per_cluster["size"].tolist()

    def test_tree(self, run):
        tree = pd.read_csv(run.outputs["tree"])
        assert tree.groupby("resolution").size().index.tolist() == [0.05, 0.1]
        assert (tree.groupby("resolution")["size"].sum() == 400).all()
        chosen = run.result.recommendation.resolution
        sizes = tree.loc[tree["resolution"] == chosen, "size"].tolist()
        assert sizes == run.result.per_cluster["size"].tolist()
        assert tree.loc[tree["resolution"] == 0.1, "parent"].notna().all()

    def test_record(self, run):
        record = json.loads(run.outputs["run"].read_text())
        assert record["results"]["recommended"]["n_components"] in (5, 6)
        assert record["results"]["command"] == run.command
        assert record["parameters"]["n_components"] == [5, 6]
        assert record["command"].startswith("partwise tune ")
        assert "--tune-n 5,6 --tune-k 10 --tune-r 0.05,0.1" in record["command"]
        json.dumps(run.summary)

    def test_report(self, run):
        page = run.outputs["report"].read_text()
        found = run.result.recommendation
        assert f"Recommended: n={found.n_components}, k=10, r={found.resolution:g}" in page
        assert found.rule in page
        assert run.command in page
        assert "400 of 900" in page

    def test_command_repeats_the_recommended_clusters(self, run, table):
        words = shlex.split(run.command)
        assert words[:3] == ["partwise", "cluster", str(table)]
        context = command.make_context("cluster", words[2:])
        options = ClusterOptions(**{s.name: context.params[s.name] for s in specs(ClusterOptions)})
        found = run.result.recommendation
        assert (options.n_components, options.n_neighbors, options.resolution) == (
            found.n_components, found.n_neighbors, found.resolution
        )  # fmt: skip


def test_after_an_end_in_the_middle_the_same_bytes(run, table, tmp_path, monkeypatch):
    from partwise.workflows.checkpoint import Checkpoint

    put, units = Checkpoint.put, []

    def interrupted(self, key, arrays):
        put(self, key, arrays)
        units.append(key)
        if len(units) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "put", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        tune(table, **SMALL, n_cells=400, output_dir=tmp_path, threads=1)
    assert "--resume" in "".join(stopped.value.__notes__)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    later = []
    monkeypatch.setattr(
        Checkpoint, "put", lambda self, key, a: (put(self, key, a), later.append(key))
    )
    # the rest with other threads and chunks, and from disk
    monkeypatch.setattr(tuning_job, "memory_for_values", lambda *_: 0)
    opened = []

    def opening(*arguments, **named):
        opened.append(open_either(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(tuning_job, "open_either", opening)
    again = tune(
        table, **SMALL, n_cells=400, output_dir=tmp_path, resume=True, threads=3, chunksize=50
    )
    assert [table.in_memory for table in opened] == [False]
    assert later
    assert not set(units) & set(later), "what was kept is not done again"
    for kind in (*TABLES, "text", "figure_grid_png"):
        assert again.outputs[kind].read_bytes() == run.outputs[kind].read_bytes(), kind
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


class TestText:
    def text(self, folder, table, **settings):
        return tune(table, output_dir=folder, **settings).outputs["text"].read_text("utf-8")

    def test_layout_of_the_original(self, fake, table, tmp_path):
        lines = self.text(tmp_path, table, n_cells=500).splitlines()
        assert lines[:5] == [
            "=" * 60, "NMF + LEIDEN CLUSTERING TUNING REPORT", "=" * 60, "",
            "Subsample size: 500 cells of 900, in proportion from each fov",
        ]  # fmt: skip
        assert lines[-1] == "=" * 60
        for number, heading in enumerate(
            ("RECONSTRUCTION ERROR vs n_components", "STABILITY (ARI) vs resolution",
             "CLUSTER COUNTS vs parameters", "RECOMMENDATIONS"), 1,
        ):  # fmt: skip
            place = lines.index(f"{number}. {heading}")
            assert lines[place - 1] == lines[place + 1] == "-" * 40
        assert any(line.startswith("  n= 5  error=30.000000") for line in lines)
        assert any(line.startswith("  Suggested n_components: 10 (") for line in lines)
        assert sum(line.startswith("  r=") and "ARI=" in line for line in lines) == 5
        assert any(line.startswith("  Most stable resolution: 0.1 (ARI=0.9") for line in lines)
        assert "  r=0.1  n_clusters=    6-10  min_size=90-150" in lines
        assert "  Recommended: n=10, k=20, r=0.5" in lines
        assert "    -> 16 clusters, min size=56" in lines
        assert f"    partwise cluster {table} -n 10 -k 20 -r 0.5" in lines

    def test_small_resolutions_can_be_read(self, fake, table, tmp_path):
        text = self.text(tmp_path, table, resolutions="0.01,0.05", n_components=5, n_neighbors=15)
        assert "  r=0.01  ARI=" in text
        assert "Recommended: n=5, k=15, r=0.05\n" in text
        assert "Subsample size: 900 cells (all)" in text


class TestInput:
    def test_what_the_engine_is_asked(self, fake, table, tmp_path):
        tune(table, output_dir=tmp_path, n_components="4-6", n_cells=300, seed=7, n_replicates=3)
        assert fake["grid"] == TuneGrid(n_components=(4, 5, 6))
        assert fake["X"].shape == (300, 15)
        assert len(np.unique(fake["fov"])) == 7
        assert fake["batch"] is None
        assert (fake["seed"], fake["n_replicates"], fake["min_cluster_size"]) == (7, 3, 50)

    def test_batches(self, fake, table, tmp_path):
        frame = pd.read_csv(table)
        frame.insert(3, "patient", np.where(frame["fov"] < "TEST_FOV_4", "old", "young"))
        frame.to_csv(tmp_path / "cells.csv", index=False)
        run = tune(
            tmp_path / "cells.csv", batch="patient", n_cells=90, n_neighbors=9, output_dir=tmp_path
        )
        share = (frame["patient"] == "old").mean() * 90
        drawn = run.outputs["cells"].read_text().count(",old,")
        assert abs(drawn - share) < 1
        assert fake["X"].shape == (90, 15)
        assert set(fake["batch"]) == {0, 1}
        assert "batch_entropy" in pd.read_csv(run.outputs["points"])

    def test_a_batch_that_is_not_there(self, fake, table, tmp_path):
        with pytest.raises(DataError, match="'donor'"):
            tune(table, batch="donor", output_dir=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_sparse_tables_without_names(self, fake, tmp_path):
        X = sp.random(200, 30, density=0.2, format="csr", random_state=1)
        sp.save_npz(tmp_path / "counts.npz", X)
        run = tune(tmp_path / "counts.npz", n_cells=50, output_dir=tmp_path)
        assert sp.issparse(fake["X"])
        assert fake["fov"] is None
        assert pd.read_csv(run.outputs["cells"]).columns[0] == "row"
        assert "no column fov" in run.outputs["report"].read_text()

    def test_advice_before_it_is_run(self, fake, table, tmp_path):
        run = tune(
            table, n_cells=60, n_components=(5, 40), n_neighbors=(15, 80), output_dir=tmp_path
        )
        texts = " ".join(run.warnings)
        assert "--tune-n 40: more factors than the 15 features" in texts
        assert "--tune-k 80: not less than the 60 cells" in texts
        assert "more than half of the 60 cells" in texts
        assert "more factors than the 15 features" in run.outputs["report"].read_text()

    @pytest.mark.parametrize(("rows", "text"), [(20, "draw more than 5"), (7, "too few")])
    def test_too_few_values(self, table, tmp_path, rows, text):
        np.save(tmp_path / "few.npy", np.ones((rows, 9)))
        with pytest.raises(DataError, match=text):
            tune(tmp_path / "few.npy", n_cells=5 if rows == 20 else 99, output_dir=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_fewer_cells_than_fields_of_view(self, fake, table, tmp_path):
        run = tune(table, n_cells=3, n_neighbors=2, n_components=1, output_dir=tmp_path)
        assert fake["X"].shape[0] == 7
        assert any("7 cells were drawn in place of 3" in text for text in run.warnings)


class TestSample:
    def test_same_cells_for_any_blocks(self, table):
        drawn = []
        for settings in ({}, {"memory_limit": 0}, {"memory_limit": 0, "chunk_rows": 17}):
            with open_table(table, **settings) as opened:
                drawn.append(sample_cells(opened, 100, by="fov", seed=3))
        for sample in drawn[1:]:
            np.testing.assert_array_equal(sample.rows, drawn[0].rows)
            np.testing.assert_array_equal(sample.values, drawn[0].values)
        strata = drawn[0].strata
        assert strata["n_sampled"].sum() == 100
        share = 100 * strata["n_cells"] / 900
        assert (abs(strata["n_sampled"] - share) < 1).all()
        assert not drawn[0].complete

    def test_few_cells_are_taken_whole(self, table):
        with open_table(table) as opened:
            sample = sample_cells(opened, 900, by=None, seed=3)
            assert sample.values is opened.matrix
        assert sample.complete
        assert sample.strata["n_sampled"].tolist() == [900]


class TestTree:
    def test_parents_and_shares(self):
        labels = np.array([[0, 0, 0, 0, 1, 1, -1], [0, 0, 1, 1, 2, 1, -1]])
        tree = cluster_tree(labels, (0.1, 0.5))
        assert list(tree) == list(TREE_COLUMNS)
        first, second = tree[tree["resolution"] == 0.1], tree[tree["resolution"] == 0.5]
        assert first["size"].tolist() == [4, 2]
        assert first["parent"].isna().all()
        assert second["size"].tolist() == [2, 3, 1]
        assert second["parent"].tolist() == [0, 0, 1]
        assert second["share_from_parent"].tolist() == [1.0, 2 / 3, 1.0]
        assert second["share_of_parent"].tolist() == [0.5, 0.5, 0.5]

    def test_one_resolution_and_no_clusters(self):
        tree = cluster_tree(np.array([[0, 1, 1]]), (0.1,))
        assert tree["size"].tolist() == [1, 2]
        assert cluster_tree(np.full((2, 3), -1), (0.1, 0.5)).empty


class TestOptions:
    def test_defaults_are_those_of_the_original(self):
        options = TuneOptions()
        assert options.n_cells == 200_000
        assert options.n_components == (5, 8, 10, 12, 15)
        assert options.n_neighbors == (10, 15, 20, 30)
        assert options.resolutions == (0.1, 0.3, 0.5, 0.8, 1.0)
        assert (options.seed, options.min_cluster_size) == (42, "50")
        assert options.grid.n_points == 100

    def test_values_come_in_many_forms(self):
        options = TuneOptions(
            n_components=("5,8", "10-12"), n_neighbors="15", resolutions=(0.5, "0.05, 0.1")
        )
        assert options.n_components == (5, 8, 10, 11, 12)
        assert options.n_neighbors == (15,)
        assert options.resolutions == (0.05, 0.1, 0.5)

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"n_components": "x"}, "--tune-n takes whole numbers"),
            ({"n_components": 0}, "--tune-n takes whole numbers"),
            ({"n_components": "9-5"}, "--tune-n takes whole numbers"),
            ({"n_components": ()}, "--tune-n needs"),
            ({"n_neighbors": 1.5}, "--tune-k takes whole numbers"),
            ({"resolutions": "low"}, "--tune-r takes numbers"),
            ({"resolutions": "0,1"}, "--tune-r must be a number above 0"),
            ({"resolutions": "nan"}, "--tune-r must be a number above 0"),
            ({"n_components": "1-4999"}, "more than the 5,000"),
            ({"n_cells": 0}, "n_cells"),
            ({"n_replicates": 1}, "n_replicates"),
            ({"min_cluster_size": 0}, "min_cluster_size"),
            ({"batch": ""}, "batch"),
            ({"figure": "gif"}, "figure"),
            ({"seed": -1}, "seed"),
            ({"threads": 0}, "threads"),
            ({"features": [3]}, "features must be names"),
        ],
    )
    def test_refused(self, settings, text):
        with pytest.raises(UsageError, match=text):
            TuneOptions(**settings)

    def test_the_command_line_gives_the_same_options_back(self):
        changed = {
            "id_columns": ("fov", "cell, id"), "features": ("CD*",), "normalize_by_fov": True,
            "n_cells": 10, "batch": "patient", "n_components": (3, 4), "n_neighbors": (7,),
            "resolutions": (0.05, 2.0), "n_replicates": 3, "min_cluster_size": "1%",
            "output_dir": "my results", "figure": ("png", "svg"), "seed": 1, "threads": 2,
            "chunksize": 10, "resume": True, "neighborhood": "knn", "nearest": 9, "memory": "4GB",
        }  # fmt: skip
        own = {s.name for s in specs(TuneOptions)} - {s.name for s in specs(CellOptions)}
        assert own <= set(changed), "every option has a changed value here"
        options = TuneOptions(**changed)
        words = shlex.split(command_line("partwise tune", "a b.csv", options))
        context = tune_command.make_context("tune", words[2:])
        values = {s.name: context.params[s.name] for s in specs(TuneOptions)}
        assert TuneOptions(**values) == dataclasses.replace(options, resume=False)

    def test_options_or_fields(self, table):
        with pytest.raises(UsageError, match="not both"):
            tune(table, options=TuneOptions(), seed=1)
