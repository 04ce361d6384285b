"""The data of a fit, behind the few verbs that a factorization needs.

The rows are cut into panels by shape alone. In memory the panels are made once; from a block
source each pass reads, re-blocks and lays them out anew, with the next one being read meanwhile.
Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.matrix.panels import NARROW, Panel, make_panel, stride_for
from partwise.matrix.problem import RowProblem, Statistics
from partwise.matrix.signed import EXACT_STEPS, least_squares, ridge_inverse
from partwise.matrix.sources import BlockSource
from partwise.matrix.thin import aligned_zeros
from partwise.utils.threads import run_tasks

__all__ = ["DataMatrix"]

Array = npt.NDArray[Any]

#: A panel holds at most this many cells of the matrix, zeros included.
_SPARSE_ROWS = 2**17
#: Rows of each run of a sample.
_RUN = 256
#: Cells whose residual is formed at a time.
_RESIDUAL_CELLS = 2**19
#: Rows of one task of a least-squares solve.
_SIGNED_ROWS = 4096
_CELLS = {"sparse": 2**26, "narrow": 2**24, "wide": 2**24}


def _panel_edges(n: int, p: int, kind: str) -> list[int]:
    """Return the first rows of the panels, and n; whole blocks of 256 rows but for the last."""
    most = max(256, _CELLS[kind] // max(1, p) // 256 * 256)
    if kind == "sparse":  # X^T W is summed in the type of the data within a panel
        most = min(most, _SPARSE_ROWS)
    count = max(1, -(-n // most))
    rows = max(1, -(-n // count))
    rows = -(-rows // 256) * 256
    return [*range(0, n, rows), n]


class DataMatrix:
    """A matrix of observations x features that a solver can sweep over.

    Parameters
    ----------
    x
        Dense array, CSR matrix, or block source; validated before.
    k
        Number of components; with the shape it decides the layout of dense data.
    dtype
        Type of the data and the factors.
    n_threads
        Threads for each pass.
    """

    def __init__(self, x: Any, k: int, *, dtype: np.dtype[Any], n_threads: int) -> None:
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self.dtype = np.dtype(dtype)
        self.n_threads = n_threads
        self._x = x
        self._streamed = not (sp.issparse(x) or isinstance(x, np.ndarray))
        self.kind = self._kind(k)
        self._edges = _panel_edges(*self.shape, self.kind)
        self._kept: list[Panel] | None = None
        if not self._streamed:
            self._kept = [
                make_panel(x[a:b] if len(self._edges) > 2 else x, self.kind, self.dtype, n_threads)
                for a, b in zip(self._edges[:-1], self._edges[1:], strict=True)
            ]

    def sample(self, rows: int, k: int) -> DataMatrix:
        """Return about `rows` rows in memory: runs of 256, evenly spread over the data."""
        n = self.shape[0]
        runs = max(1, rows // _RUN)
        starts = np.linspace(0, n - _RUN, runs).astype(np.int64)
        parts = [
            self._read(int(a), int(a) + _RUN) if self._streamed else self._x[a : a + _RUN]
            for a in starts
        ]
        x = sp.vstack(parts, "csr") if self.kind == "sparse" else np.concatenate(parts)
        return DataMatrix(x, k, dtype=self.dtype, n_threads=self.n_threads)

    def _kind(self, k: int) -> str:
        probe = next(iter(self._x.blocks(0, 1)))[1] if self._streamed else self._x
        if sp.issparse(probe):
            return "sparse"
        return "narrow" if self.shape[1] <= NARROW and k <= NARROW else "wide"

    def stride(self, k: int) -> int:
        """Return the distance between the rows of thin matrices of k columns."""
        return stride_for(self.kind, k)

    def thin(self, rows: int, k: int, values: Array | None = None) -> Array:
        """Return a flat thin matrix of `rows` rows, zero or with the given values (rows x k)."""
        stride = self.stride(k)
        flat = aligned_zeros(rows * stride, self.dtype)
        if values is not None:
            flat.reshape(rows, stride)[:, :k] = values
        return flat

    def panels(self) -> Iterator[tuple[int, Panel]]:
        """Yield (first row, panel)."""
        if self._kept is not None:
            yield from zip(self._edges[:-1], self._kept, strict=True)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="partwise-read") as reader:
            bounds = list(zip(self._edges[:-1], self._edges[1:], strict=True))
            ahead = reader.submit(self._read, *bounds[0])
            for i, (start, _) in enumerate(bounds):
                block = ahead.result()
                if i + 1 < len(bounds):
                    ahead = reader.submit(self._read, *bounds[i + 1])
                yield start, make_panel(block, self.kind, self.dtype, self.n_threads)

    def _read(self, start: int, stop: int) -> Any:
        """Return rows start..stop of the source as one block."""
        source: BlockSource = self._x
        blocks = [block for _, block in source.blocks(start, stop)]
        if len(blocks) == 1:
            return blocks[0]
        return sp.vstack(blocks, "csr") if self.kind == "sparse" else np.concatenate(blocks)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        norms, totals = 0.0, 0.0
        for _, panel in self.panels():
            norms += panel.squared_norm
            totals += panel.total
        return norms, totals

    @property
    def squared_norm(self) -> float:
        """||X||^2, float64."""
        return self._moments[0]

    @property
    def mean(self) -> float:
        """Mean of all entries, zeros included."""
        return self._moments[1] / max(1, self.shape[0] * self.shape[1])

    def sweep(self, programs: Array, problem: RowProblem, usage: Array) -> Statistics:
        """Solve the rows of `usage` given `programs` (p rows), in place; one pass over the data."""
        k = problem.gram.shape[0]
        stride = self.stride(k)
        gram = np.zeros((k, k))
        fit, unsolved = 0.0, 0
        # The fused kernel for narrow data sums in float64 itself; other panels add to an array of
        # the data's type, and several of them are summed in float64.
        narrow = self.kind == "narrow"
        several = len(self._edges) > 2 and not narrow
        out = np.zeros(self.shape[1] * stride) if narrow else self.thin(self.shape[1], k)
        sums = np.zeros(out.shape[0]) if several else out
        for start, panel in self.panels():
            rows = usage[start * stride : (start + panel.shape[0]) * stride]
            if problem.signed:
                part, more, left = self._sweep_signed(panel, programs, problem, rows, out)
            else:
                part, more, left = panel.sweep(programs, problem, rows, out, self.n_threads)
            gram += part
            fit += more
            unsolved += left
            if several:
                sums += out
                out[:] = 0
        # At the solution (G + ridge) w = b - shift wherever w > 0.
        fit += float(problem.ridge @ np.diag(gram))
        return Statistics(gram, sums, fit, unsolved)

    def _sweep_signed(
        self, panel: Panel, programs: Array, problem: RowProblem, rows: Array, out: Array
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Do what `panel.sweep` does for rows that may be negative."""
        k = problem.gram.shape[0]
        if problem.exact:
            rows[:] = 0  # so that the solution depends on nothing but the data and the programs
        right = self.thin(panel.shape[0], k)
        panel.multiply(programs, k, right, self.n_threads)
        b, w = (flat.reshape(-1, self.stride(k))[:, :k] for flat in (right, rows))
        inverse = ridge_inverse(problem.gram, self.dtype)
        steps = EXACT_STEPS if problem.exact else 1

        def solve(start: int) -> tuple[npt.NDArray[np.float64], float]:
            tile = slice(start, start + _SIGNED_ROWS)
            stored = least_squares(problem.gram, inverse, b[tile], w[tile], steps=steps)
            gain = np.sum((2.0 * b[tile] - stored @ problem.gram) * stored)
            return stored.T @ stored, float(gain)

        tasks = [partial(solve, start) for start in range(0, panel.shape[0], _SIGNED_ROWS)]
        done = run_tasks(self.n_threads, tasks)
        panel.multiply_transposed(rows, k, out, self.n_threads)
        gram: npt.NDArray[np.float64] = np.sum([part for part, _ in done], axis=0)
        return gram, sum(gain for _, gain in done), 0

    def residual(self, usage: Array, programs: Array, k: int) -> float:
        """Return ||X - usage @ programs||^2, entry by entry in float64."""
        stride = self.stride(k)
        n, p = self.shape
        h = programs.reshape(p, stride)[:, :k].T.astype(np.float64)
        rows = max(1, _RESIDUAL_CELLS // p)

        def part(start: int) -> float:
            stop = min(n, start + rows)
            x = self._read(start, stop) if self._streamed else self._x[start:stop]
            dense = x.toarray() if sp.issparse(x) else x
            w = usage[start * stride : stop * stride].reshape(-1, stride)[:, :k]
            gap = dense - w.astype(np.float64) @ h
            return float(np.sum(gap * gap))

        tasks = [partial(part, start) for start in range(0, n, rows)]
        return float(sum(run_tasks(1 if self._streamed else self.n_threads, tasks)))

    def multiply(self, thin: Array, k: int) -> Array:
        """Return X @ thin; both flat."""
        stride = self.stride(k)
        out = self.thin(self.shape[0], k)
        for start, panel in self.panels():
            rows = out[start * stride : (start + panel.shape[0]) * stride]
            panel.multiply(thin, k, rows, self.n_threads)
        return out

    def multiply_transposed(self, thin: Array, k: int) -> Array:
        """Return X^T @ thin; both flat."""
        stride = self.stride(k)
        out = self.thin(self.shape[1], k)
        for start, panel in self.panels():
            rows = thin[start * stride : (start + panel.shape[0]) * stride]
            panel.multiply_transposed(rows, k, out, self.n_threads)
        return out
