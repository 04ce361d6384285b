"""Pieces of the tables of docs/benchmarks.md."""

from __future__ import annotations


def seconds(value: float | None) -> str:
    if value is None:
        return "not reached"
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def rows(header: list[str], lines: list[list[str]]) -> list[str]:
    """Return a markdown table; all columns but the first are aligned right."""
    marks = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(line) + " |" for line in [header, marks, *lines]] + [""]


def machine_line(result: dict) -> str:
    m = result["machine"]
    busy = "; **the machine was busy: these times are doubtful**" if m["busy_at_start"] else ""
    return (
        f"Measured {m['date']} on {m['cores']} cores of {m['cpu']}, {m['memory_gb']} GB, "
        f"Python {m['python']}, commit {m['commit']}; other programs used "
        f"{m['processor_in_use_at_start']:.0%} of the processor at the start{busy}."
    )
