"""Figures of neighbourhoods."""

import numpy as np
import pandas as pd
import pytest

from partwise import figures


def test_histogram_holds_all_cells_and_marks_the_mean():
    rng = np.random.default_rng(0)
    for values in (rng.poisson(6, 1000), 7 * rng.poisson(400, 1000), np.full(50, 20), np.arange(3)):
        axes = figures.neighbor_histogram(values).axes[0]
        assert sum(patch.get_height() for patch in axes.patches) == len(values)
        assert len(axes.patches) <= 61
        assert f"{values.mean():,.1f}" in axes.texts[0].get_text()
        low, high = axes.get_xlim()
        assert low < values.min()
        assert high > values.max()


@pytest.mark.parametrize("n", [1, 3, 30, 31, 400])
def test_a_line_per_field_of_view(n):
    median = np.arange(n, 0, -1.0)
    table = pd.DataFrame(
        {"low": median - 1, "median": median, "high": median + 2},
        index=[f"F{i}" for i in range(n)],
    )
    axes = figures.fov_neighbors(table).axes[0]
    line = axes.get_lines()[0]
    if n <= 30:
        assert [text.get_text() for text in axes.get_yticklabels()] == list(table.index)
        np.testing.assert_array_equal(line.get_xdata(), median)
    else:
        np.testing.assert_array_equal(line.get_ydata(), np.sort(median))
        assert f"{n} fields of view" in axes.get_xlabel()


def test_types_are_in_the_order_of_the_table():
    names = ["B", "A", "C"]
    shares = pd.DataFrame(np.eye(3), index=names, columns=names)
    axes = figures.type_neighborhoods(shares).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == names
    assert [text.get_text() for text in axes.get_xticklabels()] == names
    np.testing.assert_array_equal(axes.collections[0].get_array().ravel(), np.eye(3).ravel())


def test_nothing_to_show_is_said():
    nothing = figures.neighbor_histogram(np.empty(0, np.int32))
    assert "no cells" in nothing.texts[0].get_text()
    empty = pd.DataFrame({"low": [], "median": [], "high": []})
    assert "no fields" in figures.fov_neighbors(empty).texts[0].get_text()
    assert "no types" in figures.type_neighborhoods(pd.DataFrame()).texts[0].get_text()
