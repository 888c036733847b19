"""What scripts have in common, taken out: into defaults, tiers, and the customer's own part of its file. Pure.

Law: `over(below, said)`, laid over `below`, is `said` again (tests/property/test_import.py).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.load import layers
from reconciler.load.schema import TIER_NAME
from reconciler.model import canonical

SHARED = ("compatibility_date", "compatibility_flags", "observability", "logpush", "cache_options", "tail_consumers")
ENTRIES = ("vars", "bindings")
LIFTED = (*SHARED, "limits", "placement")
MOST_TIERS = 12  # the limits of further customers stand with them

MISSING: Any = object()
_EMPTY_LISTS = ("compatibility_flags", "tail_consumers")  # they take no null: an empty list takes away

Said = Mapping[str, Any]  # everything of a script that is not code and no tag


@dataclass(frozen=True)
class Terms:
    """What holds below customers, and on whose terms each is."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    tiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tier_of: Mapping[str, str] = field(default_factory=dict)  # by customer
    below: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by customer


def factored(said: Mapping[str, Said], ids: Mapping[str, str], tags: Mapping[str, frozenset[str]]) -> Terms:
    """New defaults and tiers for these scripts. `ids`: the customer of each."""
    defaults = _defaults(list(said.values()), several=len(set(ids.values())) > 1)
    tiers, tier_of = _tiers(said, ids, tags)
    below = {one: layers.merge(defaults, tiers.get(tier_of.get(one, ""), {})) for one in set(ids.values())}
    return Terms(defaults, tiers, tier_of, below)


def chosen(
    said: Mapping[str, Said],
    ids: Mapping[str, str],
    tags: Mapping[str, frozenset[str]],
    tiers: Mapping[str, Mapping[str, Any]],
) -> Terms:
    """Terms out of those that a repository has: the tier that a customer's scripts are tagged with, or else the first
    that has their limits. A customer that fits none gets none."""
    tier_of, below = {}, {}
    for customer, scripts in _by_customer(ids).items():
        common = frozenset.intersection(*(tags[one] for one in scripts))
        limits = {canonical(said[one].get("limits")) for one in scripts}
        fitting = [name for name in tiers if name in common]
        fitting += [name for name, data in tiers.items() if name and limits == {canonical(data.get("limits"))}]
        name = next(iter(fitting), "")
        if name:
            tier_of[customer] = name
        below[customer] = tiers.get(name, {})
    return Terms(tier_of=tier_of, below=below)


