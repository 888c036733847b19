"""The process that compiles a share of the customers (compiling.py): what to do on stdin, what came of it on stdout, a
few hundred at a time, so that neither side holds much, and None at the end."""

from __future__ import annotations

import gc
import pickle
import sys

from reconciler.load.compiling import came

AT_ONCE = 500  # folders


def main() -> None:
    gc.disable()  # good folders make no cycles: 32 MB for 10,000 of them with and without it, in 9 % less time
    root, folders, terms = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    for start in range(0, len(folders), AT_ONCE):
        some = folders[start : start + AT_ONCE]
        pickle.dump({path: came(root, path, walked, terms) for path, walked in some}, sys.stdout.buffer)
    pickle.dump(None, sys.stdout.buffer)


if __name__ == "__main__":
    main()
