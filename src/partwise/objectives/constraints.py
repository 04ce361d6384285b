"""Constraints on the factors: given programs, programs kept apart, factors of either sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = ["SIGNED", "Constraints"]

#: Factors that may be free of the sign constraint, one at a time.
SIGNED = (None, "usage", "programs")
#: Given values beyond this overflow when squared, as in data.
_LARGEST = {"float32": 1e17, "float64": 1e150}


@dataclass(frozen=True)
class Constraints:
    """What the factors must be, beyond small residuals and small penalties.

    Attributes
    ----------
    fixed
        The first programs, m x p, float64; NaN marks entries that are fitted. None: all are.
    signed
        The factor that may be negative, "usage" or "programs", or None (semi-NMF; Ding, Li &
        Jordan 2010, IEEE Trans. Pattern Anal. Mach. Intell. 32).
    orthogonality
        Weight of the mean cosine between two programs, in units of 1/2 ||X||^2.
    """

    fixed: npt.NDArray[np.float64] | None = None
    signed: str | None = None
    orthogonality: float = 0.0

    @classmethod
    def build(
        cls, fixed: object, signed: object, shape: tuple[int, int], orthogonality: float = 0.0
    ) -> Constraints:
        """Check the parameters of a model of k programs of p features; `shape` is (k, p).

        Raises
        ------
        UsageError
            If they have wrong shapes or values, or cannot go together.
        """
        if signed not in SIGNED:
            raise UsageError(f"signed must be one of {SIGNED}, not {signed!r}")
        sign = str(signed) if signed is not None else None
        if fixed is None:
            constraints = cls(None, sign, orthogonality)
            constraints._check_apart(shape[0])
            return constraints
        values = _numbers(fixed, shape)
        if signed != "programs" and (values < 0).any():
            row, column = np.argwhere(values < 0)[0]
            raise UsageError(
                f"fixed_programs has a negative entry at row {row}, column {column} (counted from "
                "0): programs are not negative unless signed='programs'"
            )
        dead = np.flatnonzero((values == 0).all(axis=1))
        if dead.size:
            raise UsageError(
                f"row {dead[0]} of fixed_programs is zero everywhere: nothing can use it. Leave it "
                "out, or mark entries that are to be fitted with NaN"
            )
        constraints = cls(values, sign, orthogonality)
        constraints._check_apart(shape[0])
        return constraints

    def _check_apart(self, k: int) -> None:
        """Refuse what programs that are kept apart do not go with."""
        if self.orthogonality == 0:
            return
        reason = ""
        if self.signed == "programs":
            reason = (
                "does not go with signed='programs': opposite programs would lower it without end"
            )
        elif not self.all_fixed:
            reason = (
                "does not go with programs that are given in part: their angles are not free. "
                "Give them in whole, or leave orthogonality at 0"
            )
        elif self.count == k:
            reason = "changes nothing where every program is given"
        if reason:
            raise UsageError(f"orthogonality {reason}")

    @property
    def count(self) -> int:
        """Programs with entries that are given, m; they stay in front."""
        return 0 if self.fixed is None else self.fixed.shape[0]

    @property
    def all_fixed(self) -> bool:
        """Whether every entry of those programs is given."""
        return self.fixed is None or not np.isnan(self.fixed).any()

    def pinned(self, k: int) -> npt.NDArray[np.bool_]:
        """Tell of each of k programs whether a given entry other than zero sets its scale."""
        pinned = np.zeros(k, bool)
        if self.fixed is not None:
            pinned[: self.count] = (np.nan_to_num(self.fixed) != 0).any(axis=1)
        return pinned

    def given(self, k: int, p: int) -> npt.NDArray[np.bool_]:
        """Tell of each entry of the programs, p x k, whether it is given."""
        given = np.zeros((p, k), bool)
        if self.fixed is not None:
            given[:, : self.count] = ~np.isnan(self.fixed).T
        return given

    def impose(self, programs: npt.NDArray[Any]) -> None:
        """Write the given entries into programs, p x k, in place."""
        if self.fixed is not None:
            front = programs[:, : self.count]
            np.copyto(front, self.fixed.T, where=~np.isnan(self.fixed.T), casting="same_kind")

    def weight(self, k: int, squared_norm: float) -> float:
        """Return the weight of the cosine of one pair of k programs, for data of ||X||^2."""
        pairs = k * (k - 1) / 2
        return self.orthogonality / 2 * squared_norm / pairs if pairs else 0.0

    def overlap(self, gram: npt.NDArray[np.float64], squared_norm: float) -> float:
        """Return the penalty on programs of Gram matrix H H^T.

        It is orthogonality / 2 ||X||^2 times the mean cosine between two programs; a program that
        is zero has cosine 0 with all, and one program alone has no penalty.
        """
        weight = self.weight(gram.shape[0], squared_norm)
        return weight * float(np.sum(np.triu(_cosines(gram), 1))) if weight else 0.0

    def slope(self, gram: npt.NDArray[np.float64], squared_norm: float) -> npt.NDArray[np.float64]:
        """Return the k x k matrix M by which the gradient of the penalty is M H."""
        cosines = _cosines(gram)
        np.fill_diagonal(cosines, 0.0)
        scale = _inverse_lengths(gram)
        slope = np.outer(scale, scale)
        np.fill_diagonal(slope, -cosines.sum(axis=0) * scale**2)
        return self.weight(gram.shape[0], squared_norm) * slope

    def check_type(self, dtype: np.dtype[Any]) -> None:
        """Refuse given values that the type of the data cannot square."""
        if self.fixed is None:
            return
        largest = float(np.nanmax(np.abs(self.fixed), initial=0.0))
        if largest > _LARGEST[np.dtype(dtype).name]:
            raise UsageError(
                f"fixed_programs has values up to {largest:.3g}, whose squares overflow {dtype}: "
                "divide them by a constant"
            )


def _inverse_lengths(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 1 / ||h|| of each program, 0 of those that are zero."""
    squares = np.diag(gram)
    return np.divide(1.0, np.sqrt(squares), out=np.zeros(len(gram)), where=squares > 0)


def _cosines(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scale = _inverse_lengths(gram)
    cosines: npt.NDArray[np.float64] = gram * np.outer(scale, scale)
    return cosines


def _numbers(fixed: object, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the given programs as an array of its own, finite but for NaN."""
    k, p = shape
    try:
        values = np.array(fixed, np.float64)
    except (TypeError, ValueError):
        raise UsageError("fixed_programs must be an array of numbers, NaN where free") from None
    if values.ndim != 2 or values.shape[1] != p or values.shape[0] < 1:
        raise UsageError(
            "fixed_programs must have one row for each given program and one column for each of "
            f"the {p} features, not shape {values.shape}"
        )
    if values.shape[0] > k:
        raise UsageError(
            f"fixed_programs has {values.shape[0]} programs, but the model has n_components={k}"
        )
    if np.isinf(values).any():
        raise UsageError("fixed_programs must be finite, or NaN where an entry is free")
    if np.isnan(values).all(axis=1).any():
        row = int(np.flatnonzero(np.isnan(values).all(axis=1))[0])
        raise UsageError(
            f"row {row} of fixed_programs gives no entry: leave it out, free programs follow the "
            "given ones"
        )
    return values
