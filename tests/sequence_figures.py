"""A planted model, and what tests of its figures look at."""

import itertools

import numpy as np

from partwise.figures import render

WHITE = (1.0, 1.0, 1.0)


def planted(k=3, n=12, t=200, n_lags=8, seed=0):
    """Return motifs in which units fire one after another, activations, and their data."""
    rng = np.random.default_rng(seed)
    motifs = np.zeros((n, k, n_lags))
    for unit in range(n):
        own = unit * k // n if n >= k else unit
        motifs[unit, own, (unit * 3) % n_lags] = 1.0
    activations = np.zeros((k, t))
    for row in activations:
        row[rng.integers(0, t - n_lags, 4)] = rng.uniform(0.5, 1.0, 4)
    return motifs, activations, reconstructed(motifs, activations)


def reconstructed(motifs, activations):
    out = np.zeros((motifs.shape[0], activations.shape[1]))
    for lag in range(motifs.shape[2]):
        stop = activations.shape[1] - lag
        out[:, lag:] += motifs[:, :, lag] @ activations[:, :stop]
    return out


def axes_of(figure, label):
    return [axes for axes in figure.axes if axes.get_label() == label]


def panel(figure, label):
    (axes,) = axes_of(figure, label)
    return axes


def image(axes):
    return np.asarray(axes.images[0].get_array())


def texts(axes):
    return [text.get_text() for text in axes.texts]


def is_white(dots):
    return (dots > 1 - 1e-9).all(axis=-1)


class Recorded:
    """A recording in pieces that remembers what was read."""

    def __init__(self, data):
        self.data, self.shape, self.read = data, data.shape, []

    def frames(self, start, stop):
        self.read.append((start, stop))
        return self.data[:, start:stop]


def drawn(figure):
    """Lay out the figure as for a report, at fewer dots."""
    figure.set_dpi(80)
    render(figure, "png", dpi=80)


def inside(figure, text):
    if not text.get_text():
        return
    box = text.get_window_extent()
    assert box.x0 >= -1, text.get_text()
    assert box.y0 >= -1, text.get_text()
    assert box.x1 <= figure.bbox.x1 + 1, text.get_text()
    assert box.y1 <= figure.bbox.y1 + 1, text.get_text()


def apart(panels):
    """Assert that the texts of each of the axes lie in the figure, and that none covers another."""
    for axes in panels:
        for text in axes.texts:
            inside(axes.figure, text)
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text() != "empty"]
        for a, b in itertools.combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            assert min(across, min(a.y1, b.y1) - max(a.y0, b.y0)) < 2
