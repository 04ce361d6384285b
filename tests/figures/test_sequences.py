"""The picture of a sequence model: what is drawn, and that it can be read."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.colors import to_rgb

from partwise.exceptions import UsageError
from partwise.figures import factor_colors, factor_plot, render, titled
from partwise.sequences import reconstruct
from sequence_figures import apart, axes_of, drawn, image, inside, is_white, panel, planted, texts


@pytest.mark.parametrize(("rate", "end", "label"), [(None, 200, "Frame"), (50.0, 4.0, "Time (s)")])
def test_panels(rate, end, label):
    W, H, X = planted()
    figure = factor_plot(W, H, X, rate=rate)
    assert [axes.get_label() for axes in figure.axes] == [
        "motifs", "strip", "center", "activations", "factors"
    ]  # fmt: skip
    center = panel(figure, "center")
    assert center.get_title(loc="left") == "Data"
    assert center.get_xlabel() == label
    assert center.get_xlim() == panel(figure, "activations").get_xlim() == (0, end)
    np.testing.assert_array_equal(is_white(image(center)), X == 0)
    assert texts(panel(figure, "factors")) == ["1", "2", "3"]
    assert len(panel(figure, "motifs").images) == 3


def test_tiles_are_the_motifs_in_the_order_of_the_units():
    W, H, X = planted()
    order = np.random.default_rng(1).permutation(12)
    figure = factor_plot(W, H, X, order=order)
    for k, tile in enumerate(panel(figure, "motifs").images):
        np.testing.assert_array_equal(is_white(np.asarray(tile.get_array())), W[order, k] == 0)
    np.testing.assert_array_equal(is_white(image(panel(figure, "center"))), X[order] == 0)
    assert panel(figure, "motifs").get_ylabel() == "Units, sorted"
    strip = image(panel(figure, "strip"))[:, 0]
    colors = [to_rgb(color) for color in factor_colors(3)]
    for unit, dot in zip(order, strip, strict=True):
        np.testing.assert_allclose(dot, colors[unit * 3 // 12], atol=1e-9)


def test_a_part_of_the_units():
    W, H, X = planted()
    figure = factor_plot(W, H, X, order=[7, 2])
    np.testing.assert_array_equal(is_white(image(panel(figure, "center"))), X[[7, 2]] == 0)


def test_window():
    W, H, X = planted()
    figure = factor_plot(W, H, X, rate=10.0, window=(50, 120))
    center = panel(figure, "center")
    assert center.get_xlim() == (5.0, 12.0)
    assert tuple(center.images[0].get_extent()) == (5.0, 12.0, 12, 0)
    np.testing.assert_array_equal(is_white(image(center)), X[:, 50:120] == 0)
    row = panel(figure, "activations").collections[0]
    x = row.get_paths()[0].vertices[:, 0]
    assert 5.0 <= x.min() <= x.max() <= 12.0


def test_reconstruction_is_coloured_by_factor():
    W, H, X = planted()
    figure = factor_plot(W, H, window=(3, None))
    center = panel(figure, "center")
    assert center.get_title(loc="left") == "Reconstruction"
    dots = image(center)
    np.testing.assert_array_equal(is_white(dots), X[:, 3:] == 0)
    ink = 1 - dots[8:][~is_white(dots[8:])]  # units of the last factor
    expected = 1 - np.array(to_rgb(factor_colors(3)[2]))
    np.testing.assert_allclose(
        ink / ink.max(axis=1, keepdims=True), [expected / expected.max()] * len(ink), atol=1e-9
    )


def test_only_the_window_is_reconstructed():
    W, H, X = planted()
    H[:, :40] = np.nan  # would spread if it were touched
    dots = image(panel(factor_plot(W, H, window=(60, 100)), "center"))
    np.testing.assert_array_equal(is_white(dots), X[:, 60:100] == 0)


def test_significance_empty_factors_and_loadings():
    W, H, X = planted(k=4)
    W[:, 3] = 0
    figure = factor_plot(
        W, H, X, significant=[True, False, True, False], loadings=[0.3, 0.15, 2e-4, 0]
    )
    rows = panel(figure, "factors")
    assert texts(rows)[:3] == ["1  ★", "2  n.s.", "3  ★"]
    assert texts(rows)[3:] == ["30 %", "15 %", "< 0.1 %", "Loading"]
    widths = [bar.get_width() for bar in rows.patches]
    np.testing.assert_allclose(np.array(widths) / widths[0], [1, 0.5, 2e-4 / 0.3])
    motifs = panel(figure, "motifs")
    assert len(motifs.images) == 3
    assert texts(motifs) == ["1", "2", "3"]
    assert texts(panel(figure, "activations")) == ["1 empty factor: 4"]
    strong, pale = (
        np.asarray(motifs.images[k].get_array()).reshape(-1, 3).sum(axis=1).min() for k in (0, 1)
    )
    full = sum(to_rgb(factor_colors(2)[1]))
    assert strong == pytest.approx(sum(to_rgb(factor_colors(1)[0])))
    assert pale > full + 0.3
    assert len(panel(figure, "activations").collections) == 3


def test_empty_factors_are_a_line():
    W, H, X = planted(k=12, n=24)
    for k in (1, 4):
        W[:, k] = 0
    H[7:10] = 0
    figure = factor_plot(W, H, X, loadings=np.linspace(0.3, 0.1, 12), significant=[True] * 12)
    note = "5 empty factors: 2, 5, 8-10"
    assert texts(panel(figure, "activations")) == [note]
    kept = [0, 2, 3, 5, 6, 10, 11]
    assert texts(panel(figure, "motifs")) == [str(k + 1) for k in kept]
    shades = [row.get_facecolor()[0, :3] for row in panel(figure, "activations").collections]
    np.testing.assert_allclose(shades, [to_rgb(factor_colors(12)[k]) for k in kept])
    bars = [bar.get_width() for bar in panel(figure, "factors").patches]
    np.testing.assert_allclose(np.array(bars) / bars[0], np.linspace(0.3, 0.1, 12)[kept] / 0.3)
    # what is left has the room of as many factors
    without = factor_plot(W[:, kept], H[kept], X, loadings=np.linspace(0.3, 0.1, 12)[kept])
    tiles = [panel(one, "motifs").images[0].get_extent() for one in (figure, without)]
    assert tiles[0] == tiles[1]
    drawn(figure)
    for text in panel(figure, "activations").texts:
        inside(figure, text)
    side = factor_plot(W, H, X, rate=30.0, side={"Song": (X[:5], 30.0)})
    drawn(side)
    box = panel(side, "activations").texts[0].get_window_extent()
    assert box.y0 >= panel(side, "side").get_window_extent().y1 - 1
    named = factor_plot(W, H, X, names=[f"call {k}" for k in range(12)])
    found = texts(panel(named, "activations"))[0]
    assert found == "5 empty factors: call 1, call 4, call 7, call 8, call 9"


def test_motifs_end_where_an_epoch_does():
    W, H, _ = planted()
    epochs = [(0, 61), (61, 120), (130, 195)]
    inside_ = np.zeros(200, bool)
    for start, stop in epochs:
        inside_[start:stop] = True
    H[0, [58, 118, 190]] = 1.0
    H[:, ~inside_] = 0
    whole = factor_plot(W, H)
    figure = factor_plot(W, H, epochs=epochs)
    expected = reconstruct(W, H, epochs=epochs)
    np.testing.assert_array_equal(is_white(image(panel(figure, "center"))), expected == 0)
    assert not (is_white(image(panel(whole, "center"))) == (expected == 0)).all()
    for label in ("center", "activations"):
        axes = panel(figure, label)
        assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [61]
        spans = [(box.x0, box.x1) for box in (patch.get_bbox() for patch in axes.patches)]
        assert spans == [(120, 130), (195, 200)]
    legend = panel(figure, "activations").get_title(loc="right")
    assert legend == "dashed: an epoch ends, grey: in no epoch"
    apart_ = factor_plot(W, H, window=(62, 110), epochs=epochs)
    assert not panel(apart_, "center").patches
    assert not panel(apart_, "activations").get_title(loc="right")


def test_what_was_held_out_has_a_line():
    W, H, X = planted()
    for epochs in (None, [(0, 150), (150, 200)]):
        figure = factor_plot(W, H, X, epochs=epochs, held_out=150)
        for label in ("center", "activations"):
            (line,) = (a for a in panel(figure, label).lines if a.get_linestyle() != "-")
            assert line.get_xdata()[0] == 150
        legend = panel(figure, "activations").get_title(loc="right")
        assert legend == "dotted: held out from there"
    whole = factor_plot(W, H, X, held_out=200)
    assert not panel(whole, "activations").get_title(loc="right")


def test_many_epochs_are_counted_and_thin_gaps_are_lines():
    W, H, X = planted(t=6000)
    every = [(i, i + 50) for i in range(0, 6000, 50)]
    figure = factor_plot(W, H, X, epochs=every)
    assert not [a for a in panel(figure, "center").lines if a.get_linestyle() == "--"]
    assert panel(figure, "activations").get_title(loc="right").startswith("120 epochs")
    thin = factor_plot(W, H, X, epochs=[(0, 3000), (3001, 6000)])
    (line,) = (a for a in panel(thin, "center").lines if a.get_linestyle() == "--")
    assert line.get_xdata()[0] == 3000.5
    outside = factor_plot(W, H, X, epochs=[(0, 100)], window=(200, 300))
    assert len(panel(outside, "center").patches) == 1


def test_names():
    W, H, X = planted()
    short = factor_plot(W, H, X, names=["a", "b", "c"])
    assert texts(panel(short, "motifs")) == texts(panel(short, "factors")) == ["a", "b", "c"]
    long = factor_plot(W, H, X, names=["call", "syllable", "trill"])
    assert texts(panel(long, "motifs")) == ["1", "2", "3"]
    assert texts(panel(long, "factors")) == ["1  call", "2  syllable", "3  trill"]


def test_numbers_of_factors_give_their_colours():
    W, H, X = planted()
    H[1] = 0
    figure = factor_plot(W, H, X, names=[2, 5, 9], loadings=[0.2, 0.0, 0.1])
    assert texts(panel(figure, "motifs")) == ["2", "9"]
    assert texts(panel(figure, "activations")) == ["1 empty factor: 5"]
    shades = [row.get_facecolor()[0, :3] for row in panel(figure, "activations").collections]
    np.testing.assert_allclose(shades, [to_rgb(factor_colors(9)[k]) for k in (1, 8)])
    assert texts(panel(figure, "factors"))[2:] == ["20 %", "10 %", "Loading"]


def test_no_activation_in_the_window():
    W, H, X = planted()
    H[:, 100:] = 0
    figure = factor_plot(W, H, X, window=(150, 200))
    assert texts(panel(figure, "activations")) == ["no factor is active in this window"]


def test_side_channels_keep_their_clock():
    W, H, X = planted()
    song, speed = np.random.default_rng(0).random((9, 900)), np.arange(600.0)
    side = {"Song": (song, 200.0), "Speed": (speed, 100.0)}
    figure = factor_plot(W, H, X, rate=50.0, side=side, window=(50, 150))
    upper, lower = sorted(axes_of(figure, "side"), key=lambda axes: -axes.get_position().y0)
    assert panel(figure, "activations").get_position().y0 > upper.get_position().y1
    assert lower.get_position().y0 > panel(figure, "center").get_position().y1
    for axes in (upper, lower):
        np.testing.assert_allclose(axes.get_xlim(), (1.0, 3.0))
        box, under = axes.get_position(), panel(figure, "center").get_position()
        assert (box.x0, box.x1) == pytest.approx((under.x0, under.x1))
    assert tuple(upper.images[0].get_extent()) == (1.0, 3.0, 0, 9)
    assert image(upper).shape[:2] == (9, 400)
    line = lower.lines[0]
    np.testing.assert_allclose(line.get_xdata() * 100.0, line.get_ydata() + 0.5)
    assert texts(lower)[0].splitlines() == ["Speed", "100 to 299"]


def test_side_channel_is_upright_and_may_end_early():
    W, H, X = planted()
    song = np.zeros((4, 50))
    song[0] = 1.0  # the lowest channel is drawn lowest
    figure = factor_plot(W, H, X, side={"Song": (song, 1.0)})
    dots = image(panel(figure, "side"))
    assert dots.shape[:2] == (4, 50)
    assert dots[3, 0, :3].sum() > dots[0, 0, :3].sum() + 1
    late = factor_plot(W, H, X, side={"Song": (song, 1.0)}, window=(60, 90))
    assert "not recorded in this window" in texts(panel(late, "side"))


@pytest.mark.parametrize(
    ("k", "n", "t", "options"),
    [
        (1, 5, 60, {}),
        (3, 75, 300, {"names": True, "significant": True}),
        (10, 1000, 3000, {"significant": True}),
        (25, 75, 3000, {"names": True}),
        (40, 1000, 300, {"significant": True}),
    ],
)
def test_nothing_overlaps_or_leaves_the_figure(k, n, t, options):
    W, H, X = planted(k, n, t)
    chosen = {"loadings": np.linspace(0.2, 0.0, k), "rate": 30.0, "side": {"Song": (X[:5], 30.0)}}
    if "names" in options:
        chosen["names"] = [f"motif number {i}" for i in range(k)]
    if "significant" in options:
        chosen["significant"] = np.arange(k) % 2 == 0
    figure = factor_plot(W, H, sp.csr_matrix(X), order=np.arange(n), **chosen)
    drawn(figure)
    width, height = figure.get_size_inches()
    assert width == pytest.approx(7.2)
    assert height < 11
    apart([panel(figure, "motifs"), panel(figure, "factors"), *axes_of(figure, "side")])
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            inside(figure, axis.label)
            labels = [label for label in axis.get_ticklabels() if label.get_text()]
            for label in labels:
                inside(figure, label)
            for a, b in itertools.pairwise(label.get_window_extent() for label in labels):
                assert (
                    min(a.x1, b.x1) <= max(a.x0, b.x0) + 1 or min(a.y1, b.y1) <= max(a.y0, b.y0) + 1
                )
    boxes = [axes.get_position() for axes in figure.axes if axes.get_label() != "strip"]
    for a, b in itertools.combinations(boxes, 2):
        assert (
            min(a.x1, b.x1) <= max(a.x0, b.x0) + 1e-9 or min(a.y1, b.y1) <= max(a.y0, b.y0) + 1e-9
        )


def test_a_long_recording_is_binned():
    rng = np.random.default_rng(0)
    n, t, m = 1000, 200_000, 20_000
    X = sp.csr_matrix(
        (np.ones(m, np.float32), (rng.integers(0, n, m), rng.integers(0, t, m))), shape=(n, t)
    )
    W, H = np.ones((n, 2, 5), np.float32), np.zeros((2, t), np.float32)
    H[:, ::5000] = 1.0
    figure = factor_plot(W, H, X)
    dots = image(panel(figure, "center"))
    assert dots.shape[0] * dots.shape[1] < 1_000_000
    note = panel(figure, "center").get_title(loc="right")
    assert note.startswith("dot: largest of 1.7 units x ")
    again = image(panel(factor_plot(W, H), "center"))
    assert again.shape == dots.shape
    for row in panel(figure, "activations").collections:
        assert len(row.get_paths()[0].vertices) < 4000


def test_crowded_activations_are_means():
    W, H = np.ones((4, 2, 3)), np.zeros((2, 50_000))
    H[0, ::20] = 1.0
    H[1, :25_000:40] = 1.0
    axes = panel(factor_plot(W, H), "activations")
    assert axes.get_title(loc="right").startswith("dot: mean of ")
    first, second = (row.get_paths()[0].vertices for row in axes.collections)
    assert np.ptp(first[:, 1]) == pytest.approx(0.88)
    assert second[second[:, 1] < 1.9, 0].max() == pytest.approx(25_000, rel=0.01)
    H[:, 10:] = 0
    assert not panel(factor_plot(W, H), "activations").get_title(loc="right")


def test_no_factors_to_draw():
    empty = factor_plot(np.zeros((3, 2, 2)), np.zeros((2, 9)), np.ones((3, 9)))
    assert texts(panel(empty, "motifs")).count("empty") == 2
    for W, H in ((np.ones((3, 0, 2)), np.ones((0, 9))), (np.ones((3, 2, 2)), np.ones((2, 0)))):
        assert "no factors, units or frames" in factor_plot(W, H).texts[0].get_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": np.zeros((12, 100))}, "the data are 12 x 100"),
        ({"data": sp.csr_matrix((11, 200))}, "the data are 11 x 200"),
        ({"window": (20, 20)}, "is empty or outside"),
        ({"window": (None, 201)}, "is empty or outside"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"order": [0, 12]}, "from 0 to 11"),
        ({"names": ["a"]}, "names has 1 entries for 3"),
        ({"significant": [True]}, "significant has 1 entries for 3"),
        ({"names": [1, 1, 2]}, "different numbers from 1 up"),
        ({"names": [0, 1, 2]}, "different numbers from 1 up"),
        ({"loadings": [0.1]}, "loadings has 1 entries for 3"),
        ({"side": {"Song": (np.zeros((2, 3, 4)), 1.0)}}, "side channel 'Song'"),
        ({"side": {"Song": (np.zeros(4), 0.0)}}, "side channel 'Song'"),
        ({"epochs": [(0, 300)]}, "outside of the recording"),
        ({"motifs": np.ones((12, 2, 4))}, "they are 12 x 2 x 4 and 3 x 200"),
    ],
)
def test_what_cannot_be_drawn(options, message):
    W, H, X = planted()
    given = {"motifs": W, "activations": H, "data": X} | options
    with pytest.raises(UsageError, match=message):
        factor_plot(**given)


def test_colors_can_be_told_apart_and_seen_on_white():
    colors = np.array([to_rgb(color) for color in factor_colors(22)])
    apart_by = np.abs(colors[:, None] - colors[None]).sum(axis=2)[np.triu_indices(22, 1)]
    assert apart_by.min() > 0.24
    assert (colors @ (0.2126, 0.7152, 0.0722)).max() < 0.66
    assert factor_colors(23)[22] == factor_colors(1)[0]


def test_songbird(data_dir):
    """The published recording, with the motifs that the original found."""
    from scipy.io import loadmat

    recording = loadmat(data_dir / "MackeviciusData.mat")
    with np.load(data_dir / "seqnmf_octave_reference.npz") as found:
        W, H, stars = (found[f"significance/{key}"] for key in ("W", "H", "is_significant"))
    X, song = recording["NEURAL"][:, : H.shape[1]], recording["SONG"]
    figure = factor_plot(
        W, H, X, rate=30.0, side={"Song": (song, 200.0)}, significant=stars.astype(bool)
    )
    assert texts(panel(figure, "factors"))[:3] == ["1  ★", "2  ★", "3  n.s."]
    assert texts(panel(figure, "activations")) == ["4 empty factors: 7-10"]
    np.testing.assert_array_equal(is_white(image(panel(figure, "center"))), X == 0)
    assert panel(figure, "side").images[0].get_extent()[1] == pytest.approx(499 / 30, abs=1 / 200)


def test_title():
    figure = factor_plot(*planted(), side={"Song": (np.ones(200), 1.0)})
    before = [axes.get_window_extent().bounds for axes in figure.axes]
    assert titled(figure, "Bird 7, " + "day " * 40) is figure
    after = [axes.get_window_extent().bounds for axes in figure.axes]
    np.testing.assert_allclose(after, before, atol=1e-6)
    drawn(figure)
    top = max(text.get_window_extent().y1 for axes in figure.axes for text in all_texts(axes))
    (title,) = (text for text in figure.texts if text.get_text())
    assert title.get_window_extent().y0 >= top
    inside(figure, title)


def all_texts(axes):
    return [*axes.texts, axes._left_title, axes._right_title]


def test_same_bytes():
    W, H, X = planted()
    one, two = (
        render(factor_plot(W, H, X, rate=30.0, loadings=[0.3, 0.2, 0.1]), "svg") for _ in range(2)
    )
    assert one == two
