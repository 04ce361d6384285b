"""The benchmark of sequences: its data, its process, and how rounds are summed up."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.sequences import seqnmf

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(FOLDER))


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_sequences", FOLDER / "sequences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_data(bench):
    X = bench.recording()
    assert X.shape == (bench.UNITS, bench.FRAMES)
    assert X.nnz == round(bench.DENSITY * bench.UNITS * bench.FRAMES)
    assert set(X.data) == {1.0}
    assert (bench.recording() != X).nnz == 0


def test_time_per_iteration_leaves_out_what_a_call_costs_once(bench, tmp_path):
    X = sp.random(8, 300, 0.1, format="csr", random_state=0)
    sp.save_npz(tmp_path / "data.npz", X)
    rng = np.random.default_rng(0)
    start = {"motifs": rng.random((8, 2, 6)), "activations": rng.random((2, 300))}
    np.savez(tmp_path / "start.npz", **start)
    found = bench.run("float64", ["--lambda", "0.001"], tmp_path)
    few, many = bench.ITERATIONS["partwise"]
    assert [line["iterations"] for line in found["runs"]] == [few, many] * bench.PAIRS["partwise"]
    steps = [
        (found["runs"][i + 1]["seconds"] - found["runs"][i]["seconds"]) / (many - few)
        for i in range(0, len(found["runs"]), 2)
    ]
    assert found["seconds"] == pytest.approx(np.median(steps))
    # the cost is that of the fit, over the padded matrix
    names = {"W_init": start["motifs"], "H_init": start["activations"], "max_iter": many}
    assert found["cost"] == pytest.approx(seqnmf(X, 2, 6, **names)[2][-1, 0])


def test_ratios_are_taken_within_rounds(bench):
    def line(port, *ours):
        return {
            name: {"seconds": s, "cpu_seconds": s}
            for name, s in zip(bench.RUNS, (port, *ours), strict=True)
        }

    rounds = [
        line(30.0, 1.0, 0.5, 0.5, 0.25),
        line(90.0, 3.0, 1.0, 1.5, 0.5),
        line(1.0, 1.0, 1.0, 1.0, 1.0),
    ]
    found = bench.faster(rounds)
    assert found["times_faster"] == {"float64": 30.0, "float32": 60.0}
    assert found["second_thread"] == {"float64": 2.0, "float32": 2.0}
    assert found["holds"]
    slow = [line(30.0, 1.0, 0.5, 0.9, 0.4)] * 3
    assert not bench.faster(slow)["holds"]
