"""Estimators with scikit-learn's grammar."""

from partwise.factorize.minibatch import MiniBatchNMF
from partwise.factorize.nmf import NMF

__all__ = ["NMF", "MiniBatchNMF"]
