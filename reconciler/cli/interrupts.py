"""Ctrl-C is always heard, also where Python drops it.

Law: a program that is asked to stop stops, whatever it was at.

Python runs a signal's handler between two instructions of the main thread. Where those belong to a callback that has
nobody to raise to (a __del__, or that of a weak reference, which the import system has for each module), the interrupt
is printed as "Exception ignored in" and the program goes on: one of 150 while modules are imported, on Python 3.11.
The import system may then stay locked, and the first other thread that imports waits for ever.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = "interrupted: nothing more is done"


class EveryInterruptHeard:
    """Within it, an interrupt that is dropped ends the process: nothing that would come after can be relied on, and
    what is written is written so that a kill does no harm (tests/campaign/killing.py)."""

    def __enter__(self) -> None:
        self._before = sys.unraisablehook
        sys.unraisablehook = self._dropped

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._before

    def _dropped(self, what: sys.UnraisableHookArgs) -> None:
        if not was_interrupted(what.exc_value):
            self._before(what)
            return
        os.write(2, f"{INTERRUPTED}\n".encode())  # past Python's streams, which this may have come in the middle of
        os._exit(1)


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came of an interrupt: Python 3.11 makes a RuntimeError of one that comes while it makes a
    dataclass."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or was_interrupted(error.__cause__))
