"""What all figures share: colours, type, sizes, and how names become labels.

Colours. Up to eight groups take the palette of Okabe and Ito, which stays distinguishable with
every common form of colour blindness. The next fourteen are darker and then lighter versions of
the seven that are not black, so groups of one hue differ in lightness; beyond 22 colours repeat,
and the figures identify groups by labels instead. Grey always means "not in a cluster" or "all
others". Scales are viridis, and blue to red through white where numbers have a sign.

Figures are plain `matplotlib.figure.Figure` objects: pyplot, and with it global state and windows,
is never touched.
"""

from __future__ import annotations

import functools
import io
import textwrap
import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = [
    "GREY",
    "OKABE_ITO",
    "SCALE",
    "cluster_colors",
    "colors_for",
    "display_name",
    "elide",
    "is_isolated",
    "isolated_last",
    "message_figure",
    "new_figure",
    "palette",
    "render",
    "styled",
    "text_on",
    "wrapped",
]

P = ParamSpec("P")
R = TypeVar("R")

#: Okabe and Ito, Color Universal Design (2008); yellow and black last, because they carry least
OKABE_ITO: tuple[str, ...] = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#3A3A3A",
)

GREY = "#B8B8B8"
DARK_GREY = "#7A7A7A"
INK = "#222222"
FAINT = "#666666"
SCALE = "viridis"
SIGNED_SCALE = "RdBu_r"

#: the widest figure, inches; a report's column is as wide
FULL_WIDTH = 7.2

#: width of a letter of a tick label with some air, inches
LETTER = 0.068

_RC: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "partwise",
}

#: tried in turn for letters that DejaVu Sans, which comes with matplotlib, does not have
_FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans",
    "Arial Unicode MS",
    "Hiragino Sans",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Symbola",
)


@functools.cache
def _fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    present = {entry.name for entry in fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in present))


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with our style, whatever the user has set, and put theirs back after."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_RC)
            mpl.rcParams["font.family"] = list(_fonts())
            return function(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, which lays itself out without overlaps."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), layout=layout)


def message_figure(text: str) -> Figure:
    """Return a figure that says why there is nothing to show."""
    figure = new_figure(FULL_WIDTH, 0.7)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=FAINT)
    return figure


@styled
def render(figure: Figure, fmt: Literal["svg", "png", "pdf"] = "svg", *, dpi: int = 160) -> bytes:
    """Return a figure as the bytes of an SVG, PNG or PDF file; equal figures give equal bytes.

    Parameters
    ----------
    figure
        Any matplotlib figure.
    fmt
        "svg" (text as outlines, so it looks the same everywhere), "png" or "pdf".
    dpi
        Dots per inch of a PNG and of the rasterised parts of the others.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> from partwise.figures import message_figure, render
    >>> render(message_figure("No cells."), "png")[1:4]
    b'PNG'
    """
    stream = io.BytesIO()
    metadata: dict[str, None] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[fmt]
    with warnings.catch_warnings():
        # a letter that no installed font has is drawn as a box: the tables hold the name
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(stream, format=fmt, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def palette(n: int) -> list[str]:
    """Return `n` colours: Okabe-Ito, then its darker, then its lighter versions, then again.

    Examples
    --------
    >>> from partwise.figures import palette
    >>> palette(2)
    ['#0072B2', '#E69F00']
    """
    hues = OKABE_ITO[:-1]  # black has no darker version, and its lighter one is our grey
    darker = [_blend(color, "#000000", 0.45) for color in hues]
    lighter = [_blend(color, "#FFFFFF", 0.55) for color in hues]
    shades = [*OKABE_ITO, *darker, *lighter]
    return [shades[i % len(shades)] for i in range(n)]


def colors_for(names: Iterable[Hashable]) -> dict[Hashable, str]:
    """Give each name a colour, in the order of the names."""
    names = list(names)
    return dict(zip(names, palette(len(names)), strict=True))


def cluster_colors(clusters: Iterable[int]) -> dict[Hashable, str]:
    """Give each cluster the colour of its number, so that it is the same in every figure.

    Cluster -1, the isolated observations, is grey, and -2, those of small clusters, dark grey.
    """
    clusters = [int(cluster) for cluster in clusters]
    shades = palette(max(clusters, default=-1) + 1)
    apart = {-1: GREY, -2: DARK_GREY}
    return {cluster: apart.get(cluster) or shades[cluster] for cluster in clusters}


def display_name(value: Hashable, longest: int = 28) -> str:
    """Return the label of a group: cluster -1 is "isolated", -2 "small"; long names are elided.

    Examples
    --------
    >>> from partwise.figures import display_name
    >>> display_name(-1), display_name(3.0), display_name("B cell")
    ('isolated', '3', 'B cell')
    """
    if is_isolated(value):
        return "isolated" if value == -1 else "small"
    # a column of clusters in which one was missing once holds floats
    return elide(int(value) if isinstance(value, float) and value.is_integer() else value, longest)


def isolated_last(names: Iterable[Hashable]) -> list[int]:
    """Return the places of the names in their order, but with clusters -1 and -2 at the end."""
    return [i for i, _ in sorted(enumerate(names), key=lambda item: is_isolated(item[1]))]


def elide(value: object, longest: int = 28) -> str:
    r"""Return a name as one line of at most `longest` characters, its middle cut out if needed.

    Names often differ in their ends, so both ends are kept. Dollar signs are escaped, because
    matplotlib would read what is between two of them as a formula.

    Examples
    --------
    >>> from partwise.figures import elide
    >>> elide("Tumour-associated macrophage, M2-like, CD163+", 24)
    'Tumour-associate…CD163+'
    """
    text = " ".join(str(value).split()) or "(no name)"
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    if len(text) > longest:
        tail = (longest - 1) // 3
        text = f"{text[: longest - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"
    return text.replace("$", r"\$")


def wrapped(label: str, length: float) -> str:
    """Break a label into lines of at most about `length` inches."""
    return textwrap.fill(label, max(8, int(length / LETTER)))


def text_on(color: object) -> str:
    """Return black or white, whichever can be read on `color` (WCAG relative luminance)."""
    channels = [
        channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in to_rgb(color)  # type: ignore[arg-type]
    ]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return "#FFFFFF" if luminance < 0.2 else "#000000"


def is_isolated(value: object) -> bool:
    """Whether a group is no cluster: -1, the isolated observations, or -2, those of small ones."""
    return not isinstance(value, (str, bool)) and value in (-1, -2)


def _blend(color: str, toward: str, amount: float) -> str:
    mixed = (
        round(255 * ((1 - amount) * a + amount * b))
        for a, b in zip(to_rgb(color), to_rgb(toward), strict=True)
    )
    return "#{:02X}{:02X}{:02X}".format(*mixed)
