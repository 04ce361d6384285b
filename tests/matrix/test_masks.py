"""Masks and what a pass makes of them, against NumPy in float64."""

import numpy as np
import pytest
import scipy.sparse as sp

import masked_reference as masked
import reference
from partwise import Speckle
from partwise.exceptions import UsageError
from partwise.matrix import matrix as matrix_module
from partwise.matrix.held import HeldPanel
from partwise.matrix.masks import Hidden, none_of, without_hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.matrix.thin import thin_rows

KINDS = ("narrow", "wide", "sparse")
DTYPES = (np.float32, np.float64)


def picture(indptr, columns, shape):
    """Return a bool array with the listed entries set."""
    out = np.zeros(shape, bool)
    out[np.repeat(np.arange(shape[0]), np.diff(indptr)), columns] = True
    return out


def speckled(shape, *args, start=0, **kwargs):
    return picture(*Speckle(*args, **kwargs).rows(start, start + shape[0], shape[1]), shape)


#: columns of rows 10, 11, 12 of 60 columns, for Speckle(0.1, seed=1, fold=2)
KNOWN = [
    [26, 33, 50],
    [16, 24, 25, 41, 46, 53, 57, 59],
    [5, 14, 15, 17, 21, 22, 30, 40, 53, 59],
]


def number_of(seed, row, column):
    """Return the hash of an entry, in Python's whole numbers."""

    def mix(x):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ x >> shift) * factor % 2**64
        return x ^ x >> 31

    step = 0x9E3779B97F4A7C15
    key = mix((mix((seed + step) % 2**64) + row * step) % 2**64)
    x = (column * 0x9E3779B1 + key) % 2**32
    x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
    x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
    x = x ^ x >> 16 ^ key >> 32
    x = (x ^ x >> 15) * 0x2C1B3C6D % 2**32
    x = (x ^ x >> 12) * 0x297A2D39 % 2**32
    return x ^ x >> 15


