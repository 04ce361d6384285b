"""Worker: nmf-torch 0.1.1, batch mode, halsvar (its default) and hals.

It takes no start arrays and no sparse matrix. The start is handed over by a subclass that replaces
its initialisation, so the fit keeps all of its other work; X is a dense float32 tensor made before
the clock starts (in its favour: a user would wait for that, too). It computes and prints its loss
every ten iterations, as always, but the subclass lets it go on where rounding makes that loss rise
(tol=0 alone cannot: it then gave up before the target on the neighbourhood table).
"""

from __future__ import annotations

import os
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp
import torch
from nmf.nmf_models import NMFBatchHALS

from protocol import Engine, serve

THREADS = int(os.environ["OMP_NUM_THREADS"])
#: what run_nmf hands to this class for its two HALS algorithms
SWEEPS = {"halsvar": 200, "hals": 1}


class Reached(Exception):  # noqa: N818 - not an error: it ends a fit
    """Raised after the iteration that reaches the target."""


class FromStart(NMFBatchHALS):
    """The library's class, started from given arrays (its H is the usage, its W the programs)."""

    start = None
    seen = None

    def _initialize_H_W(self, eps=1e-6):  # noqa: N802
        if self.start is None:
            super()._initialize_H_W(eps)
        else:
            self.H, self.W = (torch.tensor(array) for array in self.start)

    def _is_converged(self, prev_err, cur_err, init_err):
        return self._tol > 0 and super()._is_converged(prev_err, cur_err, init_err)

    def _update_W(self):  # noqa: N802
        super()._update_W()
        if self.seen:
            self.seen(self.H.numpy(), self.W.numpy())


class NmfTorch(Engine):
    def prepare(self, X):
        return torch.tensor(X.toarray() if sp.issparse(X) else X)

    def fit(self, solver, X, *, k, start, max_iter, tol, seed, seen=None):
        model = FromStart(
            n_components=k,
            init="random",
            beta_loss=2,
            tol=tol,
            random_state=seed,
            alpha_W=0.0,
            l1_ratio_W=0.0,
            alpha_H=0.0,
            l1_ratio_H=0.0,
            fp_precision="float",
            device_type="cpu",
            n_jobs=THREADS,
            max_iter=max_iter,
            hals_max_iter=SWEEPS[solver],
        )
        model.start, model.seen = start, seen
        usage = model.fit_transform(X)
        return usage.numpy(), model.W.numpy(), model.num_iters

    def find(self, solver, X, *, k, start, max_iter, reached):
        count = 0

        def seen(usage, programs) -> None:
            nonlocal count
            count += 1
            if reached(usage, programs):
                raise Reached

        try:
            self.fit(solver, X, k=k, start=start, max_iter=max_iter, tol=0.0, seed=0, seen=seen)
        except Reached:
            return count
        return None

    def versions(self):
        return {
            "nmf-torch": version("nmf-torch"),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }


if __name__ == "__main__":
    serve(NmfTorch())
