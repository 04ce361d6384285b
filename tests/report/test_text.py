"""Numbers as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from partwise.report import format_bytes, format_count, format_duration, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-3, "-3"), (1234567, "1,234,567"), (np.int32(1000), "1,000"), (True, "True"),
        (0.0, "0"), (0.5, "0.5000"), (12.3456, "12.35"), (123456.7, "123,457"),
        (1e-7, "1e-07"), (3e9, "3e+09"), (float("inf"), "inf"), (float("nan"), "n/a"),
        (None, "n/a"), ("text", "text"), (np.float32(0.25), "0.2500"), (-0.1234567, "-0.1235"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (176_900_000, "177 MB"),
     (999_960, "1.0 MB"), (11.3e9, "11.3 GB"), (2e15, "2000.0 TB")],
)  # fmt: skip
def test_bytes(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.004, "0.00 s"), (9.99, "9.99 s"), (9.996, "10.0 s"), (59.9, "59.9 s"), (59.96, "1 min 0 s"),
     (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (90061, "25 h 1 min")],
)  # fmt: skip
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_counts():
    assert format_count(1_200_000) == "1,200,000"
