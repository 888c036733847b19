"""The command line: parse, call, print, exit.

exit   meaning
----   -------------------------------------------------------------------
   0   done, or nothing to do
   1   failed: problems in the repository, or an API error
   2   wrong usage
   3   changes pending (plan --exit-code)
   4   drift found (drift)
   5   refused by a guard: caps, protection, missing proof
   6   not the reviewed plan (--expect, --plan)
   7   partly applied: some changes failed or were not started
"""

from __future__ import annotations

import sys

from reconciler.cli.interrupts import INTERRUPTED, Interruptible

TYPE_CHECKING = False  # as in interrupts.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run these words, or the process's own, and exit."""
    try:
        with Interruptible():
            from reconciler.cli.commands import run  # takes 50 ms, in which a Ctrl-C may come already

            code = run(words)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        code = 1
    sys.exit(code)
