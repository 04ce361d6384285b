"""Worker: partwise itself, in the environment that runs the comparison."""

from __future__ import annotations

import os

import numba
import numpy as np
import scipy

import partwise
from protocol import Engine, serve

THREADS = int(os.environ["PARTWISE_NUM_THREADS"])


class Partwise(Engine):
    def fit(self, solver, X, *, k, start, max_iter, tol, seed):
        name, _, init = solver.partition("/")
        settings = {"n_components": k, "random_state": seed, "n_threads": THREADS}
        if start:
            settings["init"] = "custom"
        elif init:
            settings["init"] = init
        if name == "newton":
            settings["loss"] = "kullback-leibler"
        if name == "minibatch":
            model = partwise.MiniBatchNMF(**settings)  # its own max_iter, tol and early stop
        else:
            model = partwise.NMF(**settings, solver=name, max_iter=max_iter, tol=tol)
        W, H = start or (None, None)
        if name == "minibatch":  # its usage follows from the programs, so it takes no start for it
            return model.fit_transform(X, H=H), model.components_, model.n_iter_
        usage = model.fit_transform(X, W=W, H=H)
        return usage, model.components_, model.n_iter_

    def versions(self):
        return {
            "partwise": partwise.__version__,
            "numba": numba.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }


if __name__ == "__main__":
    serve(Partwise())