class TestSpeckle:
    @pytest.mark.parametrize(("seed", "start"), [(0, 0), (2**62 + 1, 3), (5, 2**40)])
    def test_hash_as_described(self, seed, start):
        width = int(0.3 * 2**32)
        hidden = speckled((3, 400), 0.3, seed, 1, start=start)
        numbers = [[number_of(seed, start + i, j) for j in range(400)] for i in range(3)]
        np.testing.assert_array_equal(hidden, np.array(numbers) // width == 1)

    def test_known_values(self):
        """The hash is part of the interface: a seed names the same entries for ever."""
        indptr, columns = Speckle(0.1, seed=1, fold=2).rows(10, 13, 60)
        assert (indptr.dtype, columns.dtype) == (np.int64, np.int32)
        assert [c.tolist() for c in np.split(columns, indptr[1:-1])] == KNOWN

    @pytest.mark.parametrize("fraction", [0.01, 0.05, 0.2, 0.5, 0.9])
    def test_fraction(self, fraction):
        hidden = speckled((700, 500), fraction, seed=3)
        size = hidden.size
        deviation = np.sqrt(size * fraction * (1 - fraction))
        assert abs(hidden.sum() - size * fraction) < 5 * deviation
        for axis, length in ((0, 700), (1, 500)):
            share = hidden.mean(axis=axis)
            # the largest of some hundred binomial shares
            assert np.abs(share - fraction).max() < 5 * np.sqrt(fraction * (1 - fraction) / length)

    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 1 / 3])
    def test_folds_are_disjoint_and_cover_what_they_can(self, fraction):
        folds = Speckle(fraction).n_folds
        assert folds == {0.1: 10, 0.25: 4, 0.3: 3}.get(fraction, 3)
        count = sum(speckled((200, 300), fraction, 7, fold).astype(int) for fold in range(folds))
        assert count.max() == 1
        assert count.mean() == pytest.approx(folds * fraction, abs=0.01)

    def test_neighbours_are_independent(self):
        hidden = speckled((1000, 1000), 0.5, seed=5).astype(float) - 0.5
        for one, two in (
            (hidden[1:], hidden[:-1]),
            (hidden[:, 1:], hidden[:, :-1]),
            (hidden[1:, 1:], hidden[:-1, :-1]),
            (hidden, speckled((1000, 1000), 0.5, seed=6) - 0.5),
        ):
            assert abs(4 * np.mean(one * two)) < 5 / 1000

    def test_rows_depend_on_their_number_alone(self):
        whole = Speckle(0.2, seed=9)
        indptr, columns = whole.rows(0, 900, 4000)
        for start, stop in ((0, 1), (37, 41), (500, 900)):
            part = whole.rows(start, stop, 4000)
            np.testing.assert_array_equal(part[1], columns[indptr[start] : indptr[stop]])
        two = whole.rows(0, 900, 4000, n_threads=2)
        np.testing.assert_array_equal(two[0], indptr)
        np.testing.assert_array_equal(two[1], columns)

    def test_columns_depend_on_their_number_alone(self):
        np.testing.assert_array_equal(
            speckled((50, 1000), 0.3, 2)[:, :257], speckled((50, 257), 0.3, 2)
        )

    def test_rows_far_down(self):
        indptr, columns = Speckle(0.5).rows(2**40, 2**40 + 2, 100)
        assert 60 < columns.size < 140
        assert indptr.tolist() == [0, indptr[1], columns.size]

    def test_other_seeds_and_folds_are_other_masks(self):
        masks = [speckled((60, 60), 0.2, seed, fold) for seed in (0, 1, 2**62) for fold in (0, 1)]
        for i, one in enumerate(masks):
            for two in masks[:i]:
                assert (one != two).any()

    def test_is_a_value(self):
        assert Speckle(0.1, 2, 3) == Speckle(0.1, seed=2, fold=3)
        assert len({Speckle(0.1), Speckle(0.1), Speckle(0.2)}) == 2
        with pytest.raises(AttributeError):
            Speckle(0.1).seed = 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0.0,), r"^fraction must be a number above 0 and below 1, not 0\.0$"),
            ((1,), "^fraction must be a number above 0 and below 1, not 1$"),
            ((float("nan"),), "^fraction must be"),
            (("0.1",), "^fraction must be"),
            ((0.1, -1), "^seed must be a whole number from 0 up, not -1$"),
            ((0.1, 1.0), "^seed must be a whole number"),
            ((0.1, 2**63), r"^seed must be below 2\*\*63"),
            ((0.1, 0, 10), r"^fold must be from 0 to 9 for the fraction 0\.1, not 10$"),
            ((0.6, 0, 1), "^fold must be from 0 to 0 for"),
            ((0.1, 0, True), "^fold must be a whole number"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(UsageError, match=message):
            Speckle(*arguments)


class TestHidden:
    """Whatever hides entries, and whatever rows are asked for, the list is that of a picture."""

    shape = (500, 70)
    rng = np.random.default_rng(0)
    dense = rng.random(shape) < 0.1
    sparse = sp.csr_matrix(rng.random(shape) < 0.05)
    weights = rng.choice([0.0, 1.0, 2.0, 4.0], shape)

    def deficits(self, hidden, block, start):
        found = hidden.of(block, start)
        if found is None:
            return np.zeros(block.shape)
        assert (np.diff(found.columns[: found.indptr[1]]) > 0).all()
        out = np.zeros(block.shape)
        rows = np.repeat(np.arange(block.shape[0]), np.diff(found.indptr))
        out[rows, found.columns] = 1.0 if found.values is None else found.values
        return out

    @pytest.mark.parametrize("missing", [False, True])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("kind", ["dense", "sparse"])
    @pytest.mark.parametrize(
        "names", [(), ("dense",), ("sparse",), ("speckle",), ("dense", "speckle", "sparse")]
    )
    def test_any_mixture(self, names, kind, weighted, missing, monkeypatch):
        speckle = Speckle(0.2, seed=4)
        masks = {"dense": self.dense, "sparse": self.sparse, "speckle": speckle}
        X = np.random.default_rng(1).random(self.shape)
        expected = np.zeros(self.shape, bool)
        if missing:
            expected[np.random.default_rng(2).random(self.shape) < 0.1] = True
            X[expected] = np.nan
        for name in names:
            expected |= {
                "dense": self.dense,
                "sparse": self.sparse.toarray(),
                "speckle": speckled(self.shape, 0.2, seed=4),
            }[name]
        expected = expected.astype(float)
        if weighted:
            expected = np.maximum(expected, 1 - self.weights / 4)
        X = sp.csr_matrix(X) if kind == "sparse" else X
        hidden = Hidden([masks[name] for name in names], self.weights if weighted else None)
        for cells in (2**21, 1000):  # together, and a few rows at a time
            monkeypatch.setattr("partwise.matrix.masks._CELLS", cells)
            for start, stop in ((0, 500), (3, 4), (100, 300)):
                found = self.deficits(hidden, X[start:stop], start)
                np.testing.assert_array_equal(found, expected[start:stop])
            later = hidden.shifted(100)
            found = self.deficits(later, X[100:300], 0)
            np.testing.assert_array_equal(found, expected[100:300])

    def test_nothing_hidden_is_nothing(self):
        X = np.ones((4, 3))
        assert Hidden().of(X, 0) is None
        assert Hidden([np.zeros((4, 3), bool)], np.full((4, 3), 7.0)).of(X, 0) is None

    def test_weights_that_round_to_zero_hide(self):
        X = np.array([[1.0, 2.0]], np.float32)
        found = Hidden(weights=np.array([[1.0, 1e-9]])).of(X, 0)
        assert found.values.tolist() == [1.0]
        seen, excess = without_hidden(X, found)
        assert seen.tolist() == [[1.0, 0.0]]
        assert excess == 0

    @pytest.mark.parametrize("kind", ["dense", "sparse"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -3.0, 0.0])
    def test_without_hidden(self, kind, value):
        X, omega, mask = masked.example("sparse" if kind == "sparse" else "wide", weights=True)
        X = masked.with_values(X, mask, value)
        found = Hidden([mask], omega).of(X, 0)
        seen, excess = without_hidden(X, found)
        x = np.where(omega > 0, masked.filled(X), 0)
        np.testing.assert_allclose(reference.dense(seen), omega * x, rtol=1e-15)
        assert excess == pytest.approx(np.sum(omega * x**2 - (omega * x) ** 2), rel=1e-12)
        if kind == "sparse":
            assert not mask[seen.nonzero()].any()
            assert seen.nnz <= (omega > 0).sum()


def make(X, k, *, mask=None, omega=None, n_threads=1):
    masks = [] if mask is None else [mask]
    hidden = Hidden(masks, omega)
    return DataMatrix(X, k, dtype=np.dtype(X.dtype), n_threads=n_threads, hidden=hidden)


def factors(matrix, k, seed=0):
    """Return programs p x k and usage n x k."""
    rng = np.random.default_rng(seed)
    n, p = matrix.shape
    H = rng.gamma(1.0, size=(p, k)) * (rng.random((p, k)) < 0.7)
    W = rng.gamma(1.0, size=(n, k)) * (rng.random((n, k)) < 0.5)
    return H.astype(matrix.dtype), W.astype(matrix.dtype)


def sweep(matrix, H, W, *, sweeps=3, shift=0.0, l2=0.0, exact=False, longer=False):
    n, p = matrix.shape
    k = H.shape[1]
    G = np.float64(H).T @ np.float64(H) + l2 * np.eye(k)
    problem = RowProblem.build(
        G, np.full(k, shift), dtype=matrix.dtype, sweeps=sweeps, exact=exact, longer=longer
    )
    usage = matrix.thin(n, k, W)
    statistics = matrix.sweep(matrix.thin(p, k, H), problem, usage)
    return G, thin_rows(usage, matrix.stride(k), k), statistics


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestSweeps:
    def check(self, kind, dtype, weights, k, *, hidden=0.1, longer=False, **settings):
        X, omega, mask = masked.example(kind, dtype=dtype, weights=weights, hidden=hidden)
        X = masked.with_values(X, mask, np.nan)
        matrix = make(X, k, mask=mask, omega=omega if weights else None)
        assert matrix.kind == kind
        H, W = factors(matrix, k)
        G, usage, statistics = sweep(matrix, H, W, longer=longer, **settings)
        B, _, _ = masked.sides(X, omega, W, H.T)
        if longer:
            times = 1 / np.maximum(omega.mean(axis=1), 0.6 * omega.max(axis=1))[:, None]
            assert (times > 1).any()
            B = W @ G * (1 - times) + B * times
        expected = reference.hals_sweeps(G, B, W, 3, settings.get("shift", 0.0))
        tight = {np.float32: 2e-4, np.float64: 1e-11}[dtype]
        np.testing.assert_allclose(usage, expected, rtol=0, atol=tight * np.abs(expected).max())
        _, C, fill = masked.sides(X, omega, usage, H.T)
        if longer:  # then the rows' weights may be in these
            return
        cross = thin_rows(statistics.cross, matrix.stride(k), k)
        np.testing.assert_allclose(cross, C, rtol=tight, atol=tight * np.abs(C).max())
        np.testing.assert_allclose(statistics.gram, np.float64(usage).T @ usage, rtol=tight)
        assert statistics.fill == pytest.approx(fill, rel=tight)
        seen = thin_rows(statistics.seen, matrix.stride(k), k)
        x = omega * np.where(omega > 0, masked.filled(X), 0)
        np.testing.assert_allclose(seen, x.T @ usage, rtol=tight, atol=tight * np.abs(C).max())

    def test_rows(self, kind, dtype, weights):
        self.check(kind, dtype, weights, 5)

    def test_penalties(self, kind, dtype, weights):
        self.check(kind, dtype, weights, 5, shift=0.3, l2=2.0)

    @pytest.mark.parametrize("hidden", [0.1, 0.6])
    def test_longer_steps(self, kind, dtype, weights, hidden):
        self.check(kind, dtype, weights, 5, hidden=hidden, longer=True)

    @pytest.mark.parametrize("exact", [False, True])
    def test_longer_steps_with_weights_of_rows(self, kind, dtype, weights, exact):
        """The Gram matrix has the rows' weights in it; the loss and its gradient are as before."""
        X, omega, mask = masked.example(kind, dtype=dtype, weights=weights)
        rows = np.random.default_rng(4).uniform(0.01, 1, (300, 1))
        omega = omega * rows
        omega[5] = ~mask[5]
        matrix = make(X, 5, mask=mask, omega=omega)
        H, W = factors(matrix, 5)
        G, usage, statistics = sweep(matrix, H, W, exact=exact, longer=True)
        U = np.float64(usage)
        R = omega.max(axis=1)
        tight = {np.float32: 1e-4, np.float64: 1e-11}[dtype]
        np.testing.assert_allclose(statistics.gram, U.T @ (R[:, None] * U), rtol=tight)
        cross = np.float64(thin_rows(statistics.cross, matrix.stride(5), 5))
        x = np.where(omega > 0, masked.filled(X), 0)
        slope = (omega * (U @ np.float64(H).T - x)).T @ U
        found = np.float64(H) @ statistics.gram - cross
        size = np.abs(np.float64(H) @ statistics.gram).max()
        np.testing.assert_allclose(found, slope, rtol=0, atol=tight * size)
        loss = 0.5 * (
            matrix.squared_norm
            + statistics.fill
            - 2 * np.sum(cross * np.float64(H))
            + np.sum(statistics.gram * G)
        )
        assert loss == pytest.approx(
            masked.objective(X, omega, U, H.T), rel=tight, abs=tight * matrix.squared_norm
        )

    @pytest.mark.parametrize("k", [16, 17, 33, 130])
    def test_widths(self, kind, dtype, weights, k):
        if kind == "narrow" and k > 64:
            pytest.skip("that is a wide problem")
        self.check(kind, dtype, weights, k, hidden=0.3)

    @pytest.mark.parametrize("hidden", [0.01, 0.1, 0.9])
    @pytest.mark.parametrize("l2", [0.0, 0.5])
    def test_exact_rows(self, kind, dtype, weights, hidden, l2):
        X, omega, mask = masked.example(kind, dtype=dtype, weights=weights, hidden=hidden, n=150)
        omega[3] = 0
        mask[3] = True
        omega[4, 1:] = 0
        mask[4, 1:] = True
        matrix = make(X, 4, mask=mask, omega=omega if weights else None)
        H, _ = factors(matrix, 4)
        H[:, 1] *= np.arange(H.shape[0]) < 3  # a program in three columns: often all are hidden
        _, usage, statistics = sweep(matrix, H, np.zeros((150, 4)), l2=l2, exact=True)
        assert statistics.unsolved == 0
        assert statistics.unseen == np.sum(omega.sum(axis=1) == 0) >= 1
        expected = masked.usage(X, omega, H.T, l2=l2)
        assert not usage[3].any()
        value = [masked.objective(X, omega, w, H.T) for w in (usage, expected)]
        for i, w in enumerate((usage, expected)):
            value[i] += 0.5 * l2 * np.sum(np.float64(w) ** 2)
        assert value[0] <= value[1] * (1 + {np.float32: 1e-5, np.float64: 1e-7}[dtype])
        norm = np.sum(omega * np.where(omega > 0, masked.filled(X), 0) ** 2)
        assert matrix.squared_norm - statistics.fit == pytest.approx(
            2 * value[0], rel=1e-4, abs=1e-6 * norm
        )
        if hidden < 0.5:
            tight = {np.float32: 1e-4, np.float64: 1e-6}[dtype]
            determined = omega.sum(axis=1) > 8
            np.testing.assert_allclose(
                usage[determined], expected[determined], atol=tight * expected.max()
            )


@pytest.mark.parametrize("kind", KINDS)
class TestMatrix:
    def test_moments_count_what_is_observed(self, kind):
        X, omega, mask = masked.example(kind, weights=True)
        matrix = make(masked.with_values(X, mask, np.inf), 3, mask=mask, omega=omega)
        x = np.where(omega > 0, reference.dense(X), 0)
        assert matrix.squared_norm == pytest.approx(np.sum(omega * x**2), rel=1e-12)
        assert matrix.observed == pytest.approx(omega.sum(), rel=1e-12)
        assert matrix.mean == pytest.approx(np.sum(omega * x) / omega.sum(), rel=1e-12)

    def test_unseen_rows_and_columns(self, kind):
        X, _, mask = masked.example(kind, n=600)
        mask[[5, 300]] = True
        mask[:, 7] = True
        rows, columns = make(X, 3, mask=mask).unseen
        assert np.flatnonzero(rows).tolist() == [5, 300]
        assert np.flatnonzero(columns).tolist() == [7]

    @pytest.mark.parametrize("weights", [False, True])
    def test_residual_entry_by_entry(self, kind, weights):
        X, omega, mask = masked.example(kind, weights=weights)
        matrix = make(X, 4, mask=mask, omega=omega if weights else None)
        H, W = factors(matrix, 4)
        n, p = matrix.shape
        found = matrix.residual(matrix.thin(n, 4, W), matrix.thin(p, 4, H), 4)
        assert found == pytest.approx(2 * masked.objective(X, omega, W, H.T), rel=1e-10)

    def test_nothing_hidden_has_the_bits_of_the_plain_matrix(self, kind):
        X, _, _ = masked.example(kind, dtype=np.float32)
        plain = DataMatrix(X, 4, dtype=X.dtype, n_threads=1)
        empty = make(X, 4, mask=np.zeros(X.shape, bool))
        assert not any(isinstance(panel, HeldPanel) for _, panel in empty.panels())
        H, W = factors(plain, 4)
        for one, two in zip(sweep(plain, H, W)[1:2], sweep(empty, H, W)[1:2], strict=True):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.parametrize("exact", [False, True])
    @pytest.mark.parametrize("chunk", [7, 1000])
    def test_a_source_gives_the_bits_of_the_array(self, kind, chunk, exact, monkeypatch):
        X, omega, mask = masked.example(kind, n=700, dtype=np.float32, weights=True)
        X = masked.with_values(X, mask, np.nan)
        monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))
        outputs = []
        for data, n_threads in ((X, 1), (reference.Chunks(X, chunk, offset=3), 2)):
            hidden = Hidden([Speckle(0.1)], omega)
            matrix = DataMatrix(data, 5, dtype=X.dtype, n_threads=n_threads, hidden=hidden)
            assert len(list(matrix.panels())) == 3
            H, W = factors(matrix, 5)
            _, usage, statistics = sweep(matrix, H, W, exact=exact)
            outputs.append(
                (usage, statistics.cross, statistics.gram, statistics.fill, statistics.fit,
                 statistics.seen, matrix.squared_norm, matrix.mean)
            )  # fmt: skip
        for one, two in zip(*outputs, strict=True):
            np.testing.assert_array_equal(one, two)

    def test_many_rows_are_summed_in_float64(self, kind, monkeypatch):
        X, omega, mask = masked.example(kind, n=3000, dtype=np.float32)
        monkeypatch.setattr("partwise.matrix.held._GROUP", 2)
        matrix = make(X, 4, mask=mask)
        H, W = factors(matrix, 4)
        _, usage, statistics = sweep(matrix, H, W)
        _, C, fill = masked.sides(X, omega, usage, H.T)
        cross = thin_rows(statistics.cross, matrix.stride(4), 4)
        np.testing.assert_allclose(cross, C, rtol=1e-5)
        assert statistics.fill == pytest.approx(fill, rel=1e-5)

    def test_a_sample_hides_what_the_data_hide(self, kind):
        X, omega, mask = masked.example(kind, n=1500, weights=True)
        matrix = make(masked.with_values(X, mask, np.nan), 4, mask=mask, omega=omega)
        sample = matrix.sample(512, 4)
        rows = np.r_[0:256, 1500 - 256 : 1500]
        x = np.where(omega > 0, reference.dense(X), 0)[rows]
        assert sample.shape == (512, X.shape[1])
        assert sample.squared_norm == pytest.approx(np.sum(omega[rows] * x**2), rel=1e-12)
        H, W = factors(sample, 4)
        _, usage, statistics = sweep(sample, H, W)
        _, C, _ = masked.sides(x, omega[rows], usage, H.T)
        np.testing.assert_allclose(thin_rows(statistics.cross, sample.stride(4), 4), C, rtol=1e-9)


def test_rows_without_deficits():
    empty = none_of(3)
    assert empty.indptr.tolist() == [0, 0, 0, 0]
    assert empty.columns.size == 0


def test_dead_components_have_no_usage_in_exact_rows():
    X, _, mask = masked.example("wide")
    matrix = make(X, 3, mask=mask)
    H, _ = factors(matrix, 3)
    H[:, 2] = 0
    _, usage, statistics = sweep(matrix, H, np.ones((300, 3)), exact=True)
    assert not usage[:, 2].any()
    assert statistics.unsolved == 0
