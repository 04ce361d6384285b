"""Every figure at every size: something is drawn, all of it is labelled, nothing is cut off."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from partwise import figures

HOSTILE = [
    "Tumour-associated macrophage, M2-like, CD163+ CD206+",
    "γδ T cell",
    "$cost$ <script>alert(1)</script>",
    "上皮細胞",
    "_hidden",
    "$",
    "x" * 90,
    "tab\there\nand a line",
    "",
    "$a$ and $b$",
    r"\frac{1}{2}$",
]


def names(n):
    return [*HOSTILE, *(f"Type {i}" for i in range(n))][:n]


def visible_texts(figure):
    # tick labels outside the view belong to ticks that are not drawn
    drawn = []
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        drawn.append(text)
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    hidden.update({tick.label1, tick.label2})
    return [text for text in drawn if text not in hidden]


def check(figure, *, axes=1):
    """Assert what every figure owes its reader, and return the texts in it."""
    assert isinstance(figure, Figure)
    figures.render(figure, "png", dpi=int(figure.dpi))
    width, height = figure.get_size_inches()
    assert width <= 7.3
    assert height <= 14
    assert len(figure.axes) >= axes
    canvas = figure.bbox
    texts = visible_texts(figure)
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= canvas.x0 - 1, text.get_text()
        assert box.y0 >= canvas.y0 - 1, text.get_text()
        assert box.x1 <= canvas.x1 + 1, text.get_text()
        assert box.y1 <= canvas.y1 + 1, text.get_text()
        assert text.get_fontsize() >= 7
    for one in figure.axes:
        assert one.has_data()
        box = one.get_window_extent()
        assert min(box.width, box.height) > 8
    main = figure.axes[0]
    for axis in (main.xaxis, main.yaxis):
        check_tick_labels(axis)
    return [text.get_text() for text in texts]


def check_tick_labels(axis):
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for side in ("label1", "label2"):
        labels = [getattr(tick, side) for tick in ticks]
        boxes = [t.get_window_extent() for t in labels if t.get_visible() and t.get_text().strip()]
        for first, second in itertools.pairwise(boxes):
            overlap_x = min(first.x1, second.x1) - max(first.x0, second.x0)
            overlap_y = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert min(overlap_x, overlap_y) < 1.5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("p", "k"), [(1, 1), (6, 1), (6, 6), (15, 10), (60, 10), (60, 40)])
def test_programs_heatmap(rng, p, k):
    programs = pd.DataFrame(
        rng.gamma(0.4, size=(p, k)), names(p), [f"Factor {i + 1}" for i in range(k)]
    )
    texts = check(
        figures.programs_heatmap(
            programs, explained=rng.dirichlet(np.ones(k)), feature_label="Cell type around a cell"
        ),
        axes=2,
    )
    assert "Share of the factor" in " ".join(texts).replace("\n", " ")
    assert any(text.startswith("Factor 1") for text in texts)
    if p == 60:
        assert "Type 48" in texts


def test_programs_are_shown_as_shares_and_sorted_by_factor():
    programs = pd.DataFrame({"F1": [0.0, 2.0, 6.0], "F2": [5.0, 1.0, 0.0]}, index=["a", "b", "c"])
    axes = figures.programs_heatmap(programs).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["c", "b", "a"]
    shown = np.asarray(axes.collections[0].get_array()).reshape(3, 2)
    np.testing.assert_allclose(shown, [[0.75, 0], [0.25, 1 / 6], [0, 5 / 6]])


def test_many_features_are_cut_to_the_largest_of_each_factor(rng):
    weights = np.full((2000, 4), 1e-3)
    weights[[7, 500, 900, 1999], [0, 1, 2, 3]] = [9.0, 1.0, 1.0, 1.0]
    programs = pd.DataFrame(weights, names(2000), list("abcd"))
    figure = figures.programs_heatmap(programs, max_features=8)
    texts = check(figure, axes=2)
    shown = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(shown) == 8
    assert {programs.index[i] for i in (500, 900, 1999)} <= set(shown)
    assert "8 of 2,000" in " ".join(texts).replace("\n", " ")


def test_columns_of_our_files_become_short_labels():
    programs = pd.DataFrame({"NMF_factor_1": [1.0], "NMF_factor_12": [1.0], "other": [1.0]})
    axes = figures.programs_heatmap(programs).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Factor 1", "Factor 12", "other"]


def test_a_dead_factor_is_drawn_as_zeros():
    check(figures.programs_heatmap(pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 0.0]})), axes=2)


@pytest.mark.parametrize(("c", "k"), [(1, 1), (1, 6), (6, 6), (12, 10), (60, 10), (60, 40)])
def test_usage_by_cluster(rng, c, k):
    usage = pd.DataFrame(rng.gamma(0.3, size=(c, k)), columns=[f"Factor {i + 1}" for i in range(k)])
    figure = figures.usage_by_cluster(usage)
    assert "Cluster" in check(figure, axes=2)
    shown = np.asarray(figure.axes[0].collections[0].get_array()).reshape(c, k)
    np.testing.assert_allclose(shown.max(axis=0), 1.0)


@pytest.mark.parametrize("c", [1, 6, 24, 60, 300])
def test_cluster_sizes(rng, c):
    sizes = pd.Series(np.sort(rng.integers(1, 3_000_000, size=c))[::-1], index=range(c))
    sizes[-1] = 12
    figure = figures.cluster_sizes(sizes)
    texts = check(figure)
    if c <= 60:
        assert len(figure.axes[0].patches) == c + 1
        assert "isolated" in texts
    if c <= 23:
        assert any("%" in text for text in texts)
        assert figure.axes[0].patches[-1].get_facecolor()[:3] == pytest.approx(
            (0.722,) * 3, abs=0.01
        )


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        (1, 1),
        (1, 12),
        (6, 6),
        (6, 15),
        (40, 8),
        (60, 12),
        (60, 60),
        (300, 8),
        (2000, 8),
        (2000, 60),
    ],
)
def test_composition(rng, groups, parts):
    counts = rng.poisson(rng.dirichlet(np.full(parts, 0.3), size=groups) * 1000) + 1
    table = pd.DataFrame(counts, columns=names(parts))
    texts = check(figures.composition(table, group_label="Field of view", part_label="Cell type"))
    joined = " ".join(texts).replace("\n", " ")
    assert "Field of view" in joined
    assert "Cell type" in joined
    if parts <= 12:
        wanted = [figures.elide(name) for name in names(parts)]
        assert set(wanted) <= set(texts)
    if groups > 64:
        assert f"{groups:,}" in joined


def test_bars_of_a_composition_end_at_one_and_give_counts():
    table = pd.DataFrame({0: [8, 0, 3], 1: [2, 0, 9], -1: [0, 0, 1]}, index=["a", "empty", "b"])
    figure = figures.composition(table, group_label="Field of view", part_label="Cluster")
    texts = check(figure)
    ends = [bar.get_x() + bar.get_width() for bar in figure.axes[0].patches][-2:]
    np.testing.assert_allclose(ends, 1.0)
    assert {"a", "b", "10", "13", "isolated"} <= set(texts)
    assert "empty" not in texts


def test_many_groups_in_the_order_of_their_composition_have_no_numbers():
    """Places in that order would be taken for the names of clusters."""
    table = pd.DataFrame({"a": range(1, 81), "b": 80})
    figure = figures.composition(table, group_label="Cluster", part_label="group")
    assert "Cluster: 80, sorted by composition" in check(figure)
    assert len(figure.axes[0].get_xticks()) == 0


def test_given_colours_are_used():
    table = pd.DataFrame({0: [1], 5: [1]})
    colors = figures.cluster_colors([0, 5])
    figure = figures.composition(table, group_label="a", part_label="b", colors=colors)
    from matplotlib.colors import to_hex

    drawn = [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[0].patches]
    assert drawn == [colors[0], colors[5]]


@pytest.mark.parametrize(("n", "c"), [(1, 1), (300, 6), (5000, 14), (5000, 60)])
@pytest.mark.parametrize("labelled", [True, False])
def test_embedding(rng, n, c, labelled):
    points = pd.DataFrame(rng.normal(size=(n, 2)), columns=["PC 1 (40 %)", "PC 2 (9 %)"])
    groups = pd.Series(rng.integers(-1, c, size=n))
    groups.iloc[0] = 0
    figure = figures.embedding(points, groups, group_label="Cluster", label_groups=labelled)
    texts = check(figure)
    assert {"PC 1 (40 %)", "PC 2 (9 %)"} <= set(texts)
    assert len(figure.legends) == int(not labelled or c <= 20)
    if figure.legends:
        assert len(figure.legends[0].get_texts()) <= 20
    colours = {tuple(row) for row in figure.axes[0].collections[0].get_facecolors()}
    assert len(colours) <= 23


def test_embedding_by_names_lumps_the_rare_ones(rng):
    kinds = np.array(names(40), dtype=object)
    weights = np.arange(40, 0, -1.0)
    groups = pd.Series(rng.choice(kinds, p=weights / weights.sum(), size=4000))
    groups.iloc[:5] = None
    points = pd.DataFrame(rng.normal(size=(4000, 2)), columns=["x", "y"])
    texts = check(figures.embedding(points, groups, group_label="Cell type"))
    assert "all others" in texts
    assert "_hidden" in texts


@pytest.mark.parametrize("n", [1, 2, 5, 40, 500])
def test_loss_curve(n):
    loss = 0.1 + np.exp(-np.arange(n) / 7.0)
    figure = figures.loss_curve(loss, label="Relative error", tol=1e-4, converged=n > 100)
    texts = check(figure)
    assert len(figure.axes) == (2 if n >= 3 else 1)
    assert "Iteration" in texts
    assert "Relative error" in texts
    assert ("Converged" if n > 100 else "Not converged") in texts


def test_a_flat_loss_has_no_empty_axes():
    assert len(figures.loss_curve([2.0, 2.0, 2.0, 2.0]).axes) == 1


@pytest.mark.parametrize(("a", "b"), [(1, 1), (6, 6), (12, 6), (60, 40), (300, 6)])
def test_agreement(rng, a, b):
    table = pd.DataFrame(rng.poisson(rng.dirichlet(np.full(b, 0.2), size=a) * 500))
    table.index = pd.Index(range(-1, a - 1))
    figure = figures.agreement_heatmap(table, adjusted_rand=0.613)
    texts = [text.replace("\n", " ") for text in check(figure, axes=2)]
    assert "Adjusted Rand index 0.61" in texts
    assert "Cluster from the raw features" in texts
    assert "Cluster from the factors" in texts
    assert "isolated" in texts or a == 300  # 300 names do not fit: only some are drawn


@settings(max_examples=12, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=2, max_size=6))
def test_any_name_can_be_drawn(labels):
    programs = pd.DataFrame(np.eye(len(labels)), index=labels, columns=labels)
    figures.render(figures.programs_heatmap(programs), "svg")
    counts = pd.DataFrame(np.eye(len(labels)), index=labels, columns=labels)
    figures.render(figures.composition(counts, group_label="Group", part_label="Part"), "svg")


def test_nothing_to_show_is_said():
    empty = pd.DataFrame()
    drawn = [
        figures.programs_heatmap(empty),
        figures.usage_by_cluster(empty),
        figures.cluster_sizes(pd.Series(dtype=int)),
        figures.composition(empty, group_label="a", part_label="b"),
        figures.composition(pd.DataFrame({"a": [0, 0]}), group_label="a", part_label="b"),
        figures.embedding(pd.DataFrame({"x": [], "y": []}), pd.Series([]), group_label="a"),
        figures.loss_curve([]),
        figures.agreement_heatmap(empty, adjusted_rand=float("nan")),
    ]
    for figure in drawn:
        assert figure.axes == []
        assert len(figure.texts) == 1
