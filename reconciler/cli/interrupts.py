"""Ctrl-C is always heard: one that Python drops is sent again.

Law: a program that is asked to stop stops, whatever it was at.

Python runs a signal's handler between two instructions of the main thread. Where those belong to a callback that has
nobody to raise to (of a weak reference, as its import system makes for each module, or a __del__), the interrupt is
printed as "Exception ignored in" and the program goes on: one of 150 while modules are imported, on Python 3.11.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SOON = 0.01  # seconds, after which the callback is over


@contextmanager
def every_interrupt_heard() -> Iterator[None]:
    """Within it, for the whole process."""
    before = sys.unraisablehook

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            before(what)
            return
        again = threading.Timer(SOON, _interrupt)
        again.daemon = True
        again.start()

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    """As the terminal does it, so that a call of the system that the main thread waits in ends too."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
