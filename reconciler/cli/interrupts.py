"""Ctrl-C ends a run that only looks: in order where that takes no time, else at once.

Law: a program that is asked to stop stops, whatever it was at. What is written is written so that a kill does no harm
(tests/campaign/killing.py). `apply` and `dev` have handlers of their own for when there is more to end.

why it would not        what is done about it
----------------------  ----------------------------------------------------------------------------------------------
a thread waits for the  the interrupt comes to the main thread alone, which then waits for the others: after PATIENCE,
API, for minutes        or at the second Ctrl-C, nobody is waited for
Python drops it         it comes within a callback that has nobody to raise to (a __del__, or that of a weak reference,
                        as the import system has for each module: one of 150 while modules are imported). The run would
                        go on, with the import system perhaps locked for ever: it ends at once
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what typing calls so; to import it takes 10 ms, in which a Ctrl-C would show a traceback
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = "interrupted: nothing more is done"
PATIENCE = 3.0  # seconds for threads to come to an end, and folders that were only for this run to go


class Interruptible:
    """Within it a Ctrl-C raises KeyboardInterrupt, and the process is over soon after, wherever that leads."""

    def __enter__(self) -> None:
        self._asked = self._over = False
        self._dropped_before, sys.unraisablehook = sys.unraisablehook, self._dropped
        import signal
        import threading

        self._is_main = threading.current_thread() is threading.main_thread()  # which alone may have handlers
        if self._is_main:
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def __exit__(self, *_: object) -> None:
        import signal

        self._over = True
        sys.unraisablehook = self._dropped_before
        if self._is_main:
            signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        import threading

        if self._asked:
            self._end()
        self._asked = True
        later = threading.Timer(PATIENCE, self._end)
        later.daemon = True
        later.start()
        raise KeyboardInterrupt

    def _dropped(self, what: sys.UnraisableHookArgs) -> None:
        if was_interrupted(what.exc_value):
            self._end()
        self._dropped_before(what)

    def _end(self) -> None:
        if not self._over:  # else it is told already, and threads are waited for
            os.write(2, f"{INTERRUPTED}\n".encode())  # past Python's streams: this may have come in the middle of one
        os._exit(1)


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came of an interrupt: Python 3.11 makes a RuntimeError of one that comes while it makes a
    dataclass."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or was_interrupted(error.__cause__))
