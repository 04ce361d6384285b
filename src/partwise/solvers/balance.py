r"""The scale of each component under penalties.

Usage times c and a program divided by c leave the product as it is, but not the penalty

    phi(c) = l1_u sum(w) c + l2_u/2 ||w||^2 c^2 + l1_p sum(h) / c + l2_p/2 ||h||^2 / c^2.

Coordinate descent moves along c by small steps only. At the minimum the two sides are equal,

    l1_u sum(w) c + l2_u ||w||^2 c^2 = l1_p sum(h) / c + l2_p ||h||^2 / c^2,

and the logarithm of their ratio has a slope between 2 and 4 over log c, so that Newton's method
finds it from anywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from partwise.objectives import Penalties

__all__ = ["balance"]

Vector = npt.NDArray[np.float64]

#: Newton steps, and the most that log c may be.
_STEPS, _MOST = 40, 80.0


def balance(
    penalties: Penalties,
    pinned: npt.NDArray[np.bool_],
    sums: tuple[Vector, Vector],
    squares: tuple[Vector, Vector],
) -> tuple[Vector, float]:
    """Return the best c of each component, and by how much it lowers the penalty.

    Parameters
    ----------
    penalties
        Elastic net of both factors.
    pinned
        Components whose scale is given; their c is 1.
    sums, squares
        Sums and sums of squares of usage and programs, k each.

    Returns
    -------
    tuple
        c, by which the usage is multiplied and the programs are divided; the decrease.
    """
    usage, programs = penalties.usage, penalties.programs
    powers = np.array([1.0, 2.0, -1.0, -2.0])[:, None]
    terms = np.array(
        [
            usage.l1 * sums[0],
            0.5 * usage.l2 * squares[0],
            programs.l1 * sums[1],
            0.5 * programs.l2 * squares[1],
        ]
    )
    both = (terms[:2].sum(axis=0) > 0) & (terms[2:].sum(axis=0) > 0) & ~pinned
    x = np.zeros(int(both.sum()))
    for _ in range(_STEPS):
        values = np.abs(powers) * terms[:, both] * np.exp(powers * x)
        one, other = values[:2].sum(axis=0), values[2:].sum(axis=0)
        slope = (values[0] + 2 * values[1]) / one + (values[2] + 2 * values[3]) / other
        x = np.clip(x - np.log(one / other) / slope, -_MOST, _MOST)
    c = np.ones(len(pinned))
    c[both] = np.exp(x)
    gain = float(np.sum(terms - terms * c**powers))
    return (c, gain) if gain > 0 else (np.ones(len(pinned)), 0.0)
