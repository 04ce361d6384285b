"""Options of jobs: one frozen dataclass per job, from which flags, run.json and docs are made.

A field declared with `option` carries what the command line needs. This module imports nothing
heavy, because `partwise --help` reads it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from partwise.exceptions import UsageError

__all__ = [
    "OptionSpec",
    "check_choice",
    "check_number",
    "check_whole",
    "command_line",
    "once",
    "option",
    "resolved",
    "specs",
]

Options = TypeVar("Options")


@dataclass(frozen=True)
class OptionSpec:
    """How an option looks on the command line.

    Attributes
    ----------
    name
        Name of the dataclass field.
    flags
        Spellings, e.g. ("-n", "--n-components").
    kind
        int, float, str, bool (a switch) or tuple (repeatable, or separated by commas).
    default
        Value of the field if it is not given.
    help
        One sentence, without the default.
    section
        Heading under which it is listed.
    choices
        Allowed values; empty if any.
    shown_default
        Text for the default where the value itself (None) does not tell it.
    matters
        What depends on it: "result" (the numbers), "run" (only how the work is done and what is
        written), or "once" (only this call; the command that repeats a run leaves it out). What a
        run had done before it was interrupted counts only for equal options of the first kind.
    """

    name: str
    flags: tuple[str, ...]
    kind: type
    default: Any
    help: str
    section: str
    choices: tuple[str, ...] = ()
    shown_default: str | None = None
    matters: str = "result"

    @property
    def default_text(self) -> str:
        """Text for the default, empty if there is nothing to tell."""
        if self.shown_default is not None:
            return self.shown_default
        if self.kind is bool or self.default is None:
            return ""
        return ",".join(self.default) if self.kind is tuple else str(self.default)


def option(
    default: Any,
    *flags: str,
    kind: type,
    help: str,
    section: str,
    choices: Sequence[str] = (),
    shown_default: str | None = None,
    matters: str = "result",
) -> Any:
    """Declare a field of an options dataclass that is also a flag; see `OptionSpec`."""
    described = {
        "flags": flags,
        "kind": kind,
        "help": help,
        "section": section,
        "choices": tuple(choices),
        "shown_default": shown_default,
        "matters": matters,
    }
    return dataclasses.field(default=default, metadata={"option": described})


def resolved(kind: type[Options], options: Options | None, overrides: dict[str, Any]) -> Options:
    """Return the options of a job, which were given whole or as single fields.

    Raises
    ------
    UsageError
        If they were given both ways, or a field cannot be used.
    """
    if options is not None and overrides:
        raise UsageError("give either options or single fields, not both")
    return options or kind(**overrides)


def specs(options: type) -> Iterator[OptionSpec]:
    """Yield the flags of an options dataclass, in the order of its fields."""
    for field in dataclasses.fields(options):
        yield OptionSpec(name=field.name, default=field.default, **field.metadata["option"])


def command_line(command: str, input: str, options: Any) -> str:
    """Return the command that does what `options` say, flags that differ from the default only.

    Parameters
    ----------
    command
        E.g. "partwise cluster".
    input
        The file it works on.
    options
        An options dataclass.

    Returns
    -------
    str
        Quoted for the shell.
    """
    words = [*command.split(), input]
    for spec in specs(type(options)):
        value = getattr(options, spec.name)
        if value == spec.default or spec.matters == "once":
            continue
        words.append(spec.flags[-1])
        if spec.kind is tuple:
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(value)
            words.append(text.getvalue())
        elif spec.kind is not bool:
            words.append(str(value))
    return shlex.join(words)


def once(options: Any) -> frozenset[str]:
    """Return the names of the options that belong to one call: neither repeated nor recorded."""
    return frozenset(spec.name for spec in specs(type(options)) if spec.matters == "once")


def check_whole(name: str, value: Any, *, least: int) -> None:
    """Raise `UsageError` unless `value` is a whole number of at least `least`."""
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{name} must be a whole number from {least} up, not {value!r}")


def check_number(name: str, value: Any, *, above: float | None = None, least: float = 0.0) -> None:
    """Raise `UsageError` unless `value` is finite and above `above` (or at least `least`)."""
    try:
        good = not isinstance(value, (bool, str)) and math.isfinite(value)
    except TypeError:
        good = False
    if good and (value > above if above is not None else value >= least):
        return
    bound = f"above {above:g}" if above is not None else f"of {least:g} or more"
    raise UsageError(f"{name} must be a number {bound}, not {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise `UsageError` unless `value` is one of `choices`."""
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}; not {value!r}")
