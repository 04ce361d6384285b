"""Worker: scikit-learn's NMF (solver cd) and MiniBatchNMF, defaults but for what is asked."""

from __future__ import annotations

import time

import numpy as np
import scipy
import sklearn
from sklearn.decomposition import NMF, MiniBatchNMF

from measures import deviance
from protocol import Engine, serve


class Sklearn(Engine):
    def fit(self, solver, X, *, k, start, max_iter, tol, seed):
        name, _, init = solver.partition("/")
        init = "custom" if start else init or None
        settings = {"n_components": k, "random_state": seed, "init": init}
        if name == "minibatch":
            model = MiniBatchNMF(**settings)  # its own max_iter, tol and early stop
        else:
            model = NMF(**settings, solver=name, max_iter=max_iter, tol=tol)
        W, H = start or (None, None)
        usage = model.fit_transform(X, W=W, H=H)
        return usage, model.components_, model.n_iter_

    def find(self, solver, X, *, k, start, max_iter, reached):
        # cd keeps no state between iterations: one-iteration fits, each from the last one's
        # factors, take the very path of one long fit
        W, H = start
        model = NMF(n_components=k, init="custom", solver=solver, max_iter=1, tol=0.0)
        for iteration in range(1, max_iter + 1):
            W = model.fit_transform(X, W=W, H=H)
            H = model.components_
            if reached(W, H):
                return iteration
        return None

    def chase(self, solver, X, *, k, start, target, budget):
        # mu keeps no state either; ten iterations at a time, timed without the measuring
        W, H = start
        model = NMF(
            n_components=k, init="custom", solver=solver, beta_loss="kullback-leibler",
            max_iter=10, tol=0.0,
        )  # fmt: skip
        seconds, iterations, reached = 0.0, 0, np.inf
        while seconds < budget and reached > target:
            begin = time.perf_counter()
            W = model.fit_transform(X, W=W, H=H)
            H = model.components_
            seconds += time.perf_counter() - begin
            iterations += 10
            reached = deviance(X, W, H)
        return {
            "seconds": seconds,
            "iterations": iterations,
            "deviance": reached,
            "reached": reached <= target,
        }

    def versions(self):
        return {
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }


if __name__ == "__main__":
    serve(Sklearn())
