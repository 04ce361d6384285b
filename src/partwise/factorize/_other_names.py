"""What other packages call the parameters: errors that name ours."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

from partwise.exceptions import UsageError

__all__ = ["advice_on", "check_choice", "named", "refuse_names"]

P = ParamSpec("P")

_USAGE = (
    "take l1_usage=alpha_W * l1_ratio * n_features and "
    "l2_usage=alpha_W * (1 - l1_ratio) * n_features"
)
_PROGRAMS = (
    "take l1_programs=alpha_H * l1_ratio * n_samples and "
    "l2_programs=alpha_H * (1 - l1_ratio) * n_samples"
)
_BOTH = f"{_USAGE}; {_PROGRAMS}"
_EXACT = "leave it out: the usage is always solved exactly"
#: Parameter of scikit-learn's NMF or MiniBatchNMF, or of cNMF -> our parameter that it takes (if
#: the estimator has that), and what does it here.
_OURS = {
    "alpha": ("l1_usage", _BOTH),
    "alpha_W": ("l1_usage", _USAGE),
    "alpha_H": ("l1_programs", f"{_PROGRAMS} (with alpha_H='same', alpha_W for alpha_H)"),
    "l1_ratio": ("l1_usage", _BOTH),
    "beta_loss": ("loss", "take loss='frobenius' or loss='kullback-leibler'"),
    "fresh_restarts": ("", _EXACT),
    "fresh_restarts_max_iter": ("", _EXACT),
    "n_iter": ("n_replicates", "take n_replicates"),
    "n_jobs": ("n_threads", "take n_threads (None takes all CPUs)"),
    "seed": ("random_state", "take random_state"),
    "shuffle": ("", "leave it out"),
    "solver": ("batch_size", "leave it out: each loss has one solver for batches"),
    "transform_max_iter": ("", _EXACT),
    "verbose": ("", "take callback= of fit, which is called after each pass"),
}
#: (Parameter, value of scikit-learn) -> what does it here.
_VALUES = {
    ("init", "None"): "leave it out for 'nndsvda'",
    ("init", "nndsvdar"): "'nndsvda' has no zeros either",
    ("n_components", "auto"): "None takes 10, and partwise.select_rank finds how many there are",
    ("solver", "cd"): "'auto' is coordinate descent",
    ("solver", "mu"): "'auto' has a solver for each loss, and needs fewer passes than updates by "
    "multiplication",
    ("loss", "0"): "the Itakura-Saito loss is not offered",
    ("loss", "1"): "1 is 'kullback-leibler'",
    ("loss", "2"): "2 is 'frobenius'",
    ("loss", "itakura-saito"): "it is not offered",
    ("loss", "poisson"): "that is 'kullback-leibler'",
}


class _NameError(UsageError, TypeError):
    """A parameter that an estimator does not have, as Python's own error is a TypeError."""


def named(init: Callable[P, None]) -> Callable[P, None]:
    """Make an `__init__` that says of a parameter which it does not have what does it here."""
    known = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        if not kwargs.keys() <= set(known):
            refuse_names(type(args[0]).__name__, kwargs, known)
        init(*args, **kwargs)

    return checked


def refuse_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse parameters that an estimator does not have.

    Raises
    ------
    UsageError
        With what does it here, or the name that is most alike; also a TypeError.
    """
    names = list(known)
    unknown = next((name for name in given if name not in names), None)
    if unknown is None:
        return
    needed, advice = _OURS.get(unknown, ("", ""))
    if not advice or needed not in ("", *names):
        alike = difflib.get_close_matches(unknown, names, n=1)
        advice = f"did you mean {alike[0]}?" if alike else ""
    here = f" ({advice})" if advice else ""
    raise _NameError(f"{owner} has no parameter {unknown!r}{here}; it has {', '.join(names)}")


def check_choice(parameter: str, value: Any, choices: Sequence[str], *, where: str = "") -> None:
    """Refuse a value that is none of the choices, with what does here what it asks for.

    Raises
    ------
    UsageError
        With the choices.

    Examples
    --------
    >>> check_choice("loss", "frobenius", ("frobenius", "kullback-leibler"))
    """
    if isinstance(value, str) and value in choices:
        return
    advice = advice_on(parameter, value)
    raise UsageError(f"{parameter} must be one of {tuple(choices)}{where}, not {value!r}{advice}")


def advice_on(parameter: str, value: Any) -> str:
    """Return what to take in place of a value of scikit-learn's, as the end of a sentence.

    Examples
    --------
    >>> advice_on("loss", 2)
    ": 2 is 'frobenius'"
    >>> advice_on("loss", "huber")
    ''
    """
    advice = _VALUES.get((parameter, str(value)))
    return f": {advice}" if advice else ""
