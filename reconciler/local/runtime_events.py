"""What the platform says on workerd's standard output, as events, and who is running at each moment.

A line that begins with the mark is the platform's; the mark is random and no script can know it:

    S who                     modules begin to start          T who     they have started
    B id caller who method url customer   an invocation begins, called by another one (0: from outside)
    M id                      a suspect runs on after a wait
    E id status ms cpu n      it ended: time, CPU time, subrequests
    L id who level text       console output, up to a line with a dot alone
    X id who json             an exception that the Worker did not catch
    N id who json             a queue message, a data point
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

REMEMBERED = 16  # invocations that ended, and may still be working after their response

At = tuple[str, str]  # (namespace, script); ordinary Workers have the namespace ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the data plane."""

    kind: ClassVar[str] = "event"
    namespace: str
    script: str

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Request(Event):
    """An invocation ended: one line of the request log."""

    kind: ClassVar[str] = "request"
    id: int
    method: str  # RPC and TAIL for what is not a request
    url: str
    status: int  # 0: an exception
    milliseconds: float  # until the response began
    cpu_milliseconds: float | None  # None: this Worker has no limit, so it was not measured
    subrequests: int
    customer: str  # the outbound parameter of that name; "" when the dispatcher gave none


@dataclass(frozen=True, slots=True)
class Log(Event):
    """Something that a Worker wrote to its console."""

    kind: ClassVar[str] = "log"
    id: int  # of the invocation; 0 while modules start
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure(Event):
    """An exception that a Worker did not catch."""

    kind: ClassVar[str] = "exception"
    id: int
    name: str
    message: str
    stack: str


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something that a Worker handed to a service that only shows it here: `what` is queue-message or data-point."""

    kind: ClassVar[str] = "note"
    id: int
    what: str
    value: Any


@dataclass(frozen=True, slots=True)
class Trouble(Event):
    """The platform itself: a script was stopped, workerd was started again. Script and namespace may be empty."""

    kind: ClassVar[str] = "trouble"
    message: str


@dataclass(frozen=True, slots=True)
class _Running:
    """An invocation that has not ended."""

    at: At
    caller: int  # the invocation that waits for it; 0 for a request from outside
    method: str
    url: str
    customer: str


class Transcript:
    """Reads lines, gives events, and remembers what runs. Not safe for several writers."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._running: dict[int, _Running] = {}
        self._ended: OrderedDict[int, At] = OrderedDict()  # the last few
        self._starting: list[At] = []
        self._last: At | None = None  # who began or ran on last
        self._log: list[str] = []
        self._reading: dict[str, Callable[[str], Event | None]] = {
            "S": self._starts,
            "T": self._started,
            "B": self._begins,
            "M": self._goes_on,
            "E": self._ends,
            "L": self._logs,
            ".": self._log_ends,
            "X": self._throws,
            "N": self._notes,
        }

    def read(self, line: str) -> Event | None:
        """One line without its end."""
        if not line.startswith(self._mark):
            if self._log:
                self._log.append(line)
            return None
        word, _, rest = line[len(self._mark) :].partition(" ")
        return self._reading[word](rest)

    @property
    def idle(self) -> bool:
        """Whether nobody would lose an answer."""
        return not self._running

    def accused(self, suspects: Collection[At]) -> tuple[bool, list[At]]:
        """Who keeps the process busy, when nothing else happens: (is it certain, one or several scripts).

        Whoever waits for another one's answer is not busy. Of several others only those that are suspects already
        have told when they ran on, so that the one who did so last is known only if all of them are.
        """
        if self._starting:
            return True, [self._starting[-1]]
        callers = {one.caller for one in self._running.values()}
        busy = sorted({one.at for identity, one in self._running.items() if identity not in callers})
        busy = busy or sorted(set(self._ended.values()))  # work that goes on after the response
        if len(busy) > 1 and self._last in busy and all(at in suspects for at in busy):
            return True, [self._last]
        return len(busy) == 1, busy

    def _starts(self, rest: str) -> None:
        self._starting.append(_at(rest))

    def _started(self, rest: str) -> None:
        at = _at(rest)
        if at in self._starting:
            self._starting.remove(at)

    def _begins(self, rest: str) -> None:
        identity, caller, who, method, url, customer = rest.split(" ")
        self._starting.clear()  # the thread got here, so that no start is still busy
        self._last = _at(who)
        self._running[int(identity)] = _Running(self._last, int(caller), method, url, unquote(customer))

    def _goes_on(self, rest: str) -> None:
        identity = int(rest)
        if running := self._running.get(identity):
            self._last = running.at
        elif identity in self._ended:
            self._last = self._ended[identity]

    def _ends(self, rest: str) -> Event | None:
        identity, status, milliseconds, cpu, subrequests = rest.split(" ")
        ended = self._running.pop(int(identity), None)
        if ended is None:
            return None
        self._ended[int(identity)] = ended.at
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        measured = None if cpu == "-" else float(cpu)
        return Request(
            *ended.at, int(identity), ended.method, ended.url, int(status), float(milliseconds), measured,
            int(subrequests), ended.customer,
        )  # fmt: skip

    def _logs(self, rest: str) -> None:
        self._log = [rest]

    def _log_ends(self, _rest: str) -> Event:
        identity, who, level, message = "\n".join(self._log).split(" ", 3)
        self._log = []
        self._goes_on(identity)
        return Log(*_at(who), int(identity), level, message)

    def _throws(self, rest: str) -> Event:
        identity, who, text = rest.split(" ", 2)
        error = json.loads(text)
        return Failure(*_at(who), int(identity), error["name"], error["message"], error["stack"])

    def _notes(self, rest: str) -> Event:
        identity, who, text = rest.split(" ", 2)
        told = json.loads(text)
        return Note(*_at(who), int(identity), told["kind"], told.get("value"))


def _at(who: str) -> At:
    namespace, _, name = who.rpartition("/")
    return namespace, name
