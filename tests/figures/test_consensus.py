"""Figures of the consensus at every size."""

import numpy as np
import pandas as pd
import pytest

from partwise import figures

from .test_figures import HOSTILE, check


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def replicates(rng, m, k, left_out=0):
    planted = rng.gamma(0.3, size=(k, 30)) + 0.01
    cluster = np.arange(m) % k
    rows = planted[cluster] * np.exp(0.1 * rng.standard_normal((m, 30)))
    cluster = cluster.astype(np.int32)
    cluster[m - left_out :] = -1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), cluster


@pytest.mark.parametrize(("m", "k"), [(2, 1), (4, 2), (60, 5), (200, 13), (2400, 40)])
@pytest.mark.parametrize("threshold", [0.5, 2.0, None])
def test_clustergram(rng, m, k, threshold):
    rows, cluster = replicates(rng, m, k, left_out=m // 10)
    density = rng.gamma(1.0, 0.2, size=m)
    density[0] = np.inf
    figure = figures.clustergram(rows, cluster, local_density=density, density_threshold=threshold)
    texts = check(figure, axes=5)
    assert "Euclidean distance" in texts
    assert "Local density" in texts
    assert any("left out" in text for text in texts) == (threshold == 0.5)
    if k <= 13:
        assert str(k) in texts
    if m == 2400:
        assert "1,520 of 2,160 programs of all fits" in texts


def test_clustergram_shows_distances_by_cluster(rng):
    rows, cluster = replicates(rng, 30, 3)
    image = np.asarray(figures.clustergram(rows, cluster).axes[0].images[0].get_array())
    order = np.argsort(cluster, kind="stable")
    plain = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert image.shape == (30, 30)
    for a in range(3):
        for b in range(3):
            block = (slice(10 * a, 10 * a + 10), slice(10 * b, 10 * b + 10))
            ours, theirs = image[block], plain[np.ix_(order, order)][block]
            np.testing.assert_allclose(np.sort(ours.ravel()), np.sort(theirs.ravel()), atol=1e-6)


def test_nothing_kept():
    check_one = figures.clustergram(np.eye(3), np.full(3, -1))
    assert "No replicate program was kept." in [t.get_text() for t in check_one.texts]


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_stability_error(n, rng):
    ranks = np.arange(2, 2 + n)
    figure = figures.stability_error(
        ranks, rng.random(n), np.sort(rng.random(n))[::-1], chosen=int(ranks[-1])
    )
    texts = check(figure, axes=2)
    assert {"Stability", "Error"} <= set(texts)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), ranks)


@pytest.mark.parametrize(("groups", "k"), [(1, 1), (5, 4), (30, 13), (60, 30)])
def test_usage_by_group(rng, groups, k):
    names = [*HOSTILE, *(f"Type {i}" for i in range(60))][:groups]
    mean = pd.DataFrame(
        rng.dirichlet(np.ones(k), size=groups), names, [f"program_{t + 1}" for t in range(k)]
    )
    texts = check(figures.usage_by_group(mean, group_label="cell_type"), axes=2)
    assert any(text.startswith("Program 1") for text in texts)


def test_overdispersion(rng):
    mean = np.r_[0.0, rng.gamma(0.5, size=500) * 100]
    fano = np.where(mean > 0, 1 + rng.gamma(1.0, size=501), np.nan)
    expected = 0.01 * mean + 1.2
    score = np.nan_to_num(fano / expected)
    figure = figures.overdispersion(mean, fano, expected, score > np.sort(score)[-51])
    texts = check(figure)
    assert "chosen, 50" in texts
    assert "others, 450" in texts


def test_empty():
    for figure in (
        figures.stability_error([], [], []),
        figures.usage_by_group(pd.DataFrame()),
        figures.overdispersion([0.0], [np.nan], [1.0], [False]),
    ):
        assert len(figure.texts) == 1
