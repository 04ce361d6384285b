"""Where two costs cross that a penalty trades for each other. Pure functions on curves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

__all__ = ["crossing", "rescaled", "smoothed"]

FloatArray = npt.NDArray[np.float64]

#: Points of the running mean, and how far it is mirrored at the ends.
_WIDTH, _MIRRORED = 3, 6


def smoothed(values: FloatArray) -> FloatArray:
    """Return a running mean of three points, run forwards and backwards: no shift.

    Examples
    --------
    >>> smoothed(np.array([0.0, 0, 0, 9, 0, 0, 0]))[1:6].round(6).tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    if len(values) <= _WIDTH:
        return values
    kernel = np.full(_WIDTH, 1.0 / _WIDTH)
    padding = min(_MIRRORED, len(values) - 1)
    return np.asarray(scipy.signal.filtfilt(kernel, [1.0], values, padlen=padding))


def rescaled(values: FloatArray, raw: FloatArray) -> FloatArray:
    """Return values such that the 10th percentile of the raw ones is 0, and the 90th is 1.

    A curve that is flat between these percentiles comes back as zeros.
    """
    low, high = np.percentile(raw, [10, 90], method="hazen")
    if not high > low:
        return np.zeros(len(values))
    return np.asarray((values - low) / (high - low))


def crossing(lambdas: FloatArray, falling: FloatArray, rising: FloatArray) -> float:
    """Return where the rising curve comes to lie above the falling one; NaN if it nowhere does.

    Between two points both are straight lines over the logarithm of lambda. Of several crossings
    that one counts which has the fewest points on the wrong side; the first among equals.

    Parameters
    ----------
    lambdas
        Ascending, above 0.
    falling, rising
        Both curves, rescaled.
    """
    above = rising - falling
    ups = np.flatnonzero((above[:-1] <= 0) & (above[1:] > 0))
    if not len(ups):
        return float("nan")
    wrong = [
        np.count_nonzero(above[: i + 1] > 0) + np.count_nonzero(above[i + 1 :] <= 0) for i in ups
    ]
    i = int(ups[int(np.argmin(wrong))])
    share = -above[i] / (above[i + 1] - above[i])
    logs = np.log(lambdas[i : i + 2])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))
