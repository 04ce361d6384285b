"""The interface of the Python port: its names, defaults and shapes, without its errors."""

import inspect
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp

import sequence_reference as ref
from partwise.exceptions import DataError, UsageError
from partwise.sequences import plot, seqnmf
from partwise.sequences._matlab import fit_matlab

#: the port's parameters in their order (ContextLab/seqnmf 0.1.3)
PORT = {
    "K": 10,
    "L": 100,
    "Lambda": 0.001,
    "W_init": None,
    "H_init": None,
    "plot_it": False,
    "max_iter": 100,
    "tol": -np.inf,
    "shift": True,
    "sort_factors": True,
    "lambda_L1W": 0,
    "lambda_L1H": 0,
    "lambda_OrthH": 0,
    "lambda_OrthW": 0,
    "M": None,
    "use_W_update": True,
    "W_fixed": False,
}

#: a script written for the port, its import changed
SCRIPT = """
from partwise.sequences import seqnmf, plot, example_data

[W, H, cost, loadings, power] = seqnmf(example_data, {settings}, Lambda=0.001, plot_it=True)

plot(W, H).show()
print(W.shape, H.shape, cost.shape, loadings.shape, 0 < power < 1)
"""


@pytest.fixture
def small():
    """Sparse data, and a start."""
    rng = np.random.default_rng(0)
    X = rng.random((6, 60)) * (rng.random((6, 60)) < 0.3)
    return X, rng.random((6, 3, 5)), rng.random((3, 60))


def planted(starts=(7, 31, 58, 80), lags=(0, 2, 3, 5, 6), frames=100):
    """Return data in which unit n is active lags[n] frames after each start, and nothing else."""
    X = np.zeros((len(lags), frames))
    for start in starts:
        X[np.arange(len(lags)), start + np.array(lags)] = 1.0
    return X


def test_parameters_are_those_of_the_port():
    found = inspect.signature(seqnmf).parameters
    assert list(found)[: len(PORT) + 1] == ["X", *PORT]
    assert {name: found[name].default for name in PORT} == PORT
    added = list(found.values())[len(PORT) + 1 :]
    assert all(p.kind is p.KEYWORD_ONLY for p in added)


def test_shapes_of_what_comes_back(small):
    X, *_ = small
    W, H, cost, loadings, power = seqnmf(X, 3, 5, max_iter=7, random_state=0)
    assert W.shape == (6, 3, 5)
    assert H.shape == (3, 60)
    assert cost.shape == (8, 1)
    assert loadings.shape == (3,)
    assert isinstance(power, float)
    assert W.dtype == H.dtype == np.float64


def test_planted_lags_are_recovered_exactly():
    starts, lags = (7, 31, 58, 80), np.array([0, 2, 3, 5, 6])
    X = planted(starts, lags)
    W, H, *_, power = seqnmf(X, K=1, L=9, Lambda=0, random_state=0)
    assert power > 0.99
    # the documented model, in which lag 0 is the frame of the activation, explains the data ...
    assert ref.power(X, W, H) == pytest.approx(power, abs=1e-6)
    # ... but not with activations one frame off, as the port returns them
    assert ref.power(X, W, np.roll(H, 1, axis=1)) < 0.2
    # each unit is active where activation and lag say, in each event
    begins = np.sort(np.argsort(-H[0])[: len(starts)])
    peaks = W[:, 0].argmax(axis=1)
    frames = begins[:, None] + peaks
    assert np.array_equal(frames, np.array(starts)[:, None] + lags)


def test_planted_lags_are_recovered_without_recentring():
    starts, lags = (7, 31, 58, 80), np.array([0, 2, 3, 5, 6])
    X = planted(starts, lags)
    H = np.full((1, X.shape[1]), 1e-3)
    H[0, list(starts)] = 1.0
    W, H, *_ = seqnmf(X, K=1, L=7, Lambda=0, H_init=H, shift=False, random_state=0)
    assert np.array_equal(np.sort(np.argsort(-H[0])[: len(starts)]), starts)
    assert np.array_equal(W[:, 0].argmax(axis=1), lags)


