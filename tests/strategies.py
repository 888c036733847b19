"""Random situations for the laws: two states over a few keys, a policy, and what goes wrong on the way.

A situation is read off a string of bytes, each byte one choice and zero the plainest one: one draw makes a whole
situation (a millisecond for two states with their needs), and a failing one shrinks to the plainest that still fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from reconciler.model import Key, Resource, State, digest
from reconciler.plan.guards import Caps, Policy

OWNER = "acme"
KEYS = (
    *(Key("user_worker", f"w{number}") for number in range(5)),
    Key("outbound_worker", "guard"),
    Key("outbound_worker", "w0"),  # the name of a user Worker too: kinds must not be mixed up
    Key("dispatcher", "dispatch"),
    Key("route", "*.acme.app/*"),
    Key("route", "acme.app/*"),
)
CUSTOMERS = ("globex", "initech", "")


@dataclass(frozen=True)
class Situation:
    desired: State
    live: State
    policy: Policy
    failing: frozenset[Key]  # changes that fail when they are tried
    stop_after: int  # how many times apply may ask before it is told to stop
    workers: int


class _Choices:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def one_of(self, amount: int) -> int:
        """0 to amount - 1; 0 once the bytes have run out."""
        self._at += 1
        return self._content[self._at - 1] % amount if self._at <= len(self._content) else 0


def situations() -> st.SearchStrategy[Situation]:
    """Anything: foreign and half-marked resources, protection, caps, approvals, renames, scopes, a partial listing."""
    return st.binary(min_size=160, max_size=300).map(_anything)


def owned() -> st.SearchStrategy[Situation]:
    """All that is live is ours, and no guard has a reason to say no."""
    return st.binary(min_size=120, max_size=240).map(_owned)


def _owned(content: bytes) -> Situation:
    choices = _Choices(content)
    desired, live = _states(choices)
    anchor = Resource(Key("user_worker", "anchor"), digest=digest("anchor"), owner=OWNER)  # the tree is not empty
    policy = Policy(OWNER, prune=True, caps=Caps(10**6, 100, 100))
    return _situation(choices, State.of([*desired, anchor]), State.of(live), policy)


def _anything(content: bytes) -> Situation:
    choices = _Choices(content)
    desired, live = _states(choices)
    names = [f"w{number}" for number in range(5)]
    policy = Policy(
        OWNER,
        prune=choices.one_of(4) != 3,
        caps=Caps((25, 0, 1, 2)[choices.one_of(4)], (100, 0, 20, 50)[choices.one_of(4)], (100, 50)[choices.one_of(2)]),
        approved=frozenset(name for name in names if choices.one_of(8) == 7),
        allow_deletes=(0, 0, 1, 3)[choices.one_of(4)],
        adopt=frozenset(name for name in names if choices.one_of(8) == 7),
        scope=(frozenset[str](), frozenset({"globex"}), frozenset({"globex", "initech"}))[choices.one_of(3)],
    )
    listing = "the cursor came round again" if choices.one_of(8) == 7 else ""
    wanted = State.of(_renaming(one, choices) for one in desired)
    there = State.of((_marked(one, choices) for one in live), incomplete_because=listing)
    return _situation(choices, _scoped(wanted, there, policy.scope), there, policy)


def _scoped(desired: State, live: State, scope: frozenset[str]) -> State:
    """Under a scope, what is looked at needs only what is looked at or live: kinds/dispatcher.py routes the others'
    scripts as they are."""

    def looked_at(one: Resource) -> bool:
        return not scope or not one.customer or one.customer in scope

    resources = desired.resources
    possible = live.resources.keys() | {key for key, one in resources.items() if looked_at(one)}
    return State.of(
        _with_needs(one, one.needs & possible) if looked_at(one) and one.needs - possible else one
        for one in resources.values()
    )


def _with_needs(one: Resource, needs: frozenset[Key]) -> Resource:
    """What a resource needs is part of what it is, so that its digest follows."""
    return replace(one, needs=needs, digest=digest([one.digest, sorted(map(str, needs))]))


def _situation(choices: _Choices, desired: State, live: State, policy: Policy) -> Situation:
    return Situation(
        desired,
        live,
        policy,
        frozenset(key for key in KEYS if choices.one_of(5) == 4),
        choices.one_of(12),
        1 + choices.one_of(4),
    )


def _states(choices: _Choices) -> tuple[list[Resource], list[Resource]]:
    """The two sides. Needs only go backwards in an order, so they have no circle; each side may have its own order."""
    order = _turned(KEYS, choices)
    desired = _side(order, choices)
    live = _side(_turned(KEYS, choices) if choices.one_of(2) else order, choices)
    alike = {one.key: one for one in desired}
    there = {one.key for one in live}
    copied = [
        alike[one.key] if choices.one_of(2) and one.key in alike and alike[one.key].needs <= there else one
        for one in live
    ]
    return desired, copied


def _turned(keys: Sequence[Key], choices: _Choices) -> list[Key]:
    start = choices.one_of(len(keys))
    turned = [*keys[start:], *keys[:start]]
    return turned[::-1] if choices.one_of(2) else turned


def _side(order: Sequence[Key], choices: _Choices) -> list[Resource]:
    found: list[Resource] = []
    for key in order:
        if choices.one_of(2):
            needs = frozenset(one.key for one in found if choices.one_of(4) == 3)
            customer = CUSTOMERS[choices.one_of(3)] if key.kind == "user_worker" else ""
            one = Resource(key, digest=f"version {choices.one_of(2)}", owner=OWNER, customer=customer)
            found.append(_with_needs(one, needs))
    return found


def _renaming(one: Resource, choices: _Choices) -> Resource:
    old = f"w{choices.one_of(5)}"
    return replace(one, previously=(old,)) if choices.one_of(5) == 4 and old != one.key.name else one


def _marked(one: Resource, choices: _Choices) -> Resource:
    mark = choices.one_of(8)
    return replace(
        one,
        owner={6: "", 7: "other"}.get(mark, OWNER),
        claimed=mark >= 6 and choices.one_of(2) == 1,
        altered=choices.one_of(8) == 7,
        protected=choices.one_of(8) == 7,
        digest="" if choices.one_of(16) == 15 else one.digest,
        verified=choices.one_of(2) == 0,
    )
