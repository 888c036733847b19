"""`python -m tests.campaign [WORD…]`: the whole fault campaign, or its tasks that hold all of these words."""

from __future__ import annotations

import sys

from tests.campaign.campaign import Figures, campaign, processes, tasks, told


def main(words: list[str]) -> int:
    every = [task for task in tasks() if all(word in f"{task.plan} {task.fault} {task.workers}" for word in words)]
    found: list[Figures] = []
    for one in campaign(every, processes()):
        found.append(one)
        task, ends = one.task, ", ".join(f"{count} {end}" for end, count in one.ends.items())
        print(
            f"{len(found)} of {len(every)}: {task.plan}, {task.fault}, {task.workers} at a time: "
            f"{one.converged} of {one.positions} converged after {one.worst} at most ({ends})",
            file=sys.stderr,
            flush=True,
        )
        for broken in one.broken:
            print(broken, file=sys.stderr, flush=True)
    print(told(found))
    return 1 if any(one.broken for one in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
