"""The vector values inside compiled code do what their NumPy twins do."""

import numpy as np
import pytest

from partwise.kernels._jit import jit
from partwise.kernels._simd import LANE, add, fma, hsum, lanes_for, load, max0, mul, splat, store


@jit
def _all_operations(lanes, x, y, factor, out):
    """Write x + y, x * y, x * factor + y, max(x, 0) one after another; return sum(x)."""
    width = LANE * len(lanes)
    a = load(lanes, x, 0)
    b = load(lanes, y, 0)
    store(lanes, out, 0, add(a, b))
    store(lanes, out, width, mul(a, b))
    store(lanes, out, 2 * width, fma(a, splat(lanes, x, factor), b))
    store(lanes, out, 3 * width, max0(a))
    return hsum(a)


@jit
def _copy_from(lanes, x, start, out, to):
    store(lanes, out, to, load(lanes, x, start))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", [(0,), (0, 0, 0, 0)])
def test_operations(lanes, dtype):
    width = LANE * len(lanes)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, width)).astype(dtype)
    out = np.full(5 * width, 7, dtype)
    total = _all_operations(lanes, x, y, dtype(1.5), out)
    expected = [x + y, x * y, x * dtype(1.5) + y, np.maximum(x, 0)]
    np.testing.assert_allclose(out.reshape(5, width)[:4], expected, rtol=1e-6, atol=1e-6)
    assert (out[4 * width :] == 7).all()
    assert total == pytest.approx(x.sum(dtype=np.float64), rel=1e-5, abs=1e-5)


def test_reads_and_writes_at_any_place():
    x = np.arange(100, dtype=np.float32)
    for start in (0, 1, 3, 17, 84):
        out = np.zeros(60, np.float32)
        _copy_from((0,), x, start, out, 5)
        np.testing.assert_array_equal(out[5:21], x[start : start + 16])
        assert out.sum() == x[start : start + 16].sum()


def test_max0_turns_negative_zero_and_nan_into_zero_or_keeps_them_out():
    x = np.zeros(16, np.float32)
    x[:3] = [-0.0, -1.0, -np.inf]
    out = np.full(64, np.nan, np.float32)
    _all_operations((0,), x, np.zeros(16, np.float32), np.float32(1), out)
    assert not out[48:64].any()


@pytest.mark.parametrize(("width", "lanes"), [(1, 1), (16, 1), (17, 2), (48, 3), (49, 4), (0, 1)])
def test_lanes_for(width, lanes):
    assert lanes_for(width) == (0,) * lanes
