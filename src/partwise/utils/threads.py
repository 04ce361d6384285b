"""Threads: how many, one shared pool, and BLAS kept to one thread inside it.

Results never depend on the number of threads, because tasks are cut by the data and their results
come back in order; the number only says how many run at a time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from partwise.exceptions import UsageError
from partwise.utils.interrupts import check

__all__ = ["resolve_threads", "run_tasks", "single_thread_blas"]

T = TypeVar("T")

_ENVIRONMENT = "PARTWISE_NUM_THREADS"
_here = threading.local()  # .busy: this thread is running a task
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_pool_lock = threading.Lock()


def resolve_threads(n_threads: int | None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_threads
        What the caller asked for; None means $PARTWISE_NUM_THREADS and, where that is not set,
        the CPUs that this process may use.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    UsageError
        If the number, or the variable, is not a whole number of at least 1.

    Examples
    --------
    >>> resolve_threads(3)
    3
    """
    if n_threads is None:
        text = os.environ.get(_ENVIRONMENT, "").strip()
        if not text:
            return _usable_cpus()
        try:
            n_threads = int(text)
        except ValueError:
            raise UsageError(f"{_ENVIRONMENT} must be a whole number, not {text!r}") from None
    if isinstance(n_threads, bool) or not hasattr(n_threads, "__index__") or n_threads < 1:
        raise UsageError(
            f"the number of threads must be a whole number from 1 up, not {n_threads!r}"
        )
    return int(n_threads)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Batch(Generic[T]):
    """Tasks that several threads take one by one, in order."""

    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self.tasks = tasks
        self.results: list[Any] = [None] * len(tasks)
        self.errors: dict[int, BaseException] = {}
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """Return the number of a task nobody has begun; None when all are, or one failed."""
        with self._lock:
            if self.errors or self._next >= len(self.tasks):
                return None
            self._next += 1
            return self._next - 1

    def stop(self) -> None:
        """Let nobody begin another task."""
        with self._lock:
            self._next = len(self.tasks)

    def work(self) -> None:
        """Run tasks until none is left."""
        _here.busy = True
        try:
            while (index := self.take()) is not None:
                try:
                    self.results[index] = self.tasks[index]()
                except Exception as error:
                    with self._lock:
                        self.errors[index] = error
        finally:
            _here.busy = False


def run_tasks(n_threads: int, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run `tasks`, at most `n_threads` at a time, and return their results in order.

    The calling thread takes part. A call from inside a task runs its tasks one after another in
    that thread, so nested calls neither deadlock nor use more threads than were asked for. Tasks
    gain from threads only while they release the interpreter's lock, as our kernels do.

    Parameters
    ----------
    n_threads
        How many tasks may run at a time.
    tasks
        Functions without arguments. After one failed, no other is begun.

    Returns
    -------
    list
        What the tasks returned.

    Raises
    ------
    Exception
        What the first (in order) of the failed tasks raised.

    Examples
    --------
    >>> run_tasks(2, [lambda: 1, lambda: 2, lambda: 3])
    [1, 2, 3]
    """
    check()
    helpers = min(n_threads, len(tasks)) - 1
    if helpers < 1 or getattr(_here, "busy", False):
        return [task() for task in tasks]
    batch = _Batch(tasks)
    futures = _submit(batch.work, helpers)
    try:
        batch.work()
    except BaseException:  # Ctrl-C in this thread: the helpers finish what they began, no more
        batch.stop()
        raise
    finally:
        for future in futures:
            if not future.cancel():
                future.result()
    if batch.errors:
        raise batch.errors[min(batch.errors)]
    return batch.results


def _submit(work: Callable[[], None], helpers: int) -> list[Future[None]]:
    """Hand `work` to that many threads of the shared pool, which grows when it must."""
    global _pool, _pool_size
    with _pool_lock:
        if _pool is None or _pool_size < helpers:
            if _pool is not None:
                _pool.shutdown(wait=False)  # what it was given still gets done
            _pool = ThreadPoolExecutor(helpers, thread_name_prefix="partwise")
            _pool_size = helpers
        return [_pool.submit(work) for _ in range(helpers)]


def _forget_pool() -> None:
    """Start afresh in a forked child: the parent's threads do not exist there."""
    global _pool, _pool_size, _pool_lock
    _pool, _pool_size, _pool_lock = None, 0, threading.Lock()
    _here.busy = False
    _blas.reset()


class _SingleThreadBlas:
    """Counts who wants BLAS single-threaded; the last who leaves restores what the first found.

    Without the count, two threads whose stays overlap would restore each other's setting.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all stays."""
        self._lock = threading.Lock()
        self._stays = 0
        self._before: list[int] = []

    def enter(self) -> None:
        """Begin a stay."""
        libraries = _blas_libraries()
        with self._lock:
            if self._stays == 0:
                self._before = [library.num_threads for library in libraries]
            self._stays += 1
            # every time, because a BLAS on OpenMP keeps the number per thread
            for library in libraries:
                _set_blas_threads(library, 1)

    def leave(self) -> None:
        """End a stay."""
        with self._lock:
            self._stays -= 1
            if self._stays == 0:
                for library, number in zip(_blas_libraries(), self._before, strict=True):
                    _set_blas_threads(library, number)


_blas = _SingleThreadBlas()


@functools.cache
def _blas_libraries() -> list[Any]:
    """Return threadpoolctl's handles of all BLAS libraries; finding them takes ms, so once."""
    import numpy  # noqa: F401  (they must be loaded to be found)
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_blas_threads(library: Any, number: int) -> None:
    # since 3.8 the public call works only in the thread that called it first; the last who leaves
    # may be another, so take the call beneath it where there is one
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


@contextlib.contextmanager
def single_thread_blas() -> Iterator[None]:
    """Keep BLAS to one thread: our own threads divide the work, and bits must not depend on it.

    Examples
    --------
    >>> with single_thread_blas():
    ...     pass
    """
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
