"""Sample plans from tiny to 10,000 changes, with friendly and with hostile contents: what every format is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from reconciler.errors import Problem, Severity, Where
from reconciler.model import Key, Module, Resource, SecretReference, Worker, digest
from reconciler.plan import Action, Cause, Change, Cost, Explanation, FieldChange, Plan
from reconciler.plan.explain import explain_worker
from reconciler.plan.prices import monthly_cents

Sample = Callable[[], Plan]

# One of each thing that a terminal, a CI log, a Markdown renderer or a browser could take for its own.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",  # clears the screen, sets the title
    "a\u202etxt.exe",  # right-to-left override
    "zero\u200bwidth\ufeff",
    "::error file=x::owned",
    "##[add-mask]owned",
    "`code` ``` ````",
    "```\n# heading",
    "</details></summary>",
    "@octocat @acme/owners",
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a|b\\|c",
    "**bold** _it_ ~~no~~",
    "https://evil.example/ www.evil.example #1 GH-1",
    "line\nbreak\r\nand\ttab",
    "&lt;b&gt; &amp; \"quoted\" 'too'",
    "{{ 7 * 7 }}{% raw %}",
    "日本語 👩‍👩‍👧 é",
    "\udc80 lone surrogate",
)

SHOP_BEFORE = """\
import { greet } from "./platform_module.mjs";