def test_cost_is_per_entry_of_the_padded_matrix(small):
    X, W, H = small
    L, T = W.shape[2], X.shape[1]
    start = {"W_init": W, "H_init": H, "max_iter": 4, "shift": False}
    found = seqnmf(X, 3, L, **start)
    gap = ref.residual(X, *found[:2])
    assert found[2][-1, 0] == pytest.approx(np.sqrt(np.sum(gap**2) / (6 * (T + 2 * L))))
    M = np.ones_like(X)
    M[:2, 10:30] = 0
    found = seqnmf(X, 3, L, M=M, **start)
    gap = ref.residual(X, *found[:2], mask=M == 0)
    assert found[2][-1, 0] == pytest.approx(np.sqrt(np.sum(gap**2) / (6 * (T + 2 * L))))


def test_compat_matlab_is_the_toolbox(small):
    X, W, H = small
    M = (np.random.default_rng(1).random(X.shape) > 0.1).astype(float)
    weights = {"lambda_L1W": 0.1, "lambda_L1H": 0.05, "lambda_OrthH": 0.1, "lambda_OrthW": 0.2}
    found = seqnmf(
        X, 3, 5, 0.02, W, H, max_iter=6, M=M, use_W_update=False, compat="matlab", **weights
    )
    same = fit_matlab(
        X,
        n_components=3,
        n_lags=5,
        lambda_=0.02,
        l1_W=0.1,
        l1_H=0.05,
        ortho_H=0.1,
        ortho_W=0.2,
        use_W_update=False,
        mask_observed=M > 0,
        motifs_init=W,
        activations_init=H,
        max_iter=6,
    )
    assert np.array_equal(found[0], same.motifs)
    assert np.array_equal(found[1], same.activations)
    assert np.array_equal(found[2][:, 0], same.cost)
    assert np.array_equal(found[3], same.loadings)
    assert found[4] == same.power


def test_compat_matlab_equals_octave(data_dir):
    with np.load(data_dir / "seqnmf_octave_reference.npz") as file:
        wanted = dict(file)
    start = {"W_init": wanted["W10"], "H_init": wanted["H10"], "max_iter": 5, "compat": "matlab"}
    found = seqnmf(wanted["Xtrain"], 10, 20, 0.005, lambda_L1W=0.1, **start)
    for array, name in zip(found, ("W", "H", "cost", "loadings", "power"), strict=True):
        array = array[:, 0] if name == "cost" else array
        np.testing.assert_allclose(array, wanted[f"xortho_demo_it5/{name}"], rtol=1e-9, atol=1e-300)


def test_starts_and_masks_are_taken_with_the_ports_padding_and_stay_as_they_are(small):
    X, W, H = small
    M = np.ones_like(X)
    M[3, 4:9] = 0
    edges = ((0, 0), (5, 5))
    padded = np.pad(H, edges), np.pad(M, edges, constant_values=1)
    before = X.copy(), W.copy(), H.copy(), padded[0].copy()
    one = seqnmf(X, 3, 5, W_init=W, H_init=H, M=M, max_iter=3)
    two = seqnmf(X, 3, 5, W_init=W, H_init=padded[0], M=padded[1], max_iter=3)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)
    for array, copy in zip((X, W, H, padded[0]), before, strict=True):
        assert np.array_equal(array, copy)


def test_hidden_entries_do_not_matter(small):
    X, W, H = small
    M = np.ones_like(X)
    M[2, 10:20] = 0
    other = np.where(M == 0, 5.0, X)
    one = seqnmf(X, 3, 5, W_init=W, H_init=H, M=M, max_iter=5)
    two = seqnmf(other, 3, 5, W_init=W, H_init=H, M=M, max_iter=5)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-12)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-12)


def test_fixed_motifs_stay(small):
    X, W, _ = small
    found = seqnmf(X, 3, 5, W_init=W, W_fixed=True, sort_factors=False, max_iter=5, random_state=0)
    assert np.array_equal(found[0], W)
    with pytest.raises(UsageError, match="W_init"):
        seqnmf(X, 3, 5, W_fixed=True)


