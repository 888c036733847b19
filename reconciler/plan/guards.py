"""What may be deleted: proofs, caps, protection and approvals.

A delete needs a whole listing, a tree that is not empty, a run without problems, and room under the caps, or an
approval by name. Law: whatever is not allowed is withheld and named, with the exact way to allow it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from reconciler.errors import Problem, Where
from reconciler.model import Key, Resource, State

NAMES_TO_COPY = 50  # of an approval
# Refusals of deletes that are most often a wrong branch or a half-made checkout, and not what anyone wants.
SLIPS = frozenset({"tree-empty", "too-many-deletes"})
USER_WORKER = "user_worker"  # the caps count these; all else that is deleted goes along with them


@dataclass(frozen=True, slots=True)
class Caps:
    """How many of our own user Workers one run may delete; both hold, and the percentage is at least one Worker."""

    count: int = 25
    percent: int = 20
    customer_percent: int = 100
    where: Where | None = None

    def of(self, live: int) -> int:
        return min(self.count, max(1, live * self.percent // 100))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a run may do: made from platform.yaml and the command line."""

    owner: str
    namespace: str = ""
    environment: str = ""
    prune: bool = False
    caps: Caps = field(default_factory=Caps)
    approved: frozenset[str] = frozenset()  # names that an unexpired approval lets go
    allow_deletes: int = 0  # --allow-deletes: a cap for this run, instead of the others
    adopt: frozenset[str] = frozenset()  # names, and patterns with * for scripts that carry nobody's mark
    scope: frozenset[str] = frozenset()  # customers; empty for all

    def adopts(self, foreign: Resource) -> bool:
        """A pattern never takes what another platform has marked, nor anything but scripts: those go by name."""
        if foreign.key.name in self.adopt:
            return True
        if foreign.owner or foreign.key.kind != USER_WORKER:
            return False
        return any("*" in one and fnmatchcase(foreign.key.name, one) for one in self.adopt)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of the asked-for deletes are not carried out, and why."""

    withheld: frozenset[Key]
    refusals: tuple[Problem, ...]


def kept_names(deletes: Iterable[Resource], renamed: frozenset[Key], policy: Policy) -> frozenset[Key]:
    """The old names that protection keeps: what would replace them is held back."""
    return frozenset(one.key for one in deletes if one.key in renamed and _is_kept(one, policy))


def judge(
    deletes: Sequence[Resource],
    renamed: frozenset[Key],
    puts: frozenset[Key],
    desired: State,
    live: State,
    policy: Policy,
    *,
    problems: int,
    blocked: int,
) -> Verdict:
    """Decide on every delete of a run.

    finding                                withheld                     way out
    ------------------------------------   --------------------------   ------------------------------
    the listing is not proven whole        all                          run again; `reconciler doctor`
    the tree holds no user Worker          all                          approve each by name
    the run has problems                   all                          solve them
    a protected resource                   that one                     `protect: false`, or approve it
    a put waits for a protected name       all                          the same
    over the cap of the namespace          all but renames, approved    approve, or --allow-deletes N
    over a customer's cap                  that customer's              approve, or --allow-deletes N
    what stays needs it                    that one                     comes with the delete of what stays

    Renames and approved names do not count towards a cap. `puts`: the keys that this run creates or updates;
    `blocked`: how many it should and cannot.
    """
    if not deletes:
        return Verdict(frozenset(), ())
    every = frozenset(one.key for one in deletes)
    stop = _no_proof(deletes, desired, live, policy, problems)
    if stop is not None:
        return Verdict(every, (stop,))
    kept = [one for one in deletes if _is_kept(one, policy)]
    refusals = [_protected(one, one.key in renamed) for one in kept]
    withheld = {one.key for one in kept}
    if blocked:
        rest = [one for one in deletes if one.key not in withheld]
        return Verdict(every, (*refusals, *([_blocked(rest, blocked)] if rest else [])))
    free = [one for one in deletes if one.key in renamed or one.key.name in policy.approved]
    limited = [one for one in deletes if one.key not in withheld and one not in free]
    for refusal, keys in _over_cap(limited, live, policy):
        withheld |= keys
        refusals.append(refusal)
    needed = _needed(every, withheld, puts, live)
    if needed:
        going = every - withheld - needed
        staying = [one for key, one in live.resources.items() if key not in going and key not in puts]
        refusals.append(_still_needed([one for one in deletes if one.key in needed], staying))
    return Verdict(frozenset(withheld | needed), tuple(refusals))


def _no_proof(
    deletes: Sequence[Resource], desired: State, live: State, policy: Policy, problems: int
) -> Problem | None:
    """The reason for which this run may delete nothing at all."""
    what = _nothing_is_deleted(deletes)
    if live.incomplete_because:
        return Problem(
            what,
            why=live.incomplete_because,
            fix="run again; if it stays, `reconciler doctor` shows what the listing looks like",
            code="listing-incomplete",
        )
    empty = not any(key.kind == USER_WORKER for key in desired.resources)
    unapproved = [one for one in deletes if one.key.name not in policy.approved]
    if empty and unapproved:
        return Problem(
            what,
            why="the repository declares no script at all, which is most often a wrong branch or folder",
            fix=_approval(unapproved),
            code="tree-empty",
        )
    if problems:
        names = (
            "1 of the names that the repository wants is"
            if problems == 1
            else (f"{problems} of the names that the repository wants are")
        )
        return Problem(
            what,
            why=f"{names} not this run's to write, so the picture is not whole",
            fix="solve the problems above; the deletes then come with the next run",
            code="run-has-problems",
        )
    return None


def _over_cap(limited: Sequence[Resource], live: State, policy: Policy) -> Iterable[tuple[Problem, frozenset[Key]]]:
    counted = [one for one in limited if one.key.kind == USER_WORKER]
    ours = [one for one in live.resources.values() if one.key.kind == USER_WORKER and one.owner == policy.owner]
    caps = policy.caps
    if policy.allow_deletes:
        most, rule = policy.allow_deletes, f"--allow-deletes {policy.allow_deletes} is the limit of this run"
    else:
        most = caps.of(len(ours))
        rule = f"the limit is {caps.count} or {caps.percent} % of our live scripts, whichever is smaller"
    if len(counted) > most:
        yield (
            Problem(
                f"this run would delete {_amount(counted)} of {len(ours)}; the limit is {most}: {named(counted)}",
                caps.where,
                why=f"{rule}; large deletions are most often a wrong branch or a half-made checkout, so that nothing "
                "else goes either but what is renamed or approved",
                fix=f"if it is meant, run with --allow-deletes {len(counted)}, or {_approval(counted)}",
                code="too-many-deletes",
            ),
            frozenset(one.key for one in limited),
        )
        return
    if policy.allow_deletes:
        return
    for customer in sorted({one.customer for one in counted}):
        theirs = sum(one.customer == customer for one in ours)
        going = [one for one in counted if one.customer == customer]
        if len(going) * 100 > theirs * caps.customer_percent:
            whose = f"customer {customer}'s {theirs} scripts" if customer else f"{theirs} scripts of no known customer"
            yield (
                Problem(
                    f"this run would delete {len(going)} of {whose}: {named(going)}",
                    caps.where,
                    why=f"the limit is {caps.customer_percent} % of a customer's scripts",
                    fix=f"if it is meant, run with --allow-deletes {len(counted)}, or {_approval(going)}",
                    code="too-many-deletes-of-customer",
                ),
                frozenset(one.key for one in going),
            )


def _needed(every: frozenset[Key], withheld: set[Key], puts: frozenset[Key], live: State) -> frozenset[Key]:
    """The deletes that something needs which stays as it is; a put has dropped its need before any delete."""
    going = every - withheld
    while True:
        staying = [one for key, one in live.resources.items() if key not in going and key not in puts]
        needed = going & frozenset(need for one in staying for need in one.needs)
        if not needed:
            return every - withheld - going
        going -= needed


def _is_kept(one: Resource, policy: Policy) -> bool:
    return one.protected and one.key.name not in policy.approved


def _nothing_is_deleted(deletes: Sequence[Resource]) -> str:
    return f"nothing is deleted in this run; {_amount(deletes)} would have been: {named(deletes)}"


def _blocked(deletes: Sequence[Resource], blocked: int) -> Problem:
    changes = "1 change is" if blocked == 1 else f"{blocked} changes are"
    return Problem(
        _nothing_is_deleted(deletes),
        why=f"{changes} held back by a protected name, so that what they would have dropped may still be in use",
        fix="solve that first; the deletes then come with the next run",
        code="run-is-blocked",
    )


def _still_needed(deletes: Sequence[Resource], staying: Iterable[Resource]) -> Problem:
    verb = "is" if len(deletes) == 1 else "are"
    keys = frozenset(one.key for one in deletes)
    needed_by = ", ".join(key.told for key in sorted(one.key for one in staying if keys & one.needs)[:3])
    return Problem(
        f"{_amount(deletes)} {verb} not deleted in this run: {named(deletes)}",
        why=f"needed by what stays: {needed_by}",
        fix="let that go as well, or take it off this; both then go with one run",
        code="still-needed",
    )


def _protected(one: Resource, rename: bool) -> Problem:
    verb = "renamed" if rename else "deleted"
    return Problem(
        f"{one.key.told} is protected and is not {verb}{_whose(one)}",
        why="it carries the live tag rcn-protect, which outlives the file that set it",
        fix=f"bring it back with `protect: false` and apply once, or {_approval([one])}",
        code="protected",
    )


def _approval(deletes: Sequence[Resource]) -> str:
    names = ", ".join(one.key.name for one in deletes[:NAMES_TO_COPY]) + (", …" if len(deletes) > NAMES_TO_COPY else "")
    return f"approve it in platform.yaml: safety.approvals: [{{delete: [{names}], reason: …, expires: …}}]"


def _amount(deletes: Sequence[Resource]) -> str:
    scripts = sum(one.key.kind == USER_WORKER for one in deletes)
    if scripts == len(deletes):
        return "1 user Worker" if scripts == 1 else f"{scripts} user Workers"
    return "1 resource" if len(deletes) == 1 else f"{len(deletes)} resources"


def named(deletes: Sequence[Resource]) -> str:
    """The first ten names with their owners; the plan lists them all."""
    shown = ", ".join(f"{one.key.name}{_whose(one)}" for one in deletes[:10])
    return shown + (f" and {len(deletes) - 10} more" if len(deletes) > 10 else "")


def _whose(one: Resource) -> str:
    return f" (customer {one.customer})" if one.customer else ""