const PRICES = { basic: 10, advanced: 50 };

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/price") {
      return new Response(PRICES[env.TIER]);
    }
    return new Response(greet(env.GREETING));
  },
};
"""
SHOP_AFTER = SHOP_BEFORE.replace("PRICES[env.TIER]", "String(PRICES[env.TIER] ?? PRICES.basic)").replace(
    "  async fetch(request, env) {", "  // Every reply says which tier it is for.\n  async fetch(request, env) {"
)
PLATFORM_BEFORE = b'export const greet = (name) => `Hello ${name}`;\nexport const version = "1";\n'
PLATFORM_AFTER = PLATFORM_BEFORE.replace(b'"1"', b'"2"')


def nothing() -> Plan:
    return Plan("acme", "acme-production", unchanged=4_830, cost=_cost(0, 4_830, 4_830))


def small() -> Plan:
    """A pull request as they mostly are: a few scripts of two customers, and a delete."""
    return _plan(
        [
            create("globex", "globex-landing", worker("landing.mjs", "export default {};\n", limits={"cpu_ms": 10})),
            update("globex", "globex-shop", *_shop()),
            delete("initech", "initech-old"),
        ],
        unverified=12,
        unmanaged=(Key("user_worker", "somebody-elses"),),
    )


def middling() -> Plan:
    """Every kind of change, cause and risk once, and a platform module that goes to a few hundred scripts."""
    guard_before, guard_after = worker("egress-guard.mjs", "// 1\n"), worker("egress-guard.mjs", "// 2\n")
    changes = [
        Change(
            Action.UPDATE,
            Key("outbound_worker", "egress-guard"),
            Cause.EDITED,
            _live("outbound_worker", "egress-guard", "", "1"),
            _wanted("outbound_worker", "egress-guard", "", "2"),
            explain_worker(guard_before, guard_after),
        ),
        Change(
            Action.UPDATE,
            Key("dispatcher", "acme-dispatcher"),
            Cause.EDITED,
            _live("dispatcher", "acme-dispatcher", "", "1"),
            _wanted("dispatcher", "acme-dispatcher", "", "2"),
            Explanation((FieldChange(("routes", "scripts", "globex-shop", "outbound"), "egress-guard", "strict"),)),
        ),
        create("globex", "globex-landing", worker("landing.mjs", "export default {};\n", limits={"cpu_ms": 10})),
        create("globex", "globex-store-2", worker("store.mjs", "export default {};\n"), previously=("globex-store",)),
        update("globex", "globex-shop", *_shop()),
        update("globex", "globex-api", *_limits(), cause=Cause.BOTH),
        delete("globex", "globex-store", cause=Cause.RENAMED),
        update("initech", "initech-app", *_minified(), cause=Cause.DRIFTED),
        delete("initech", "initech-old"),
        create("umbrella", "umbrella-lab", worker("lab.mjs", "export default {};\n"), cause=Cause.MISSING),
        update("umbrella", "umbrella-www", *_tags(), cause=Cause.ADOPTED),
        *_platform_module_everywhere(300, 40),
        _platform_module_and_limits("umbrella", "umbrella-api"),
    ]
    withheld = tuple(delete("hooli", f"hooli-{n}") for n in range(3))
    refusal = Problem(
        "this run would delete 4 of 12 scripts; the limit is 2: hooli-0, hooli-1, hooli-2 and 1 more",
        Where("platform.yaml", 40, 3),
        why="the limit is 25 or 20 % of our live scripts, whichever is smaller",
        fix="if it is meant, run with --allow-deletes 4",
        code="too-many-deletes",
    )
    foreign = Problem(
        'the name "billing" is taken by a script that is not ours',
        Where("customers/globex/customer.yaml", 12, 3, 7),
        why="it carries no owner mark",
        fix="rename it, or take it over with --adopt billing",
        code="foreign",
    )
    warning = Problem("the approval for old-shop expired on 2026-10-31", severity=Severity.WARNING, code="expired")
    blocked = (create("globex", "billing", worker("billing.mjs", "export default {};\n")),)
    return _plan(
        changes,
        environment="staging",
        withheld=withheld,
        blocked=blocked,
        refusals=(refusal,),
        problems=(foreign,),
        warnings=(warning,),
        unmanaged=tuple(Key("user_worker", f"theirs-{n}") for n in range(9)),
        orphans=(Key("user_worker", "kept-one"),),
        unverified=7,
    )


@cache
def large(count: int = 10_000) -> Plan:
    """Thousands of different changes over a thousand customers, most with a field and a diff, one in ten a delete."""
    return _plan(list(_many(count)))


@cache
def alike(count: int = 4_812) -> Plan:
    """A new version of the platform module: one cause, thousands of changes."""
    return _plan(list(_platform_module_everywhere(count, 1_204)))


def hostile() -> Plan:
    """Every name, path, value, module and line of code tries something."""
    changes = []
    for n, bad in enumerate(HOSTILE):
        before = Worker(bad, (_module(bad, f"{bad}\nold {n}\n"),), {bad: bad, "limits": {"cpu_ms": n}})
        after = Worker(
            bad,
            (_module(bad, f"{bad}\nnew {bad}\n"),),
            {bad: f"{bad}!", "limits": {"cpu_ms": n + 1}},
            bindings=({"name": bad, "type": "plain_text", "text": bad},),
            tags=(bad,),
            secrets={bad: SecretReference(bad)},
        )
        changes.append(update(bad, bad, before, after))
        changes.append(delete(bad, f"gone {bad}"))
        changes.append(create(bad, f"new {bad}", after))
    problem = Problem("; ".join(HOSTILE), Where(HOSTILE[3], 1, 1), why=HOSTILE[4], fix=HOSTILE[6], excerpt=HOSTILE[0])
    return _plan(
        changes,
        withheld=tuple(delete(bad, f"withheld {bad}") for bad in HOSTILE),
        blocked=tuple(create(bad, f"blocked {bad}", worker("a.mjs", bad)) for bad in HOSTILE),
        refusals=(problem,),
        problems=(problem,),
        warnings=(problem,),
        unmanaged=tuple(Key(bad, bad) for bad in HOSTILE),
        orphans=tuple(Key(bad, bad) for bad in HOSTILE),
        scope=HOSTILE,
    )


def create(
    customer: str, name: str, after: Worker, *, cause: Cause = Cause.ADDED, previously: tuple[str, ...] = ()
) -> Change:
    key = Key("user_worker", name)
    wanted = _wanted("user_worker", name, customer, after.main, previously)
    return Change(Action.CREATE, key, cause, None, wanted, explain_worker(None, after))


def update(customer: str, name: str, before: Worker, after: Worker, *, cause: Cause = Cause.EDITED) -> Change:
    return Change(
        Action.UPDATE,
        Key("user_worker", name),
        cause,
        _live("user_worker", name, customer, f"{name}1"),
        _wanted("user_worker", name, customer, f"{name}2"),
        explain_worker(before, after),
    )


def delete(customer: str, name: str, *, cause: Cause = Cause.REMOVED) -> Change:
    live = _live("user_worker", name, customer, name)
    return Change(Action.DELETE, Key("user_worker", name), cause, live, None)


def _plan(changes: list[Change], **more: object) -> Plan:
    changes = sorted(changes, key=lambda change: change.key)
    came = sum(change.action is Action.CREATE for change in changes)
    gone = sum(change.action is Action.DELETE for change in changes)
    cost = _cost(len(changes) + 6, 4_830, 4_830 + came - gone)
    return Plan("acme", "acme-production", changes=tuple(changes), unchanged=4_700, cost=cost, **more)  # type: ignore[arg-type]  # keywords of Plan


def _cost(requests: int, before: int, after: int) -> Cost:
    return Cost(requests, round(requests / 3.8), before, after, monthly_cents(before), monthly_cents(after))


def _many(count: int) -> Iterator[Change]:
    for n in range(count):
        customer = f"customer-{n % 1_000:04}"
        name = f"{customer}-{n // 1_000:02}"
        if n % 10 == 9:
            yield delete(customer, name)
            continue
        code = SHOP_BEFORE.replace("10,", f"{n},")
        before = worker("shop.mjs", code, limits={"cpu_ms": 50})
        after = worker("shop.mjs", code.replace("50", str(n)), limits={"cpu_ms": 51 + n})
        yield update(customer, name, before, after) if n % 10 else create(customer, name, after)


def _platform_module_everywhere(count: int, customers: int) -> Iterator[Change]:
    before = Worker("a.mjs", (Module("platform_module.mjs", _JAVASCRIPT, PLATFORM_BEFORE, injected=True),))
    after = Worker("a.mjs", (Module("platform_module.mjs", _JAVASCRIPT, PLATFORM_AFTER, injected=True),))
    told = explain_worker(before, after)
    for n in range(count):
        name, customer = f"everywhere-{n:05}", f"tenant-{n % customers:04}"
        yield Change(
            Action.UPDATE,
            Key("user_worker", name),
            Cause.EDITED,
            _live("user_worker", name, customer, "1"),
            _wanted("user_worker", name, customer, "2"),
            told,
        )


def _platform_module_and_limits(customer: str, name: str) -> Change:
    before, after = (
        Worker("a.mjs", (Module("platform_module.mjs", _JAVASCRIPT, code, injected=True),), {"limits": {"cpu_ms": cpu}})
        for code, cpu in ((PLATFORM_BEFORE, 10), (PLATFORM_AFTER, 20))
    )
    return update(customer, name, before, after)


_JAVASCRIPT = "application/javascript+module"


def _shop() -> tuple[Worker, Worker]:
    before = worker("shop.mjs", SHOP_BEFORE, limits={"cpu_ms": 50})
    after = worker(
        "shop.mjs",
        SHOP_AFTER,
        limits={"cpu_ms": 80},
        tags=("eu",),
        secrets={"API_KEY": SecretReference("GLOBEX_KEY", 2)},
    )
    return before, after


def _limits() -> tuple[Worker, Worker]:
    return worker("api.mjs", "//\n", limits={"cpu_ms": 50}), worker("api.mjs", "//\n", limits={"cpu_ms": 10})


def _minified() -> tuple[Worker, Worker]:
    return worker("bundle.mjs", "a();" * 5_000), worker("bundle.mjs", "b();" * 5_100)


def _tags() -> tuple[Worker, Worker]:
    return worker("www.mjs", "//\n", tags=("eu", "beta")), worker("www.mjs", "//\n", tags=("eu", "gold"))


def worker(
    main: str,
    code: str,
    *,
    limits: dict[str, int] | None = None,
    tags: tuple[str, ...] = (),
    secrets: dict[str, SecretReference] | None = None,
) -> Worker:
    settings = {"compatibility_date": "2026-11-01", "limits": limits}
    return Worker(main, (_module(main, code),), settings, tags=tags, secrets=secrets or {})


def _module(name: str, code: str) -> Module:
    return Module(name, _JAVASCRIPT, code.encode("utf-8", "surrogatepass"))


def _wanted(kind: str, name: str, customer: str, seed: str, previously: tuple[str, ...] = ()) -> Resource:
    folder = f"customers/{customer}/customer.yaml" if customer else "platform.yaml"
    return Resource(
        Key(kind, name),
        digest([seed, "wanted"]),
        "acme",
        customer,
        frozenset({Key("namespace", "acme-production")}),
        Where(folder, 8, 3, len(name)),
        previously=previously,
    )


def _live(kind: str, name: str, customer: str, seed: str) -> Resource:
    return Resource(
        Key(kind, name),
        digest([seed, "live"]),
        "acme",
        customer,
        etag=digest([seed, "etag"]),
        modified_on="2026-11-20T09:30:00Z",
    )
