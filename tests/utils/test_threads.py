import os
import threading
import time

import pytest

from partwise.exceptions import UsageError
from partwise.utils.threads import resolve_threads, run_tasks, single_thread_blas


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_results_come_in_order(n_threads):
    def task(i):
        time.sleep(0.001 * (i % 3))
        return i

    tasks = [lambda i=i: task(i) for i in range(23)]
    assert run_tasks(n_threads, tasks) == list(range(23))


def test_no_tasks():
    assert run_tasks(2, []) == []


def test_one_thread_runs_in_the_calling_thread():
    me = threading.get_ident()
    assert run_tasks(1, [threading.get_ident] * 3) == [me] * 3


def test_at_most_n_threads_run_at_a_time_even_on_a_larger_pool():
    run_tasks(6, [lambda: None] * 6)
    lock, now, most = threading.Lock(), [0], [0]

    def task():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1

    run_tasks(2, [task] * 20)
    assert most[0] <= 2


def test_nested_calls_run_inline_and_do_not_deadlock():
    def inner():
        return run_tasks(4, [threading.get_ident] * 4)

    for idents in run_tasks(4, [inner] * 16):
        assert len(set(idents)) == 1
    # and the thread is free again afterwards
    assert run_tasks(2, [lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_the_first_error_is_raised_and_no_task_begins_after_it(n_threads):
    begun = []

    def task(i):
        begun.append(i)
        if i == 3:
            raise ValueError("task 3")
        time.sleep(0.002)

    with pytest.raises(ValueError, match="task 3"):
        run_tasks(n_threads, [lambda i=i: task(i) for i in range(100)])
    assert len(begun) < 20


def test_interrupt_in_the_calling_thread_stops_the_helpers():
    me, begun = threading.get_ident(), []

    def task():
        begun.append(1)
        time.sleep(0.002)
        if threading.get_ident() == me:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(2, [task] * 200)
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count < 50


def test_calls_from_several_threads():
    results = {}

    def call(name):
        results[name] = run_tasks(3, [lambda i=i: (name, i) for i in range(50)])

    threads = [threading.Thread(target=call, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {name: [(name, i) for i in range(50)] for name in range(5)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_its_own_pool():
    run_tasks(2, [lambda: None] * 2)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, repr(run_tasks(2, [lambda: 4, lambda: 5])).encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"[4, 5]"
    os.waitpid(child, 0)


def test_resolve_threads(monkeypatch):
    monkeypatch.delenv("PARTWISE_NUM_THREADS", raising=False)
    assert resolve_threads(None) >= 1
    assert resolve_threads(5) == 5
    monkeypatch.setenv("PARTWISE_NUM_THREADS", "3")
    assert resolve_threads(None) == 3
    assert resolve_threads(2) == 2
    for bad in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("PARTWISE_NUM_THREADS", bad)
        with pytest.raises(UsageError, match="whole number"):
            resolve_threads(None)


@pytest.mark.parametrize("bad", [0, -3, 1.5, True, "2"])
def test_resolve_threads_refuses(bad):
    with pytest.raises(UsageError, match="number of threads"):
        resolve_threads(bad)


def _blas_threads():
    from threadpoolctl import threadpool_info

    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def test_single_thread_blas_nests_and_restores():
    import scipy.linalg  # noqa: F401

    before = _blas_threads()
    with single_thread_blas(), single_thread_blas():
        assert set(_blas_threads()) <= {1}
    assert _blas_threads() == before


def test_overlapping_stays_in_two_threads_restore_at_the_end():
    with single_thread_blas():
        pass
    before = _blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with single_thread_blas():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with single_thread_blas():
        thread.start()
        inside.wait()
    assert set(_blas_threads()) <= {1}
    leave.set()
    thread.join()
    assert _blas_threads() == before
