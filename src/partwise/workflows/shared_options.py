"""Options that several jobs have, declared once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from partwise.workflows.options import option

__all__ = [
    "features_option",
    "formats_option",
    "id_columns_option",
    "memory_option",
    "output_dir_option",
    "resume_option",
    "seed_option",
    "threads_option",
]

_INPUT, _OUTPUT, _RUN = "Input", "Output", "Run"


def id_columns_option(rows: str, default_text: str) -> Any:
    """Declare the columns that are not values; `rows` says what a row is."""
    return option(
        (),
        "--id-columns",
        kind=tuple,
        help=f"Columns that identify and describe {rows}.",
        section=_INPUT,
        shown_default=default_text,
    )


def features_option(columns: str) -> Any:
    """Declare the columns that are values; `columns` says which they are."""
    return option(
        (),
        "--features",
        kind=tuple,
        help=f"Names or patterns (*, ?) of the {columns}.",
        section=_INPUT,
        shown_default="all but the id columns",
    )


def output_dir_option(default: str) -> Any:
    """Declare where the results go."""
    return option(
        default,
        "-o",
        "--output-dir",
        kind=str,
        help="Folder for the results; made if missing.",
        section=_OUTPUT,
        matters="run",
    )


def formats_option(what: str, choices: Sequence[str]) -> Any:
    """Declare the formats of tables; `what` says of which."""
    return option(
        ("csv",),
        "--format",
        kind=tuple,
        choices=choices,
        help=f"Formats of {what}; CSV is always written, the others beside it.",
        section=_OUTPUT,
        matters="run",
    )


def seed_option() -> Any:
    """Declare the seed."""
    return option(42, "-s", "--seed", kind=int, help="Seed of all random choices.", section=_RUN)


def threads_option() -> Any:
    """Declare the threads."""
    return option(
        None,
        "--threads",
        kind=int,
        help="Threads; results do not depend on it.",
        section=_RUN,
        shown_default="all CPUs of this process",
        matters="run",
    )


def memory_option(*, streams: bool = True) -> Any:
    """Declare how much memory the process may take; `streams`: values may be read from disk."""
    way = "values that do not fit are read from disk; " if streams else ""
    return option(
        None,
        "--memory",
        kind=str,
        help=f"Memory that the run may take, such as 4GB: {way}a run that would need more is "
        "refused before it starts.",
        section=_RUN,
        matters="run",
        shown_default="what it needs",
    )


def resume_option() -> Any:
    """Declare that a run goes on where one that was interrupted left off."""
    return option(
        False,
        "--resume",
        kind=bool,
        help="Go on where a run that was interrupted or killed left off; the results are the same.",
        section=_RUN,
        matters="once",
    )
