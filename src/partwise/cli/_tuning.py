"""`partwise cluster --tune`: the flags, and what they make of the other flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from partwise.cli._options import SectionOption, option_of
from partwise.exceptions import UsageError
from partwise.workflows.options import OptionSpec, specs
from partwise.workflows.tuning.options import TuneOptions

__all__ = ["tuning_flags", "tuning_options"]

_SECTION = "Tuning (partwise tune has more)"
_PREFIX = "tune_"
#: What a flag of clustering is called when it is tuned.
_INSTEAD = {"n_components": "--tune-n", "n_neighbors": "--tune-k", "resolution": "--tune-r"}


def _tuned() -> list[OptionSpec]:
    """Return the original's flags of tuning."""
    return [spec for spec in specs(TuneOptions) if spec.flags[-1].startswith("--tune-")]


def tuning_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `cluster` the flag --tune and those that go with it."""
    for spec in reversed(_tuned()):
        settings = {**vars(spec), "flags": spec.flags[-1:], "name": _PREFIX + spec.name}
        command = option_of(OptionSpec(**{**settings, "section": _SECTION}))(command)
    return click.option(
        "--tune",
        is_flag=True,
        cls=SectionOption,
        section=_SECTION,
        help="Compare settings on a sample of the cells in place of clustering them; the other "
        "flags that count are those of input, folder and run.",
    )(command)


def tuning_options(context: click.Context, options: type) -> TuneOptions | None:
    """Return the options of tuning; None without --tune.

    Parameters
    ----------
    context
        What click parsed for `cluster`.
    options
        The options dataclass of `cluster`; what tuning has, too, is handed on.

    Raises
    ------
    UsageError
        If a flag was given that would have no effect.
    """
    tuned = {_PREFIX + spec.name: spec for spec in _tuned()}
    given = [
        name
        for name in context.params
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if not context.params["tune"]:
        alone = [tuned[name].flags[-1] for name in given if name in tuned]
        if alone:
            raise UsageError(f"{', '.join(alone)} goes with --tune")
        return None
    ours = {(spec.name, spec.kind, spec.flags[-1]) for spec in specs(TuneOptions)}
    values: dict[str, Any] = {}
    for spec in specs(options):
        if spec.name not in given:
            continue
        if (spec.name, spec.kind, spec.flags[-1]) not in ours:
            instead = _INSTEAD.get(spec.name)
            hint = f"; the values to compare are those of {instead}" if instead else ""
            raise UsageError(f"{spec.flags[-1]} has no effect with --tune{hint}")
        values[spec.name] = context.params[spec.name]
    for name, spec in tuned.items():
        if name in given:
            values[spec.name] = context.params[name]
    return TuneOptions(**values)
