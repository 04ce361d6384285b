"""The jobs on sequences: fit, sweeps, significance, simulate, plot."""
