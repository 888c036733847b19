"""What may befall one call of a run, and how the run may end then.

A fault of a call takes the place of its answer; one of the machine happens beside it. To add one: a function and its
row in FAULTS.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from reconciler.look.transport import LARGEST_REPLY
from tests.scenarios.platform import Killed, Platform

Answer = Callable[[], httpx.Response]
BLOCK = 300.0  # seconds: what Cloudflare asks of who went past the limit
HOUR, DAY = 3_600.0, 86_400.0
FROM_HERE_ON = 10**6

# How a run ends.
DONE = "done"  # exit 0: everything is applied
REFUSED = "refused"  # exit 1: nothing was written, and it says why
IN_PART = "in part"  # exit 7: it says what failed and why
NAMED = "named"  # exit 7: a name is taken for someone else's, and it says how to take it over
UNTOLD = "untold"  # exit 1: everything is applied, and could not be told
KILLED = "killed"
MENDED = frozenset({DONE})
EITHER = frozenset({DONE, IN_PART})  # a POST that may have been processed is not sent twice
STOPPED = frozenset({REFUSED, IN_PART})
ANY = MENDED | STOPPED
FORGETFUL = MENDED | {NAMED}  # what was ours by memory alone is someone's without it


@dataclass
class Scene:
    """One run: what faults of the machine reach for."""

    platform: Platform
    stdout: int  # file descriptors
    stderr: int
    audit: Path
    budget: Path
    wall_offset: float = 0.0  # seconds that this machine's wall clock is wrong
    blocked_until: float | None = None


@dataclass(frozen=True)
class Fault:
    strike: Callable[[Scene, Answer], httpx.Response]
    ends: frozenset[str]
    times: int = 1


# What the server or the way to it does


def rate_limited(scene: Scene, answer: Answer) -> httpx.Response:
    return too_many({"retry-after": str(round(BLOCK))})


def rate_limited_bare(scene: Scene, answer: Answer) -> httpx.Response:
    return too_many({})


def rate_limited_until(scene: Scene, answer: Answer) -> httpx.Response:
    """By a date, which a machine whose clock is a day behind must not take for a day."""
    scene.wall_offset = -DAY
    dates = {"date": "Tue, 24 Nov 2026 00:00:00 GMT", "retry-after": "Tue, 24 Nov 2026 00:05:00 GMT"}
    return too_many(dates)


def blocked(scene: Scene, answer: Answer) -> httpx.Response:
    """Everything is refused for five minutes from here on, as past 1,200 requests."""
    now = scene.platform.clock()
    scene.blocked_until = scene.blocked_until or now + BLOCK
    left = scene.blocked_until - now
    return too_many({"retry-after": str(max(1, round(left)))}) if left > 0 else answer()


def too_many(headers: Mapping[str, str]) -> httpx.Response:
    return httpx.Response(429, headers=headers, json={"success": False, "errors": [{"code": 971, "message": "slow"}]})


def server_error(scene: Scene, answer: Answer) -> httpx.Response:
    return httpx.Response(500, json={"success": False, "errors": [{"code": 10002, "message": "internal"}]})


def bad_gateway(scene: Scene, answer: Answer) -> httpx.Response:
    return httpx.Response(502, html="<html><title>502 Bad Gateway</title></html>")


def page_for_all(scene: Scene, answer: Answer) -> httpx.Response:
    """What a captive portal answers."""
    return httpx.Response(200, html="<html><title>Welcome to our hotel</title></html>")


def never_connected(scene: Scene, answer: Answer) -> httpx.Response:
    raise httpx.ConnectTimeout("no connection in time")


def timed_out(scene: Scene, answer: Answer) -> httpx.Response:
    scene.platform.clock.sleep(60)
    raise httpx.ReadTimeout("no reply in time")


def timed_out_after(scene: Scene, answer: Answer) -> httpx.Response:
    answer()
    return timed_out(scene, answer)


def dropped_before(scene: Scene, answer: Answer) -> httpx.Response:
    raise httpx.ReadError("the connection was dropped before the call was processed")


def dropped_after(scene: Scene, answer: Answer) -> httpx.Response:
    answer()
    raise httpx.ReadError("the connection was dropped when the call was processed")


def truncated(scene: Scene, answer: Answer) -> httpx.Response:
    reply = answer()
    half = reply.content[: len(reply.content) // 2]

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield half
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    return httpx.Response(reply.status_code, headers={"content-type": "application/json"}, stream=Stream())


def oversized(scene: Scene, answer: Answer) -> httpx.Response:
    answer()
    piece = b" " * 2**24

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from [piece] * (LARGEST_REPLY // len(piece) + 1)

    return httpx.Response(200, stream=Stream())


def invalid_json(scene: Scene, answer: Answer) -> httpx.Response:
    return httpx.Response(200, content=answer().content[:-1] + b",", headers={"content-type": "application/json"})


def wrong_shape(scene: Scene, answer: Answer) -> httpx.Response:
    answer()
    return httpx.Response(200, json=["success", True])


def wrong_result(scene: Scene, answer: Answer) -> httpx.Response:
    """An envelope as it should be, and in it something else than was asked for."""
    body = {"success": True, "errors": [], "messages": [], "result": 17, "result_info": ["cursor"]}
    answer()
    return httpx.Response(200, json=body)


def nothing_in_it(scene: Scene, answer: Answer) -> httpx.Response:
    """An envelope whose result was lost. A listing without rows is told from an empty one by the namespace's count."""
    answer()
    return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": None})


