"""Compiled loops on plain arrays. No other room names numba's options."""
