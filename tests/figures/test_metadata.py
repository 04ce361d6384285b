"""Figures of clusters beside metadata, of settings and of the variance."""

import numpy as np
import pandas as pd
import pytest

from partwise import figures


@pytest.mark.parametrize(("n_clusters", "p"), [(3, 5), (12, 15), (40, 300)])
def test_profiles_show_signs_and_stand_beside_their_clusters(n_clusters, p):
    scores = pd.DataFrame(np.full((n_clusters, p), -0.5), columns=[f"F{j}" for j in range(p)])
    for cluster in range(n_clusters):
        scores.iloc[cluster, (7 * cluster + 1) % p] = 4.0 + cluster / 100
    figure = figures.cluster_profiles(scores, scale_label="SD", column_label="Feature")
    assert figures.render(figure, "png")
    mesh = figure.axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-3.0, 3.0)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    if n_clusters == 3:
        assert rows == ["F1", "F2", "F4", "F3", "F0"]
        texts = {text.get_text() for text in figure.axes[0].texts}
        assert texts == {"-0.5", "+4.0"}
    assert len(mesh.get_array().ravel()) == n_clusters * min(p, 60)
    assert (np.asarray(mesh.get_array()).reshape(-1, n_clusters).max(axis=0) >= 4).all()


@pytest.mark.parametrize("n_clusters", [3, 40, 200])
def test_entropy_by_cluster(n_clusters):
    entropy = pd.Series(np.linspace(0, 1, n_clusters))
    figure = figures.entropy_by_cluster(entropy, overall=0.9, label="batch")
    assert figures.render(figure, "png")
    axes = figure.axes[0]
    assert (n_clusters <= 64) == (len(axes.get_yticks()) == n_clusters)
    assert any(list(line.get_xdata()) == [0.9, 0.9] for line in axes.lines)


def test_values_and_embedding_leave_out_what_is_missing():
    quantiles = pd.DataFrame(
        [[1, 2, 3, 4, 5], [np.nan] * 5, [2, 3, 4, 5, 6]], columns=[0.05, 0.25, 0.5, 0.75, 0.95]
    )
    axes = figures.values_by_cluster(quantiles, label="area").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "2"]
    points = pd.DataFrame({"a": [0.0, 1, 2], "b": [0.0, 1, 2]})
    for values in ([1.0, np.nan, 2.0], [np.nan] * 3, [5.0] * 3):
        figure = figures.embedding_values(points, pd.Series(values), label="area")
        assert figures.render(figure, "png")
        known = figure.axes[0].collections[1].get_offsets()
        assert len(known) == np.isfinite(values).sum()


def test_nothing_to_show():
    for figure in (
        figures.embedding_values(pd.DataFrame({"a": [], "b": []}), pd.Series([]), label="x"),
        figures.entropy_by_cluster(pd.Series([], dtype=float), overall=0.0, label="x"),
        figures.values_by_cluster(pd.DataFrame(columns=[0.05, 0.25]), label="x"),
        figures.cluster_profiles(pd.DataFrame(), scale_label="", column_label=""),
        figures.settings_agreement(pd.DataFrame()),
        figures.variance_curve(np.zeros(3)),
    ):
        assert figures.render(figure)
        assert not figure.axes


def test_categories_keep_their_order_in_the_legend():
    points = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0)})
    groups = pd.Series(pd.Categorical(["b", "b", "b", "a"], categories=["a", "b", "c"]))
    figure = figures.embedding(points, groups, group_label="batch")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


@pytest.mark.parametrize(
    ("shares", "reached", "marks"),
    [
        ([0.6, 0.3, 0.1], {0.9: 2, 0.95: 3, 0.99: 3}, 3),
        (np.full(100, 0.01), {0.5: 50, 0.9: 90, 0.99: None}, 1),
    ],
)
def test_variance_marks_what_is_drawn(shares, reached, marks):
    figure = figures.variance_curve(np.asarray(shares), reached=reached)
    assert figures.render(figure, "png")
    assert len(figure.axes[0].texts) == marks


def test_small_clusters_are_grey_and_last():
    sizes = pd.Series({-2: 5, -1: 3, 0: 20, 1: 10})
    axes = figures.cluster_sizes(sizes).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "small", "isolated"]
    colors = figures.cluster_colors([-2, -1, 0])
    assert len(set(colors.values())) == 3