def unsuccessful(scene: Scene, answer: Answer) -> httpx.Response:
    return httpx.Response(
        200, json={"success": False, "result": None, "errors": [{"code": 10002, "message": "internal"}]}
    )


# What this machine does


def killed_before(scene: Scene, answer: Answer) -> httpx.Response:
    raise Killed


def killed_after(scene: Scene, answer: Answer) -> httpx.Response:
    answer()
    raise Killed


def slept_for_an_hour(scene: Scene, answer: Answer) -> httpx.Response:
    scene.platform.clock.sleep(HOUR)
    return answer()


def clock_set_forward(scene: Scene, answer: Answer) -> httpx.Response:
    scene.wall_offset = DAY
    return answer()


def clock_set_back(scene: Scene, answer: Answer) -> httpx.Response:
    scene.wall_offset = -DAY
    return answer()


def budget_damaged(scene: Scene, answer: Answer) -> httpx.Response:
    scene.budget.write_bytes(b"\x00\xff" * 5_000)
    return answer()


def ledger_lost(scene: Scene, answer: Answer) -> httpx.Response:
    scene.platform.forget()
    return answer()


def ledger_damaged(scene: Scene, answer: Answer) -> httpx.Response:
    scene.platform.forget()
    scene.platform.ledger.write_bytes(b"SQLite format 3\x00" + b"\xa5" * 20_000)
    return answer()


def ledger_unusable(scene: Scene, answer: Answer) -> httpx.Response:
    """As on a read-only disk: from here on it can be neither read nor made."""
    scene.platform.forget()
    shutil.rmtree(scene.platform.ledger, ignore_errors=True)
    scene.platform.ledger.mkdir()
    return answer()


def ledger_on_a_full_disk(scene: Scene, answer: Answer) -> httpx.Response:
    scene.platform.forget()
    scene.platform.ledger.symlink_to("/dev/full")
    return answer()


def output_full(scene: Scene, answer: Answer) -> httpx.Response:
    fill(scene.stdout)
    return answer()


def talk_full(scene: Scene, answer: Answer) -> httpx.Response:
    fill(scene.stderr)
    return answer()


def audit_full(scene: Scene, answer: Answer) -> httpx.Response:
    """Where the file is open by now."""
    for handle in Path("/proc/self/fd").iterdir():
        if handle.is_symlink() and os.path.realpath(handle) == os.path.realpath(scene.audit):
            fill(int(handle.name))
    return answer()


def fill(descriptor: int) -> None:
    """From here on every write to it fails with "no space left"."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)


FAULTS: Mapping[str, Fault] = {
    "429 with Retry-After": Fault(rate_limited, MENDED),
    "429 with a date, clock a day behind": Fault(rate_limited_until, MENDED),
    "429 without Retry-After": Fault(rate_limited_bare, MENDED),
    "429 for five minutes": Fault(blocked, MENDED, FROM_HERE_ON),
    "500": Fault(server_error, EITHER),
    "500 from here on": Fault(server_error, STOPPED, FROM_HERE_ON),
    "502 page": Fault(bad_gateway, EITHER),
    "502 page from here on": Fault(bad_gateway, STOPPED, FROM_HERE_ON),
    "200 page": Fault(page_for_all, STOPPED),
    "never connected": Fault(never_connected, MENDED),
    "timed out": Fault(timed_out, EITHER),
    "timed out, processed": Fault(timed_out_after, EITHER),
    "dropped": Fault(dropped_before, EITHER),
    "dropped, processed": Fault(dropped_after, EITHER),
    "dropped from here on": Fault(dropped_before, STOPPED, FROM_HERE_ON),
    "dropped from here on, processed": Fault(dropped_after, STOPPED, FROM_HERE_ON),
    "truncated": Fault(truncated, EITHER),
    "oversized": Fault(oversized, ANY),  # what it was the answer of may be looked for
    "invalid JSON": Fault(invalid_json, ANY),
    "wrong shape": Fault(wrong_shape, ANY),
    "wrong result": Fault(wrong_result, ANY),
    "no result": Fault(nothing_in_it, ANY),
    "200 with success: false": Fault(unsuccessful, STOPPED),
    "killed": Fault(killed_before, frozenset({KILLED})),
    "killed, processed": Fault(killed_after, frozenset({KILLED})),
    "slept for an hour": Fault(slept_for_an_hour, EITHER),  # a session for sending static files ends meanwhile
    "clock set forward": Fault(clock_set_forward, MENDED),
    "clock set back": Fault(clock_set_back, MENDED),
    "budget damaged": Fault(budget_damaged, MENDED),
    "ledger lost": Fault(ledger_lost, FORGETFUL),
    "ledger damaged": Fault(ledger_damaged, FORGETFUL),
    "ledger unusable": Fault(ledger_unusable, FORGETFUL),
    "ledger on a full disk": Fault(ledger_on_a_full_disk, FORGETFUL),
    "stdout full": Fault(output_full, frozenset({UNTOLD})),
    "stderr full": Fault(talk_full, MENDED),
    "audit full": Fault(audit_full, frozenset({DONE, IN_PART, UNTOLD})),
}
# With eight changes at a time, where other calls are on their way when one is struck.
AT_ONCE = ("500 from here on", "dropped, processed", "killed", "killed, processed", "429 for five minutes", "truncated")
