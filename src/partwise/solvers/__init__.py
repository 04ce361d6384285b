"""Algorithms; each takes a matrix and an objective."""
