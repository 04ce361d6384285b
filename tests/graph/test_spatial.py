"""Neighbourhood tables: every mode beside a plain reference that looks at all pairs."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.graph import expected_neighbors, neighborhood_table, typical_radius

N_TYPES = 4


def distances(points):
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def empty_circle_edges(points):
    """Delaunay edges by definition: simplices whose circumscribed ball holds no point."""
    n, d = points.shape
    linked = np.zeros((n, n), bool)
    for corners in itertools.combinations(range(n), d + 1):
        p = points[list(corners)]
        left = 2 * (p[1:] - p[0])
        if abs(np.linalg.det(left)) < 1e-9:
            continue
        center = np.linalg.solve(left, (p[1:] ** 2).sum(axis=1) - (p[0] ** 2).sum())
        radius = np.sqrt(((p[0] - center) ** 2).sum())
        others = np.delete(np.arange(n), list(corners))
        if (np.sqrt(((points[others] - center) ** 2).sum(axis=1)) >= radius).all():
            for i, j in itertools.permutations(corners, 2):
                linked[i, j] = True
    return linked


def touching(points):
    """Who touches whom: edges between the places, and cells that share a place."""
    places, at = np.unique(points, axis=0, return_inverse=True)
    at = at.ravel()
    edges = empty_circle_edges(places)
    return edges[np.ix_(at, at)] | (at[:, None] == at[None])


def adjacency(points, mode, radius, n_neighbors, n_hops):
    d, n = distances(points), len(points)
    near = d <= (math.inf if radius is None else radius)
    if mode == "radius":
        found = near
    elif mode == "knn":
        found = np.zeros((n, n), bool)
        for i in range(n):
            order = sorted((d[i, j], j) for j in range(n) if j != i)
            found[i, [j for _, j in order[:n_neighbors]]] = True
        found &= near
    else:
        step = touching(points) & near
        found = step
        for _ in range(n_hops - 1):
            found = (found.astype(int) @ (step | np.eye(n, dtype=bool)).astype(int)) > 0
    found = found.copy()
    np.fill_diagonal(found, False)
    return found


def weights(d, kernel, bandwidth):
    if kernel is None:
        return np.ones_like(d)
    return {
        "gaussian": np.exp(-(d**2) / (2 * bandwidth**2)),
        "exponential": np.exp(-d / bandwidth),
        "linear": np.maximum(0, 1 - d / bandwidth),
    }[kernel]


def reference(
    points, types, fov, *, mode="radius", radius=None, n_neighbors=20, n_hops=2,
    kernel=None, bandwidth=None, include_self=False,
):  # fmt: skip
    counts, totals = np.zeros((len(points), N_TYPES)), np.zeros(len(points), int)
    for name in set(fov):
        rows = np.flatnonzero(np.array(fov) == name)
        found = adjacency(points[rows], mode, radius, n_neighbors, 1 if mode != "hops" else n_hops)
        if include_self:
            np.fill_diagonal(found, True)
        w = weights(distances(points[rows]), kernel, bandwidth) * found
        for t in range(N_TYPES):
            counts[rows, t] = w[:, types[rows] == t].sum(axis=1)
        totals[rows] = found.sum(axis=1)
    return counts, totals


def cells(n_axes, *, lattice=False, n=34):
    """Three fields of view and a lone cell; some cells share their coordinates."""
    rng = np.random.default_rng(n_axes)
    points = rng.uniform(0, 10, (n, n_axes))
    if lattice:  # ties everywhere; decimals that are not exact
        points = np.round(rng.integers(0, 5, (n, n_axes)) * 0.1, 1)
    points[5], points[20], points[21] = points[4], points[19], points[19]
    fov = np.array(["a", "", "c", "lone"])[np.minimum(np.arange(n) * 3 // (n - 1), 3)]
    order = rng.permutation(n)  # rows of a field of view need not stand together
    return points[order], rng.integers(0, N_TYPES, n)[order], fov[order]


MODES = [
    {"mode": "radius", "radius": 3.0},
    {"mode": "radius", "radius": 100.0},
    {"mode": "knn", "n_neighbors": 5},
    {"mode": "knn", "n_neighbors": 100},
    {"mode": "knn", "n_neighbors": 5, "radius": 2.5},
    {"mode": "delaunay"},
    {"mode": "delaunay", "radius": 3.0},
    {"mode": "hops", "n_hops": 2},
    {"mode": "hops", "n_hops": 3, "radius": 4.0},
]
KERNELS = [None, ("gaussian", 1.5), ("exponential", 2.0), ("linear", 2.5)]


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k[0] if k else "none")
@pytest.mark.parametrize("how", MODES, ids=lambda how: "-".join(map(str, how.values())))
def test_equal_to_looking_at_all_pairs(how, kernel, include_self):
    points, types, fov = cells(2)
    how = {**how, "include_self": include_self}
    if kernel:
        how |= {"kernel": kernel[0], "bandwidth": kernel[1]}
    expected, totals = reference(points, types, fov, **how)
    found = neighborhood_table(
        points, pd.Categorical.from_codes(types, list("ABCD")), fov=fov, **how
    )
    np.testing.assert_array_equal(found.n_neighbors, totals)
    if kernel:
        np.testing.assert_allclose(found.counts, expected, rtol=1e-5, atol=1e-7)
    else:
        np.testing.assert_array_equal(found.counts, expected)


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "radius", "radius": 4.0},
        {"mode": "knn", "n_neighbors": 4},
        {"mode": "delaunay"},
        {"mode": "hops", "n_hops": 2},
    ],
    ids=lambda how: how["mode"],
)
def test_equal_to_looking_at_all_pairs_in_space(how):
    points, types, fov = cells(3, n=28)
    expected, totals = reference(points, types, fov, **how)
    found = neighborhood_table(
        points, pd.Categorical.from_codes(types, list("ABCD")), fov=fov, **how
    )
    np.testing.assert_array_equal(found.counts, expected)
    np.testing.assert_array_equal(found.n_neighbors, totals)


@pytest.mark.parametrize("n_axes", [2, 3])
@pytest.mark.parametrize("radius", [0.1, 0.2, 0.3])
def test_ties_at_exactly_the_radius_count_whatever_the_rounding(radius, n_axes):
    points, types, fov = cells(n_axes, lattice=True, n=60)
    whole = np.round(points * 10)  # exact
    expected, totals = reference(whole, types, fov, radius=round(radius * 10))
    found = neighborhood_table(
        points, pd.Categorical.from_codes(types, list("ABCD")), fov=fov, radius=radius
    )
    np.testing.assert_array_equal(found.counts, expected)
    np.testing.assert_array_equal(found.n_neighbors, totals)
    assert totals.max() > 2


def test_nearest_of_a_lattice_are_the_first_in_the_table():
    points, types, fov = cells(2, lattice=True, n=60)
    points = np.round(points * 10)
    expected, _ = reference(points, types, fov, mode="knn", n_neighbors=6)
    found = neighborhood_table(
        points, pd.Categorical.from_codes(types, list("ABCD")), fov=fov, mode="knn", n_neighbors=6
    )
    np.testing.assert_array_equal(found.counts, expected)


@pytest.mark.parametrize("mode", ["delaunay", "hops"])
def test_triangulation_of_a_lattice_links_what_is_next_to_each_other(mode):
    side = np.arange(6.0)
    points = np.array(list(itertools.product(side, side)))
    found = neighborhood_table(
        points, np.zeros(36, int), mode=mode, **({} if mode == "delaunay" else {"n_hops": 1})
    )
    inner = np.all((points > 0) & (points < 5), axis=1)
    assert found.n_neighbors[inner].min() >= 4  # the straight ones, and diagonals one way
    assert found.n_neighbors[inner].max() <= 8
    straight = neighborhood_table(points, np.zeros(36, int), mode="delaunay", radius=1.0)
    np.testing.assert_array_equal(straight.n_neighbors[inner], 4)


FLAT = {
    "one cell": ([[1, 2]], [0]),
    "two cells": ([[1, 2], [3, 4]], [1, 1]),
    "two cells on one point": ([[1, 2], [1, 2]], [1, 1]),
    "five cells on one point": ([[0, 0]] * 5, [4] * 5),
    "on a line": ([[2, 2], [0, 0], [1, 1], [3, 3]], [2, 1, 2, 1]),
    "on a line, two on one point": ([[0, 0], [1, 1], [1, 1], [5, 5]], [2, 3, 3, 2]),
    "on a slanted line": ([[0.1 * i, 0.3 * i + 7] for i in range(9)], [1, 2, 2, 2, 2, 2, 2, 2, 1]),
    "along an axis": ([[5, i] for i in range(4)], [1, 2, 2, 1]),
    "a square in space": ([[0, 0, 1], [0, 3, 1], [2, 0, 1], [2.5, 3, 1]], None),
    "on a line in space": ([[i, 2 * i, 3 * i] for i in range(4)], [1, 2, 2, 1]),
}


@pytest.mark.parametrize("name", FLAT)
def test_triangulation_of_points_that_are_flat(name):
    points, expected = FLAT[name]
    found = neighborhood_table(np.array(points, float), ["A"] * len(points), mode="delaunay")
    if expected is None:  # a quadrangle and one diagonal
        assert sorted(found.n_neighbors) == [2, 2, 3, 3]
    else:
        np.testing.assert_array_equal(found.n_neighbors, expected)


@pytest.mark.parametrize("how", [{"mode": "radius", "radius": 1e-3}, {"mode": "delaunay"}])
def test_thousands_of_cells_on_one_point_cost_no_more_than_their_number(how):
    points = np.zeros((60_000, 2))
    points[:3] = [[1, 0], [0, 1], [5, 5]]
    found = neighborhood_table(points, np.arange(60_000) % 3, **how)
    assert found.n_neighbors[-1] >= 59_996
    assert found.counts[-1].sum() == found.n_neighbors[-1]


def test_far_from_the_origin_and_close_together():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 64, (60, 2)) / 4.0
    near = neighborhood_table(points, np.zeros(60, int), radius=4.0)
    far = neighborhood_table(points + 2.0**30, np.zeros(60, int), radius=4.0)
    np.testing.assert_array_equal(near.n_neighbors, far.n_neighbors)
    small = neighborhood_table(points * 2.0**-20, np.zeros(60, int), radius=4.0 * 2.0**-20)
    np.testing.assert_array_equal(near.n_neighbors, small.n_neighbors)


def test_an_outlier_a_billion_radii_away():
    points = np.vstack([np.random.default_rng(0).uniform(0, 10, (50, 2)), [[1e10, -1e10]]])
    found = neighborhood_table(points, np.zeros(51, int), radius=3.0)
    expected, _ = reference(points, np.zeros(51, int), [""] * 51, radius=3.0)
    np.testing.assert_array_equal(found.n_neighbors, expected[:, 0])


@pytest.mark.parametrize(
    "how",
    [
        {"radius": 5.0, "kernel": "gaussian"},
        {"mode": "knn", "n_neighbors": 12, "kernel": "exponential", "bandwidth": 3.0},
        {"mode": "hops", "n_hops": 2, "kernel": "linear", "radius": 9.0},
    ],
)
def test_bits_do_not_depend_on_threads_or_on_who_else_is_there(how, monkeypatch):
    monkeypatch.setattr("partwise.graph._spatial._PLACES_PER_TASK", 64)
    monkeypatch.setattr("partwise.graph.spatial._LARGE", 500)
    rng = np.random.default_rng(1)
    fov = np.repeat([0, 1, 2, 3], [700, 20, 400, 900])
    points, types = rng.uniform(0, 100, (2020, 2)), rng.integers(0, 5, 2020)
    one, three = (neighborhood_table(points, types, fov=fov, n_threads=t, **how) for t in (1, 3))
    assert one.counts.tobytes() == three.counts.tobytes()
    assert one.n_neighbors.tobytes() == three.n_neighbors.tobytes()
    alone = neighborhood_table(points[fov == 3], types[fov == 3], **how)
    assert alone.counts.tobytes() == one.counts[fov == 3].tobytes()


def test_frequencies_sum_to_one_or_to_zero():
    points, types, fov = cells(2)
    found = neighborhood_table(points, types, fov=fov, radius=1.0)
    total = found.frequencies.sum(axis=1)
    alone = found.n_neighbors == 0
    assert alone.any()
    assert not alone.all()
    np.testing.assert_allclose(total[~alone], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(total[alone], 0.0)
    assert list(found.to_frame(frequencies=False).columns) == list(found.types)


@pytest.mark.parametrize(
    ("types", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, 10], ("9", "10")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["T 10", "T 9", "S"], ("S", "T 9", "T 10")),
        (["CD8", "CD4", "CD"], ("CD", "CD4", "CD8")),
        (pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]), ("z", "b", "a")),
        (pd.Series(["b", "a", "b"], index=[7, 3, 1]), ("a", "b")),
    ],
)
def test_names_and_order_of_types(types, names):
    found = neighborhood_table([[0, 0], [0, 1], [0, 2]], types, radius=1.0)
    assert found.types == names
    assert found.counts.shape == (3, len(names))
    first, _, third = map(str, types)
    assert found.counts[1, names.index(first)] == 1.0 + (third == first)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"coordinates": [[0, 0], [math.nan, 1]]}, DataError, "row 2: the first coordinate is nan"),
        (
            {"coordinates": [[0, 0], [1, math.inf]]},
            DataError,
            "row 2: the second coordinate is inf",
        ),
        ({"coordinates": [["x", 0], [1, 2]]}, DataError, "must be numbers"),
        ({"coordinates": [0, 1]}, UsageError, "n x 2 or n x 3"),
        ({"coordinates": np.empty((0, 2)), "types": []}, DataError, "there are no cells"),
        ({"types": ["a", None]}, DataError, "row 2: the type is missing; name it"),
        ({"types": ["a"]}, UsageError, "types has 1 entries, but there are 2 cells"),
        ({"types": [1, "1"]}, DataError, "same name"),
        ({"fov": [None, None]}, DataError, "row 1: the field of view is missing .2 such cells"),
        ({"fov": ["a"]}, UsageError, "fov has 1 entries"),
        ({"mode": "other"}, UsageError, "radius, knn, delaunay, hops"),
        ({"radius": None}, UsageError, "needs a radius"),
        ({"radius": 0}, UsageError, "above 0"),
        ({"radius": math.inf}, UsageError, "finite"),
        ({"kernel": "box"}, UsageError, "gaussian, exponential, linear"),
        ({"bandwidth": 2.0}, UsageError, "without a kernel"),
        ({"n_neighbors": 3}, UsageError, "belongs to mode 'knn'"),
        ({"n_hops": 3}, UsageError, "belongs to mode 'hops'"),
        ({"mode": "knn", "n_neighbors": 0}, UsageError, "from 1 up"),
        ({"mode": "knn", "radius": None, "kernel": "linear"}, UsageError, "needs a bandwidth"),
    ],
)
def test_refusals_say_what_is_wrong(change, error, text):
    arguments = {"coordinates": [[0, 0], [0, 1]], "types": ["a", "b"], "radius": 1.0} | change
    with pytest.raises(error, match=text):
        neighborhood_table(arguments.pop("coordinates"), arguments.pop("types"), **arguments)


def test_default_bandwidths_follow_the_radius():
    points, types, _ = cells(2)
    for kernel, bandwidth in (("gaussian", 2.0), ("exponential", 2.0), ("linear", 4.0)):
        found = neighborhood_table(points, types, radius=4.0, kernel=kernel)
        same = neighborhood_table(points, types, radius=4.0, kernel=kernel, bandwidth=bandwidth)
        assert found.counts.tobytes() == same.counts.tobytes()


def test_typical_radius_is_the_median_distance_to_the_kth_neighbour():
    points, _, fov = cells(2)
    fov[fov == "lone"] = "a"
    expected = []
    for name in set(fov):
        d = np.sort(distances(points[fov == name]), axis=1)
        expected.extend(d[:, 4])
    assert typical_radius(points, fov=fov, n_neighbors=4) == pytest.approx(np.median(expected))
    assert typical_radius(points[:1], n_neighbors=4) == 0.0
    few = typical_radius(points[:3], n_neighbors=20)
    assert few == pytest.approx(np.median(distances(points[:3]).max(axis=1)))


def test_expected_neighbors_are_those_counted():
    points, types, fov = cells(2)
    found = neighborhood_table(points, types, fov=fov, radius=3.0)
    assert expected_neighbors(points, 3.0, fov=fov) == pytest.approx(found.n_neighbors.mean())


def test_a_sample_looks_at_every_part_of_many_small_fields():
    rng = np.random.default_rng(3)
    fov = np.arange(30_000) // 3  # three cells each; fewer are looked at than there are fields
    points = rng.uniform(0, 1, (30_000, 2)) * np.where(fov < 5000, 1.0, 100.0)[:, None]
    assert 1.0 < typical_radius(points, fov=fov, n_neighbors=1) < 30.0
