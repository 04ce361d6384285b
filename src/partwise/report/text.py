"""Numbers as people read them."""

from __future__ import annotations

import math
import numbers

__all__ = ["format_bytes", "format_count", "format_duration", "format_number"]


def format_count(count: int) -> str:
    """Return a whole number with thousands separated.

    Examples
    --------
    >>> format_count(1200000)
    '1,200,000'
    """
    return f"{count:,}"


def format_bytes(size: float) -> str:
    """Return a size in decimal units.

    Examples
    --------
    >>> format_bytes(1234567)
    '1.2 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """Return a time in the units that suit it.

    Examples
    --------
    >>> format_duration(0.1234), format_duration(75), format_duration(7325)
    ('0.12 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_number(value: object) -> str:
    """Return a value of a table as text: whole numbers in full, others to four digits.

    Examples
    --------
    >>> format_number(12345), format_number(0.123456), format_number(float("nan"))
    ('12,345', '0.1235', 'n/a')
    """
    if value is None or value != value:
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    number = float(value)
    if math.isfinite(number) and 1e-4 <= abs(number) < 1e6:
        decimals = max(0, 3 - math.floor(math.log10(abs(number))))
        return f"{number:,.{decimals}f}"
    return "0" if number == 0 else f"{number:.4g}"
