"""Colours, labels and bytes."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from partwise import figures
from partwise.figures.style import GREY, OKABE_ITO, display_name, elide, isolated_last, text_on

# Viénot, Brettel and Mollon (1999): what a protanope and a deuteranope see, in linear RGB
DICHROMACY = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def lab(rgb):
    """Return CIE L*a*b* of linear RGB."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.asarray(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def linear(color):
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", ["normal", "protan", "deutan"])
def test_first_eight_colours_and_grey_differ_for_everybody(vision):
    matrix = np.asarray(DICHROMACY.get(vision, np.eye(3)))
    seen = [lab(matrix @ linear(color)) for color in (*OKABE_ITO, GREY)]
    for i, first in enumerate(seen):
        for second in seen[:i]:
            assert np.linalg.norm(first - second) > 10


def test_palette_is_distinct_up_to_22_and_never_the_grey():
    colours = figures.palette(22)
    assert len(set(colours)) == 22
    assert colours[:8] == list(OKABE_ITO)
    grey = lab(linear(GREY))
    assert min(np.linalg.norm(lab(linear(c)) - grey) for c in colours) > 10
    assert len(figures.palette(60)) == 60
    assert figures.palette(0) == []


def test_cluster_colours_depend_on_the_number_alone():
    assert figures.cluster_colors([2, -1])[2] == figures.cluster_colors(range(40))[2]
    assert figures.cluster_colors([-1]) == {-1: GREY}
    assert figures.cluster_colors([]) == {}


@pytest.mark.parametrize("longest", [5, 12, 28])
def test_elided_names_are_short_single_lines(longest):
    for name in ("a" * 100, "two\nlines and\ttabs", "ab\x00\x1b", "", "  ", "CD8⁺", 3, None):
        text = elide(name, longest)
        assert 0 < len(text) <= max(longest, len("(no name)"))
        assert text.isprintable()


def test_elision_keeps_both_ends():
    text = elide("Macrophage, tumour-associated, CD163+")
    assert text.startswith("Macrophage, tumo")
    assert text.endswith("CD163+")


def test_labels_of_groups():
    assert display_name(-1) == display_name(-1.0) == display_name(np.int64(-1)) == "isolated"
    assert display_name("-1") == "-1"
    assert display_name(np.float64(3.0)) == "3"
    assert isolated_last([-1, 2, 0]) == [1, 2, 0]


def test_text_can_be_read_on_every_colour_of_the_scale():
    scale = mpl.colormaps["viridis"]
    for value in np.linspace(0, 1, 50):
        colour = scale(value)
        luminance = [0.2126, 0.7152, 0.0722] @ linear(colour)
        ink = [0.2126, 0.7152, 0.0722] @ linear(text_on(colour))
        high, low = max(luminance, ink), min(luminance, ink)
        assert (high + 0.05) / (low + 0.05) > 4.0


def test_render_gives_the_same_bytes_whatever_the_user_has_set():
    def draw():
        return figures.cluster_sizes(__import__("pandas").Series([5, 3]))

    first = [figures.render(draw(), fmt) for fmt in ("svg", "png")]
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "none"}):
        second = [figures.render(draw(), fmt) for fmt in ("svg", "png")]
        assert mpl.rcParams["font.size"] == 30
    assert first == second
    assert first[1].startswith(b"\x89PNG")


def test_neither_import_nor_drawing_loads_pyplot():
    code = (
        "import sys, pandas as pd, partwise.figures as f;"
        "f.render(f.cluster_sizes(pd.Series([1, 2])), 'png');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_message_figure():
    figure = figures.message_figure("No clusters.")
    assert isinstance(figure, Figure)
    assert figure.axes == []
    assert figure.texts[0].get_text() == "No clusters."
