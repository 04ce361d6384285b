"""The rank job: its files, its options, the same files again."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.datasets import simulate_programs
from partwise.exceptions import DataError, UsageError
from partwise.workflows import RankOptions, rank


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    path = tmp_path_factory.mktemp("rank") / "planted.npy"
    np.save(path, simulate_programs(250, p=80, rank=3, level=0.3, evenness=1.0, seed=2).X)
    return path


@pytest.fixture(scope="module")
def result(matrix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return rank(
        matrix, ranks=(1, 2, 3, 4, 5), n_replicates=3, output_dir=folder, figure=("png", "pdf")
    )


def test_files(result):
    assert result.selection.recommended == 3
    names = {kind: path.name for kind, path in result.outputs.items()}
    assert names == {
        "fits": "planted_rank_fits.csv",
        "summary": "planted_rank_summary.csv",
        "spectrum": "planted_rank_spectrum.csv",
        "figure_png": "planted_rank.png",
        "figure_pdf": "planted_rank.pdf",
        "report": "report.html",
        "run": "run.json",
    }
    folder = result.outputs["run"].parent
    assert {path.name for path in folder.iterdir()} == set(names.values())
    fits = pd.read_csv(result.outputs["fits"])
    pd.testing.assert_frame_equal(
        fits[["rank", "replicate", "held_out_error", "matched_cosine"]],
        result.selection.table[["rank", "replicate", "held_out_error", "matched_cosine"]],
    )
    summary = pd.read_csv(result.outputs["summary"])
    pd.testing.assert_frame_equal(summary, result.selection.summary, check_dtype=False)


def test_record(result):
    record = json.loads(result.outputs["run"].read_text())
    assert record["results"]["recommended"] == 3
    assert record["results"]["by_method"]["spectrum"] == 3
    assert record["parameters"]["ranks"] == [1, 2, 3, 4, 5]
    assert record["parameters"]["fraction"] == 0.1
    assert record["command"].startswith("partwise rank ")
    assert "--ranks 1,2,3,4,5" in record["command"]
    assert {entry["path"] for entry in record["outputs"]} >= {"planted_rank.png", "report.html"}


def test_report(result):
    page = result.outputs["report"].read_text()
    assert "Recommended: 3 programs" in page
    assert result.selection.rule in page
    assert "Owen, Perry" in page
    assert "Agreement" in page


def test_the_same_files_for_any_number_of_threads(matrix, result, tmp_path):
    again = rank(
        matrix, ranks=(1, 2, 3, 4, 5), n_replicates=3, output_dir=tmp_path, figure=("png", "pdf"),
        threads=3,
    )  # fmt: skip
    for kind in ("fits", "summary", "spectrum", "figure_png", "figure_pdf"):
        assert again.outputs[kind].read_bytes() == result.outputs[kind].read_bytes(), kind


@pytest.mark.parametrize("methods", ["cv", "stability", "elbow"])
def test_one_method(matrix, methods, tmp_path):
    found = rank(matrix, ranks=(2, 3, 4), methods=methods, n_replicates=5, output_dir=tmp_path)
    # starts may agree on how to split a program that is one
    assert found.selection.recommended in ((3, 4) if methods == "stability" else (3,))
    assert ("spectrum" in found.outputs) == (methods == "elbow")
    page = found.outputs["report"].read_text()
    assert ("Owen, Perry" in page) == (methods == "cv")
    json.dumps(found.summary)


def test_search_in_sparse_counts(tmp_path):
    X = simulate_programs(250, p=80, rank=3, level=0.4, evenness=1.0, seed=2).X
    sp.save_npz(tmp_path / "counts.npz", sp.csr_matrix(X))
    found = rank(
        tmp_path / "counts.npz",
        max_rank=6,
        loss="kullback-leibler",
        methods="cv",
        n_replicates=2,
        output_dir=tmp_path / "out",
    )
    assert found.selection.recommended == 3
    assert max(found.selection.ranks) <= 6
    assert "Kullback" in found.outputs["report"].read_text()


def test_advice_is_among_the_warnings(matrix, tmp_path):
    found = rank(matrix, ranks=(2, 3), methods="cv", n_replicates=2, output_dir=tmp_path)
    assert any("largest that was looked at" in text for text in found.warnings)
    assert "largest that was looked at" in found.outputs["report"].read_text()


class TestOptions:
    def test_ranks(self):
        assert RankOptions(ranks="5").ranks == (5,)
        assert RankOptions(ranks=("8-10", "3", "9")).ranks == (3, 8, 9, 10)
        assert RankOptions().asked == "auto"
        assert RankOptions(max_rank=9).asked == "auto"
        assert RankOptions(min_rank=3, max_rank=5).asked == (3, 4, 5)

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"ranks": "x"}, "whole numbers"),
            ({"ranks": "0"}, "from 1 up"),
            ({"ranks": "9-5"}, "from 1 up"),
            ({"ranks": "5", "max_rank": 8}, "either"),
            ({"min_rank": 3}, "--max"),
            ({"min_rank": 9, "max_rank": 8}, "larger than"),
            ({"methods": ()}, "methods"),
            ({"methods": "gap"}, "methods"),
            ({"figure": "gif"}, "figure"),
            ({"loss": "l1"}, "loss"),
            ({"n_replicates": 1}, "n_replicates"),
            ({"fraction": 0.0}, "fraction"),
            ({"fraction": 0.7}, "fraction"),
            ({"max_iter": 0}, "max_iter"),
            ({"seed": -1}, "seed"),
            ({"tol": float("nan")}, "tol"),
        ],
    )
    def test_refused(self, settings, text):
        with pytest.raises(UsageError, match=text):
            RankOptions(**settings)


def test_bad_data_leave_nothing_behind(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([[1.0, -2.0], [3.0, 4.0]]))
    with pytest.raises(DataError):
        rank(tmp_path / "bad.npy", ranks=(1,), output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_large_a_rank_is_named(matrix, tmp_path):
    with pytest.raises(UsageError, match="rank 81 exceeds the 80"):
        rank(matrix, ranks=(2, 81), output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_or_fields(matrix):
    with pytest.raises(UsageError, match="not both"):
        rank(matrix, options=RankOptions(), seed=1)