def test_empty_factors_come_back():
    X = planted()
    W, H, _, loadings, _ = seqnmf(X, K=4, L=9, Lambda=0.1, random_state=0)
    assert W.shape == (5, 4, 9)
    assert H.shape == (4, 100)
    assert np.all(np.diff(loadings) <= 0)


def test_one_lag_is_a_plain_factorization(small):
    X, *_ = small
    W, H, *_, power = seqnmf(X, K=2, L=1, Lambda=0, max_iter=300, shift=False, random_state=0)
    gap = X - W[:, :, 0] @ H
    assert power == pytest.approx(1 - np.sum(gap**2) / np.sum(X**2), abs=1e-9)


def test_the_tolerance_stops(small):
    X, W, H = small
    start = {"W_init": W, "H_init": H, "Lambda": 0, "shift": False, "max_iter": 200}
    assert len(seqnmf(X, 3, 5, **start)[2]) == 201
    assert len(seqnmf(X, 3, 5, tol=0, **start)[2]) == 201
    assert 7 < len(seqnmf(X, 3, 5, tol=1e-2, **start)[2]) < 100


def test_types(small):
    X, W, H = small
    start = {"W_init": W, "H_init": H, "max_iter": 3}
    wide = seqnmf(X, 3, 5, **start)
    narrow = seqnmf(X.astype(np.float32), 3, 5, **start)
    assert narrow[0].dtype == narrow[1].dtype == np.float32
    np.testing.assert_allclose(narrow[0], wide[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(seqnmf(sp.csr_matrix(X), 3, 5, **start)[0], wide[0], rtol=1e-9)
    counts = (X > 0).astype(int)
    whole = seqnmf(counts, 3, 5, **start)
    assert whole[0].dtype == np.float64
    assert np.array_equal(whole[0], seqnmf(counts.astype(float), 3, 5, **start)[0])


def test_errors(small):
    X, _, H = small
    with pytest.raises(DataError, match="matrix"):
        seqnmf(X[0], 3, 5)
    with pytest.raises(DataError, match="negative"):
        seqnmf(X - 0.5, 3, 5)
    with pytest.raises(UsageError, match=r"H_init .*\(60\); it is 3 x 59"):
        seqnmf(X, 3, 5, H_init=H[:, 1:])
    with pytest.raises(UsageError, match="M must have a column"):
        seqnmf(X, 3, 5, M=np.ones(60))
    with pytest.raises(UsageError):
        seqnmf(X, 3, 60)


def test_plot_is_a_figure_that_pyplot_knows(small, tmp_path):
    X, W, H = small
    plt.close("all")
    figure = plot(W, H)
    assert isinstance(figure, plt.Figure)
    assert plt.gcf() is figure
    figure.savefig(tmp_path / "figure.png")
    figure.show()
    plt.close(figure)
    assert not plt.get_fignums()
    with_data = plot(W, H, data=X)
    assert [axes.get_label() for axes in with_data.axes][:3] == ["motifs", "strip", "center"]
    plt.close(with_data)


def test_plot_it_draws_at_the_end(small, monkeypatch):
    shown = []
    monkeypatch.setattr(plt.Figure, "show", lambda figure, *_: shown.append(figure))
    X, *_ = small
    seqnmf(X, 3, 5, max_iter=2, plot_it=True, random_state=0)
    assert len(shown) == 1
    plt.close("all")


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ("K=3, L=20, max_iter=5", "(75, 3, 20) (3, 666) (6, 1) (3,)"),
        # as it stands in the port's own documentation
        pytest.param(
            "K=20, L=100", "(75, 20, 100) (20, 666) (101, 1) (20,)", marks=pytest.mark.slow
        ),
    ],
)
def test_a_script_of_the_port_runs_without_a_display(data_dir, tmp_path, settings, shapes):
    keep = ("PATH", "HOME", "TMPDIR", "NUMBA_CACHE_DIR", "SYSTEMROOT")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env["PARTWISE_DATA_DIR"] = str(data_dir)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(settings=settings)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{shapes} True"]
