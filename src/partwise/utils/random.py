"""Random numbers: one generator of our own per fit, the global state neither read nor set."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, TypeAlias

from partwise.exceptions import UsageError

if TYPE_CHECKING:
    import numpy as np

    RandomLike: TypeAlias = int | np.random.Generator | np.random.RandomState | None

__all__ = ["generator"]


def generator(random_state: RandomLike) -> np.random.Generator:
    """Return a random generator.

    Parameters
    ----------
    random_state
        A seed from 0 up; a `Generator`, which is used as it is; a legacy `RandomState`, from which
        a seed is drawn; None for a seed that nobody knows.

    Returns
    -------
    numpy.random.Generator
        The generator.

    Raises
    ------
    UsageError
        If `random_state` is none of these.

    Examples
    --------
    >>> int(generator(42).integers(1000)) == int(generator(42).integers(1000))
    True
    """
    import numpy as np

    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**31 - 1, size=4))
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        if random_state < 0:
            raise UsageError(f"the seed must be 0 or more, not {random_state}")
        return np.random.default_rng(int(random_state))
    raise UsageError(
        "random_state must be a whole number, a numpy Generator, a RandomState or None, "
        f"not {type(random_state).__name__}"
    )