def over(below: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """What a layer has to say so that `said` holds over what is below: null takes away."""
    told = {}
    for name in [*said, *(name for name in below if name not in said and name not in ("tags", "outbound_worker"))]:
        under, value = below.get(name, MISSING), said.get(name, MISSING)
        one = _entries(under, value) if name in layers.ENTRIES else _value(under, value)
        if one is not MISSING:
            told[name] = [] if one is None and name in _EMPTY_LISTS else one
    return told


def lifted(entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What all scripts of a customer say alike, taken out of them."""
    if len(entries) < 2:
        return {}
    first, *rest = entries.values()
    alike = [
        name
        for name in LIFTED
        if name in first and all(name in one and canonical(one[name]) == canonical(first[name]) for one in rest)
    ]
    taken = {name: first[name] for name in alike}
    for entry in entries.values():
        for name in alike:
            del entry[name]
    return taken


def _value(below: Any, value: Any) -> Any:
    """MISSING: nothing has to be said."""
    if value is MISSING:
        return MISSING if below is MISSING else None
    if below is MISSING:
        return value
    if canonical(below) == canonical(value):
        return MISSING
    if isinstance(below, Mapping) and isinstance(value, Mapping):
        said = {key: _value(below.get(key, MISSING), value.get(key, MISSING)) for key in sorted({*below, *value})}
        return {key: one for key, one in said.items() if one is not MISSING}
    return value


def _entries(below: Any, value: Any) -> Any:
    """Of vars, bindings and secrets each entry is one value."""
    under, own = ({} if one is MISSING else one for one in (below, value))
    said = {name: own.get(name) for name in {**own, **under} if _differ(under.get(name, MISSING), own.get(name))}
    return said or MISSING


def _differ(below: Any, value: Any) -> bool:
    return below is MISSING or canonical(below) != canonical(value)


def _defaults(said: Sequence[Said], *, several: bool) -> dict[str, Any]:
    """For each setting that every script has, its most common value; variables and bindings that all share."""
    defaults: dict[str, Any] = {}
    for name in SHARED:
        values = [one.get(name, MISSING) for one in said]
        if not values or any(value is MISSING for value in values):
            continue
        common = _most_common(values)
        if not any(_takes_away(_value(common, value)) for value in values):
            defaults[name] = common
    for section in ENTRIES if several else ():
        first, *rest = (one.get(section, {}) for one in said)
        shared = {
            name: value
            for name, value in first.items()
            if all(name in one and not _differ(value, one[name]) for one in rest)
        }
        if shared:
            defaults[section] = shared
    return defaults


def _takes_away(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and any(_takes_away(one) for one in value.values()))


def _tiers(
    said: Mapping[str, Said], ids: Mapping[str, str], tags: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Tiers by tags where those part the customers and agree with most limits, else one for each set of limits."""
    limits = {name: one.get("limits") for name, one in said.items()}
    if not any(limits.values()):
        return {}, {}
    return _tiers_by_tag(limits, ids, tags) or _tiers_by_limits(limits, ids, tags)


def _tiers_by_tag(
    limits: Mapping[str, Any], ids: Mapping[str, str], tags: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Any], dict[str, str]] | None:
    """A few tags of which each customer has exactly one, on all of its scripts; those that fit the limits best,
    and of equals the fewest."""
    customers = _by_customer(ids)
    common = {one: frozenset.intersection(*(tags[script] for script in scripts)) for one, scripts in customers.items()}
    carried: dict[str, frozenset[str]] = {}
    for tag in sorted({tag for several in tags.values() for tag in several} - set(customers)):
        members = frozenset(one for one in customers if tag in common[one])
        elsewhere = any(tag in tags[script] for script, one in ids.items() if one not in members)
        if members and not elsewhere and re.fullmatch(TIER_NAME, tag):
            carried[tag] = members
    if len(carried) > MOST_TIERS:
        return None
    best: tuple[tuple[int, int], dict[str, Any], dict[str, str]] | None = None
    for cover in _covers(frozenset(customers), sorted(carried), carried):
        tiers, own = {}, 0
        for tag in sorted(cover):
            values = [limits[script] for one in sorted(carried[tag]) for script in customers[one]]
            usual = _most_common(values)
            tiers[tag] = {"limits": usual} if usual else {}
            own += sum(_differ(usual, value) for value in values)
            if any(isinstance(value, Mapping) and _takes_away(_value(usual, value)) for value in values if usual):
                own = len(limits)  # a part of limits takes no null
        if best is None or (own, len(cover)) < best[0]:
            best = (own, len(cover)), tiers, {one: tag for tag in cover for one in carried[tag]}
    return best[1:] if best is not None and best[0][0] * 2 < len(limits) else None


def _covers(left: frozenset[str], names: Sequence[str], carried: Mapping[str, frozenset[str]]) -> Iterator[list[str]]:
    """Every choice of names that parts what is left among them."""
    if not left:
        yield []
        return
    first = min(left)
    for name in names:
        if first in carried[name] and carried[name] <= left:
            yield from ([name, *rest] for rest in _covers(left - carried[name], names, carried))


def _tiers_by_limits(
    limits: Mapping[str, Any], ids: Mapping[str, str], tags: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A tier for each set of limits that whole customers have, the most common ones; one for customers without
    limits, and one for those whose limits are their own."""
    sets: dict[str, list[str]] = defaultdict(list)
    values = {canonical(value): value for value in limits.values()}
    for customer, scripts in _by_customer(ids).items():
        several = {canonical(limits[one]) for one in scripts}
        sets[several.pop() if len(several) == 1 else ""].append(customer)
    own = [text for text in sets if text and values[text]]
    most = sorted(own, key=lambda text: (-len(sets[text]), text))[:MOST_TIERS]
    individual = [customer for text, customers in sets.items() if text not in most for customer in customers]
    unlimited = [customer for customer in individual if customer in sets.get(canonical(None), ())]
    individual = [customer for customer in individual if customer not in unlimited]
    taken = {tag for several in tags.values() for tag in several} | set(ids.values())
    tiers: dict[str, Any] = {}
    tier_of: dict[str, str] = {}
    for text in most:
        name = _tier_name(sets[text], values[text] or {}, ids, tags, taken | set(tiers))
        tiers[name] = {"limits": values[text]}
        tier_of |= dict.fromkeys(sets[text], name)
    for wanted, customers in (("unlimited", unlimited), ("individual", individual)):
        if customers:
            name = _free(wanted, taken | set(tiers))
            tiers[name] = {}
            tier_of |= dict.fromkeys(customers, name)
    return tiers, tier_of


def _tier_name(
    customers: Sequence[str],
    limits: Mapping[str, Any],
    ids: Mapping[str, str],
    tags: Mapping[str, frozenset[str]],
    taken: set[str],
) -> str:
    """A tag that tells its scripts apart from all others, else a name made of its CPU limit."""
    members = frozenset(customers)
    common = frozenset.intersection(*(one for script, one in tags.items() if ids[script] in members))
    common -= {tag for script, one in tags.items() if ids[script] not in members for tag in one}
    common -= set(ids.values())
    for tag in sorted(common):
        if re.fullmatch(TIER_NAME, tag):
            return tag
    return _free(f"cpu-{limits['cpu_ms']}" if "cpu_ms" in limits else f"subrequests-{limits['subrequests']}", taken)


def _free(name: str, taken: set[str]) -> str:
    return next(one for one in _numbered(name) if one not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _by_customer(ids: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for script, customer in sorted(ids.items()):
        found[customer].append(script)
    return dict(sorted(found.items()))


def _most_common(values: Sequence[Any]) -> Any:
    texts = [canonical(value) for value in values]
    best = min(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))[0]
    return values[texts.index(best)]
