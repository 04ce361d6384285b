"""Block sources over files that are binary already: rows are read as they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.io.spool import BLOCK_BYTES
from partwise.io.zarr_chunks import chunk_reader

__all__ = ["CsrSource", "DenseSource", "ParquetSource", "value_dtype"]

#: A sparse block has at most about so many bytes: as a rule a panel of the engine in one piece, for
#: each time that pieces are joined all their values are copied.
_SPARSE_BYTES = 2**26


def value_dtype(dtype: np.dtype[Any], *, what: str = "the values") -> np.dtype[Any]:
    """Return the type in which values are handed out: float64 stays, all else is float32.

    Raises
    ------
    DataError
        If the values are no real numbers.
    """
    if dtype == np.float64:
        return np.dtype(np.float64)
    if dtype.kind in "fiub" and dtype.itemsize <= 8:
        return np.dtype(np.float32)
    raise DataError(f"{what} are of type {dtype}, which is not a real number that can be used")


class DenseSource:
    """Rows of anything that slices like an array: a memory map, an HDF5 or Zarr array.

    Parameters
    ----------
    array
        n x p on disk.
    columns
        Positions of the columns to hand out; None means all.
    close
        Called by `close`.
    """

    def __init__(
        self,
        array: Any,
        columns: npt.NDArray[np.intp] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._array = array
        self._columns = columns
        self._close = close
        n, p = array.shape
        self.shape = (int(n), int(p) if columns is None else len(columns))
        self.dtype = value_dtype(np.dtype(array.dtype))
        chunks = getattr(array, "chunks", None)
        step = int(chunks[0]) if chunks else 1
        wanted = max(1, BLOCK_BYTES // max(1, int(p) * self.dtype.itemsize))
        #: rows per block: whole chunks, so that none is decompressed twice
        self._rows = max(1, wanted // step) * step

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        first, stop = max(0, start), min(stop, self.shape[0])
        while first < stop:
            last = min(stop, (first // self._rows + 1) * self._rows)
            block = np.asarray(self._array[first:last])
            if self._columns is not None:
                block = block[:, self._columns]
            yield first, np.ascontiguousarray(block, dtype=self.dtype)
            first = last

    def close(self) -> None:
        """Release the file."""
        if self._close is not None:
            self._close()


class _Forward:
    """Slices of a one-dimensional array on disk, asked for in order; each chunk is unpacked once.

    What is not packed (anndata's h5ad by default) is read as it is asked for, without a copy.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        chunks = getattr(array, "chunks", None)
        plain = getattr(array, "compression", "unknown") is None and not array.shuffle
        self._step = int(chunks[0]) if chunks and not plain else 1
        self._direct = chunk_reader(array)
        self._start = 0
        self._held = np.empty(0, dtype=array.dtype)

    def read(self, low: int, high: int) -> npt.NDArray[Any]:
        """Return elements low..high; `low` never decreases from call to call."""
        held_to = self._start + len(self._held)
        if held_to < low:
            self._start = held_to = low // self._step * self._step
            self._held = self._held[:0]
        if high > held_to:
            end = min(-(-high // self._step) * self._step, self._array.shape[0])
            new = self._fetch(held_to, end)
            kept = self._held[low - self._start :]
            self._start = max(low, self._start) if len(kept) else held_to
            self._held = np.concatenate([kept, new]) if len(kept) else new
        return self._held[low - self._start : high - self._start]

    def _fetch(self, low: int, high: int) -> npt.NDArray[Any]:
        if self._direct is not None and low % self._step == 0:
            return self._direct(low, high)
        return np.asarray(self._array[low:high])


class CsrSource:
    """Rows of a CSR matrix whose parts are on disk; the row pointers are held in memory.

    Parameters
    ----------
    data, indices
        Stored values and their columns, on disk.
    indptr
        Row pointers, n + 1.
    n_columns
        Columns of the matrix on disk.
    columns
        Positions of the columns to hand out; None means all.
    close
        Called by `close`.
    """

    def __init__(
        self,
        data: Any,
        indices: Any,
        indptr: npt.NDArray[np.integer[Any]],
        n_columns: int,
        columns: npt.NDArray[np.intp] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._data, self._indices = data, indices
        self._indptr = np.asarray(indptr, dtype=np.int64)
        self._n_columns = n_columns
        self._columns = columns
        self._close = close
        self.shape = (len(indptr) - 1, n_columns if columns is None else len(columns))
        self.dtype = value_dtype(np.dtype(data.dtype))
        self._check_pointers()

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        first, stop = max(0, start), min(stop, self.shape[0])
        data, indices = _Forward(self._data), _Forward(self._indices)
        most = _SPARSE_BYTES // (self.dtype.itemsize + 4)
        while first < stop:
            low = int(self._indptr[first])
            last = int(np.searchsorted(self._indptr, low + most, side="right")) - 1
            last = min(max(last, first + 1), stop)
            yield first, self._block(data, indices, first, last)
            first = last

    def close(self) -> None:
        """Release the file."""
        if self._close is not None:
            self._close()

    def _block(self, data: _Forward, indices: _Forward, first: int, last: int) -> sp.csr_matrix:
        low, high = int(self._indptr[first]), int(self._indptr[last])
        columns = indices.read(low, high)
        if columns.size and not 0 <= columns.min() <= columns.max() < self._n_columns:
            raise DataError("the sparse matrix points outside its columns: the file is damaged")
        block = sp.csr_matrix(
            (
                np.asarray(data.read(low, high), self.dtype),
                np.asarray(columns, np.int32),
                self._indptr[first : last + 1] - low,
            ),
            shape=(last - first, self._n_columns),
        )
        return block if self._columns is None else block[:, self._columns]

    def _check_pointers(self) -> None:
        pointers = self._indptr
        stored = {int(self._data.shape[0]), int(self._indices.shape[0])}
        if len(pointers) < 1 or pointers[0] != 0 or np.any(np.diff(pointers) < 0):
            raise DataError("the row pointers of the sparse matrix decrease: the file is damaged")
        if stored != {int(pointers[-1])}:
            raise DataError(
                f"the sparse matrix should hold {int(pointers[-1]):,} values but has "
                f"{' and '.join(f'{n:,}' for n in sorted(stored))}: the file is damaged"
            )


class ParquetSource:
    """Rows of number columns of a Parquet file, one row group at a time.

    Parameters
    ----------
    file
        A `pyarrow.parquet.ParquetFile`.
    names
        The columns, in the order in which they are handed out.
    use_threads
        Whether pyarrow may decode columns in parallel; never changes the values.
    """

    def __init__(self, file: Any, names: Sequence[str], use_threads: bool = True) -> None:
        self._file = file
        self._names = list(names)
        self._use_threads = use_threads
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self.shape = (int(self._starts[-1]), len(self._names))
        types = [file.schema_arrow.field(name).type for name in self._names]
        wide = any(str(kind) == "double" for kind in types)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        self._arrow_type = "float64" if wide else "float32"
        self._rows = max(1, BLOCK_BYTES // max(1, len(self._names) * self.dtype.itemsize))
        self._lock = threading.Lock()

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        start, stop = max(0, start), min(stop, self.shape[0])
        for group in range(len(self._starts) - 1):
            first, end = int(self._starts[group]), int(self._starts[group + 1])
            if end <= start or first >= stop:
                continue
            for batch in self._batches(group):
                low, high = max(start, first), min(stop, first + batch.num_rows)
                if low < high:
                    yield low, self._array(batch.slice(low - first, high - low))
                first += batch.num_rows

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _batches(self, group: int) -> Iterator[Any]:
        batches = self._file.iter_batches(
            batch_size=self._rows,
            row_groups=[group],
            columns=self._names,
            use_threads=self._use_threads,
        )
        while True:
            with self._lock:  # two threads share one file
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _array(self, batch: Any) -> npt.NDArray[Any]:
        block = np.empty((batch.num_rows, len(self._names)), dtype=self.dtype)
        for j, name in enumerate(self._names):
            column = batch.column(name)
            # null becomes NaN, which the check of values reports
            block[:, j] = column.cast(self._arrow_type, safe=False).to_numpy(zero_copy_only=False)
        return block
