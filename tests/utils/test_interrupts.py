"""A signal whose exception was swallowed is raised again."""

import contextlib
import signal

import pytest

from partwise.utils import interrupts
from partwise.utils.threads import run_tasks


@pytest.fixture
def _listening():
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    interrupts.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupts._came.clear()


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, interrupts.Terminated)],
)
def test_swallowed_signals_end_the_next_work(number, kind):
    assert run_tasks(1, [lambda: 1]) == [1]
    with contextlib.suppress(kind):
        signal.raise_signal(number)
    with pytest.raises(kind):
        run_tasks(1, [lambda: 1])


@pytest.mark.usefixtures("_listening")
def test_listening_anew_forgets():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    interrupts.listen()
    interrupts.check()
