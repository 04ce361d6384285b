"""From the parameters of `SeqNMF` to a start, settings and penalties; checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.factorize._checks import check_count, check_number
from partwise.sequences._fit import Settings, random_state, windowed
from partwise.sequences._inputs import Prepared, unmasked
from partwise.sequences._matlab import MatlabFit, fit_matlab
from partwise.sequences._problem import Penalty, State
from partwise.utils.random import generator

__all__ = [
    "check_parameters",
    "count_fixed",
    "in_units",
    "run_matlab",
    "settings_of",
    "start_of",
]

Array = npt.NDArray[Any]

_SOLVERS = ("auto", "mu", "hals")


def check_parameters(model: Any) -> None:
    """Refuse parameters that mean nothing."""
    check_count(model.n_components, "n_components")
    check_count(model.n_lags, "n_lags")
    check_count(model.n_init, "n_init")
    check_count(model.max_iter, "max_iter")
    for name in ("lambda_", "l1_W", "l1_H", "ortho_H", "ortho_W"):
        check_number(getattr(model, name), name)
    if not np.isfinite(model.tol) and model.compat is None:
        raise UsageError(f"tol must be a finite number, not {model.tol!r}")
    for name, choices in (
        ("solver", _SOLVERS),
        ("missing", ("raise", "hide")),
        ("compat", (None, "matlab")),
    ):
        if getattr(model, name) not in choices:
            raise UsageError(f"{name} must be one of {choices}, not {getattr(model, name)!r}")
    if model.compat == "matlab":
        _check_matlab(model)


def _check_matlab(model: Any) -> None:
    """Refuse what the original does not have, rather than ignore it."""
    ignored = [
        name
        for name, known in (
            ("solver", ("auto", "mu")),
            ("backend", ("auto",)),
            ("n_init", (1,)),
            ("missing", ("raise",)),
        )
        if getattr(model, name) not in known
    ]
    if model.dtype is not None and np.dtype(model.dtype) != np.float64:
        ignored.append("dtype")
    if ignored:
        raise UsageError(
            f"compat='matlab' has a way of its own: leave out {', '.join(ignored)} (the original "
            "starts once, works in double precision and takes a mask for what is missing)"
        )


def count_fixed(model: Any, ready: Prepared) -> int:
    """Return how many motifs are fixed."""
    if model.fixed_motifs is None:
        return 0
    fixed = np.asarray(model.fixed_motifs)
    n = ready.problem.raster.n_units
    if fixed.ndim != 3 or fixed.shape[0] != n or fixed.shape[2] != model.n_lags:
        raise UsageError(
            f"fixed_motifs must be units x motifs x lags, {n} x K' x {model.n_lags}, not "
            f"{' x '.join(map(str, fixed.shape))}"
        )
    if fixed.shape[1] > model.n_components:
        raise UsageError(
            f"{fixed.shape[1]} motifs are fixed, but n_components is {model.n_components}"
        )
    return int(fixed.shape[1])


def start_of(model: Any, ready: Prepared, rng: np.random.Generator) -> State:
    """Return where a fit starts: what was given, and random numbers for the rest."""
    raster = ready.problem.raster
    timeline = raster.timeline
    k = model.n_components
    state = random_state(ready.problem, k, rng)
    scale = 2.0**ready.exponent
    if model.motifs_init is not None:
        shape = (raster.n_units, k, model.n_lags)
        motifs = _checked(model.motifs_init, shape, "motifs_init") * scale
        state.motifs = windowed(motifs, raster.dtype)
    if model.activations_init is not None:
        shape2 = (k, timeline.n_recorded)
        rows = _checked(model.activations_init, shape2, "activations_init").T
        state.activations = np.ascontiguousarray(timeline.take(rows), raster.dtype)
    if model.fixed_motifs is not None:
        fixed = np.asarray(model.fixed_motifs, np.float64)
        fixed = _checked(fixed, fixed.shape, "fixed_motifs") * scale
        state.motifs[:, :, : fixed.shape[1]] = windowed(fixed, raster.dtype)
    return state


def _penalty(model: Any, exponent: int) -> Penalty:
    """Return the penalties for data that were multiplied by two to the power of `exponent`."""
    once, twice = 2.0**exponent, 4.0**exponent
    return Penalty(
        cross=model.lambda_ if model.n_components > 1 else 0.0,
        l1_motifs=model.l1_W * once,
        l1_activations=model.l1_H * twice,
        ortho_activations=model.ortho_H * twice,
        ortho_motifs=model.ortho_W,
        cross_motifs=model.use_W_update,
    )


def settings_of(model: Any, ready: Prepared, n_fixed: int) -> Settings:
    """Return how to fit; the solver is chosen here."""
    penalty = _penalty(model, ready.exponent)
    crossed = penalty.cross or penalty.ortho_activations or penalty.ortho_motifs
    if model.solver == "hals" and crossed:
        raise UsageError(
            "solver='hals' knows no lambda_, ortho_H and ortho_W: set them to 0, or take 'mu'"
        )
    solver = ("mu" if crossed else "hals") if model.solver == "auto" else model.solver
    return Settings(penalty, model.shift, model.max_iter, float(model.tol), n_fixed, solver)


def run_matlab(model: Any, X: Any, mask: Any) -> MatlabFit:
    """Fit as the original does."""
    X, mask = unmasked(X, mask)
    data = np.asarray(X.toarray() if sp.issparse(X) else X, np.float64)
    hidden = mask.toarray() if sp.issparse(mask) else mask
    observed = None if hidden is None else ~np.asarray(hidden, bool)
    return fit_matlab(
        data,
        n_components=model.n_components,
        n_lags=model.n_lags,
        lambda_=model.lambda_,
        l1_W=model.l1_W,
        l1_H=model.l1_H,
        ortho_H=model.ortho_H,
        ortho_W=model.ortho_W,
        use_W_update=model.use_W_update,
        shift=model.shift,
        sort=model.sort,
        mask_observed=observed,
        motifs_init=model.fixed_motifs if model.motifs_init is None else model.motifs_init,
        activations_init=model.activations_init,
        fixed_motifs=model.fixed_motifs is not None,
        max_iter=model.max_iter,
        tolerance=model.tol,
        rng=generator(model.random_state),
    )


def in_units(callback: Callable[[int, float], None], scale: float) -> Callable[[int, float], None]:
    """Return a callback for costs of scaled data, which calls another with those of the data."""
    return lambda iteration, cost: callback(iteration, cost * scale)


def _checked(values: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return a given start, checked, float64."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be an array of numbers") from None
    if found.shape != shape:
        raise UsageError(f"{name} must have shape {shape}, not {found.shape}")
    if not np.isfinite(found).all() or (found < 0).any():
        raise UsageError(f"{name} must be finite and not negative")
    return found
