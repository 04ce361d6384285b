"""Flags made from options dataclasses, and those that every job has."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from partwise.cli._config import load_config
from partwise.workflows.options import OptionSpec, specs

__all__ = [
    "JobCommand",
    "SectionOption",
    "dry_run_flag",
    "flags_of",
    "option_of",
    "options_from",
    "run_flags",
]

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class SectionOption(click.Option):
    """An option that knows under which heading it is listed."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class JobCommand(click.Command):
    """A command whose help lists options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list per section, in the order in which sections first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = (
                parameter.get_help_record(ctx) if parameter.param_type_name == "option" else None
            )
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Run"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def flags_of(options: type) -> Decorator:
    """Return a decorator that gives a command the flags of an options dataclass."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for spec in reversed(list(specs(options))):
            command = option_of(spec)(command)
        return command

    return decorate


def options_from(options: type[T], values: dict[str, Any]) -> T:
    """Make an options dataclass from what click parsed."""
    return options(**{spec.name: values[spec.name] for spec in specs(options)})


def dry_run_flag(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag that shows what a run would do."""
    return click.option(
        "--dry-run",
        is_flag=True,
        cls=SectionOption,
        section="Run",
        help="Show the shape of the table, estimates of time and memory, and the files that would "
        "be written; write nothing.",
    )(command)


def run_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that say how a run reports, not what it computes."""
    made: list[tuple[str, dict[str, Any]]] = [
        ("--quiet", {"is_flag": True, "help": "Print nothing but errors."}),
        (
            "--json",
            {
                "is_flag": True,
                "help": "Print a machine-readable summary on standard output, nothing else.",
            },
        ),
        ("--log-file", {"metavar": "FILE", "help": "Append what happens, with times, to FILE."}),
        ("--debug", {"is_flag": True, "help": "With an error, print where in the code it arose."}),
    ]
    for flag, settings in reversed(made):
        command = click.option(flag, cls=SectionOption, section="Run", **settings)(command)
    return click.option(
        "--config",
        metavar="FILE",
        is_eager=True,  # before the others, whose defaults it sets
        expose_value=False,
        callback=load_config,
        cls=SectionOption,
        section="Run",
        help="Take options from a TOML file (n_components = 8) or from the run.json of an earlier "
        "run; flags win over it.",
    )(command)


def option_of(spec: OptionSpec) -> Decorator:
    """Return a decorator that gives a command one flag."""
    settings: dict[str, Any] = {"cls": SectionOption, "section": spec.section}
    text = spec.help
    if spec.kind is tuple:
        choices = f" Of {', '.join(spec.choices)}." if spec.choices else ""
        text += f"{choices} Separate by commas, or repeat."
        settings |= {
            "multiple": True,
            "type": str,
            "callback": _split,
            "metavar": "NAMES" if all(isinstance(v, str) for v in spec.default) else "NUMBERS",
            "default": spec.default,
        }
    elif spec.kind is bool:
        settings |= {"is_flag": True, "default": spec.default}
    else:
        kind = click.Choice(spec.choices) if spec.choices else spec.kind
        settings |= {"type": kind, "default": spec.default}
    if spec.default_text:
        text += f"  [default: {spec.default_text}]"
    return click.option(*spec.flags, spec.name, help=text, **settings)


def _split(ctx: click.Context, parameter: click.Parameter, values: Any) -> tuple[str, ...]:
    """Split values at commas; a name with a comma is put in double quotes."""
    return tuple(_names(values))


def _names(values: Any) -> Iterator[str]:
    # defaults may be numbers
    for row in csv.reader(map(str, values), skipinitialspace=True):
        yield from (name.strip() for name in row if name.strip())
