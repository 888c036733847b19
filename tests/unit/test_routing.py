"""What is wrong with routes is said; what is right is compiled, compared and proven."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import routing
from reconciler.errors import Severity, Where
from reconciler.kinds import shipped
from reconciler.routing import DispatcherSettings, Existing, Hostname, OutboundBinding, RoutedScript, Target

SETTINGS = DispatcherSettings("acme", hostname="{script}.acme.app", path="/dispatch/{script}")
KV = replace(SETTINGS, table="kv")
SHOP = RoutedScript(
    "shop",
    "globex",
    "advanced",
    cpu_ms=80,
    outbound="guard",
    hostnames=(Hostname("shop.globex.com", Where("customers/globex/customer.yaml", 9, 17)),),
    where=Where("customers/globex/customer.yaml", 7, 3),
)
BLOG = RoutedScript("blog", "initech", "basic", where=Where("customers/initech/customer.yaml", 4, 3))
OUTBOUNDS = routing.outbound_bindings({"guard": ["customer", "tier"]})


def table(*scripts: RoutedScript, settings: DispatcherSettings = SETTINGS) -> routing.Table:
    return routing.compile_table(settings, scripts, OUTBOUNDS)


# --- what is wrong ---


def problems(settings: DispatcherSettings, *scripts: RoutedScript) -> list[str]:
    return [problem.what for problem in routing.check(settings, scripts)]


def test_a_sound_repository_has_no_problem() -> None:
    assert problems(SETTINGS, SHOP, BLOG) == []


def test_a_hostname_declared_twice_names_both_places() -> None:
    again = Hostname("Shop.Globex.com", Where("customers/initech/customer.yaml", 5, 17))
    (problem,) = routing.check(SETTINGS, [replace(BLOG, hostnames=(again,)), SHOP])
    assert problem.what == 'hostname "Shop.Globex.com" is declared twice'
    assert problem.where == again.where
    assert "customers/globex/customer.yaml:9:17" in problem.why


def test_the_address_of_another_script_cannot_be_declared() -> None:
    taken = replace(SHOP, hostnames=(Hostname("blog.acme.app"), Hostname("shop.acme.app"), Hostname("new.acme.app")))
    assert problems(SETTINGS, taken, BLOG) == ['hostname "blog.acme.app" is the address of script blog']


def test_with_a_customer_in_the_pattern_only_that_customers_script_has_the_address() -> None:
    settings = replace(SETTINGS, hostname="{script}.{customer}.acme.app")
    free = replace(SHOP, hostnames=(Hostname("blog.globex.acme.app"),))
    assert problems(settings, free, BLOG) == []
    taken = replace(SHOP, hostnames=(Hostname("blog.initech.acme.app"),))
    assert problems(settings, taken, BLOG) == ['hostname "blog.initech.acme.app" is the address of script blog']


@pytest.mark.parametrize("name", ["under_score", "ends-", "xn--a", "a" * 64])
def test_a_name_that_is_no_label_cannot_fill_a_hostname(name: str) -> None:
    assert problems(SETTINGS, replace(BLOG, name=name)) == [
        f'script {name} cannot be reached as "{name}.acme.app"',
    ]
    assert problems(replace(SETTINGS, hostname=""), replace(BLOG, name=name)) == []


def test_the_text_around_a_name_counts_for_the_length_of_its_label() -> None:
    settings = replace(SETTINGS, hostname="preview-{script}.acme.app")
    assert problems(settings, replace(BLOG, name="a" * 55)) == []
    assert len(problems(settings, replace(BLOG, name="a" * 56))) == 1


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("*.globex.com", "declare each hostname"),
        ("https://globex.com", 'write it as in "shop.example.com"'),
        ("globex.com:8080", 'write it as in "shop.example.com"'),
        ("globex.com/shop", 'write it as in "shop.example.com"'),
        ("globex", 'write it as in "shop.example.com"'),
        ("10.0.0.1", 'write it as in "shop.example.com"'),
        ("", 'write it as in "shop.example.com"'),
        ("bücher.example", 'write it as "xn--bcher-kva.example"'),
        ("\u2603" * 70 + ".example", 'write it in its ASCII form, "xn--…"'),
    ],
)
def test_what_is_no_hostname_is_said_with_the_way_out(name: str, fix: str) -> None:
    (problem,) = routing.check(SETTINGS, [replace(SHOP, hostnames=(Hostname(name),))])
    assert problem.what == f'"{name}" is not a hostname'
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize(
    ("hostname", "what"),
    [
        ("{script}", "has no fixed domain at its end"),
        ("acme.{script}", "has no fixed domain at its end"),
        ("www.acme.app", "has no placeholder"),
        ("{scirpt}.acme.app", 'has an unknown placeholder "{scirpt}"'),
        ("{customer}-{script}.acme.app", "can be read in more than one way"),
        ("{script}.{script}.acme.app", "can be read in more than one way"),
        ("{script}.acme.app:8080", "holds what no hostname holds"),
        ("{script}..app", "holds what no hostname holds"),
        ("*.{script}.acme.app", "holds what no hostname holds"),
        ("{script.acme.app", "has no placeholder"),
    ],
)
def test_a_hostname_pattern_that_cannot_be_used_is_a_problem(hostname: str, what: str) -> None:
    assert f'hostname pattern "{hostname}" {what}' in problems(replace(SETTINGS, hostname=hostname), SHOP)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("dispatch/{script}", "is no path of whole segments"),
        ("/dispatch/{script}/", "is no path of whole segments"),
        ("/../{script}", "is no path of whole segments"),
        ("/a b/{script}", "is no path of whole segments"),
        ("/dispatch", "has no placeholder"),
        ("/{customer}-{script}", "can be read in more than one way"),
    ],
)
def test_a_path_pattern_that_cannot_be_used_is_a_problem(path: str, what: str) -> None:
    assert f'path pattern "{path}" {what}' in problems(replace(SETTINGS, path=path), SHOP)


def test_a_customer_alone_in_a_pattern_needs_one_script_that_stands_for_it() -> None:
    settings = replace(SETTINGS, hostname="{customer}.acme.app", path="")
    other = replace(SHOP, name="other", hostnames=())
    assert problems(settings, SHOP, BLOG) == []
    assert problems(settings, SHOP, other) == [
        "customer globex has several scripts, and a route that names only the customer"
    ]
    named = replace(other, name="globex")
    assert problems(settings, SHOP, named) == []
    found = routing.resolve(table(SHOP, named, settings=settings), "globex.acme.app", "/")
    assert found is not None
    assert found.script == "globex"


def test_outbound_workers_that_share_a_binding_or_ask_for_the_unknown_are_problems() -> None:
    outbounds = [*routing.outbound_bindings({"a-b": ["ip"], "a_b": []})]
    assert [problem.what for problem in routing.check(SETTINGS, [], outbounds)] == [
        'outbound Worker a-b has an unknown parameter "ip"',
        "outbound Workers a-b and a_b have the same binding DISPATCH_A_B",
    ]


def test_an_unknown_page_is_a_problem() -> None:
    assert problems(replace(SETTINGS, pages={"teapot": ""})) == ['the dispatcher has no page "teapot"']


# --- the compiled table ---


def test_the_module_is_readable_and_has_one_route_a_line() -> None:
    assert table(SHOP, BLOG).module().decode() == (
        "export default {\n"
        '"bindings":{\n"":"DISPATCH",\n"guard":"DISPATCH_GUARD"\n},\n'
        '"customers":{},\n'
        '"format":1,\n'
        '"hostname":"{script}.acme.app",\n'
        '"hosts":{\n"shop.globex.com":"shop"\n},\n'
        '"pages":{},\n'
        '"parameters":{\n"guard":["customer","tier"]\n},\n'
        '"path":"/dispatch/{script}",\n'
        '"platform":"acme",\n'
        '"scripts":{\n"blog":["initech",1],\n"shop":["globex",0]\n},\n'
        '"terms":[\n{"limits":{"cpuMs":80},"outbound":"guard","tier":"advanced"},\n{"tier":"basic"}\n]\n'
        "};\n"
    )


@given(st.permutations([SHOP, BLOG, replace(BLOG, name="one", suspended=True), replace(BLOG, name="two")]))
def test_the_order_of_the_scripts_does_not_matter(scripts: list[RoutedScript]) -> None:
    for settings in (SETTINGS, KV):
        assert (
            table(*scripts, settings=settings).digest
            == table(*sorted(scripts, key=lambda one: one.name), settings=settings).digest
        )


def test_a_live_module_is_read_back_to_the_same_table() -> None:
    proto = replace(BLOG, name="__proto__", hostnames=(Hostname("proto.example"),))
    compiled = table(SHOP, proto)
    assert b'["__proto__"]:' in compiled.module()
    assert routing.parse_module(compiled.module(), _nothing).digest == compiled.digest

    stored = table(SHOP, proto, settings=KV)
    values = dict(routing.kv_pairs(stored))
    back = routing.parse_module(stored.module(), lambda key: values[key].encode())
    assert back.digest == stored.digest
    assert routing.resolve(back, "proto.example", "/") == Target("__proto__", "initech", "basic")


@pytest.mark.parametrize(
    "content",
    [
        b"export default { fetch() {} };\n",
        b"const table = {};\n",
        b"\xff",
        b"export default [];\n",
        b'export default {"format":2};\n',
        b'export default {"format":1};\n',
        b'export default {"format":1,"customers":{},"hosts":{"a.b":"c"},"scripts":{},"terms":[]};\n',
        b'export default {"format":1,"customers":{},"hosts":{},"scripts":{"c":["d",0]},"terms":[]};\n',
        b'export default {"format":1,"customers":{},"hosts":{},"scripts":{"c":7},"terms":[]};\n',
    ],
)
def test_a_module_that_someone_else_wrote_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        routing.parse_module(content, _nothing)


def test_a_kv_value_that_is_not_what_its_key_stands_for_is_refused() -> None:
    back = routing.parse_module(table(SHOP, settings=KV).module(), lambda key: b"{}")
    with pytest.raises(ValueError, match="is not what its key stands for"):
        routing.resolve(back, "shop.globex.com", "/")


def test_a_bundle_past_its_limit_is_refused_with_the_way_out() -> None:
    assert routing.size_problem(table(SHOP), None) is None
    many = [RoutedScript(f"script-{number:06}", f"customer-{number:06}", "basic") for number in range(60_000)]
    problem = routing.size_problem(table(*many), Where("platform.yaml", 30, 3))
    assert problem is not None
    assert problem.fix == "set `table: kv` under `dispatcher`"
    assert routing.size_problem(table(*many, settings=KV), None) is None


def fleet(size: int) -> list[RoutedScript]:
    return [
        RoutedScript(
            f"shop-{number}",
            f"customer-{number // 3}",
            ("basic", "advanced")[number % 2],
            outbound="guard" if number % 2 else "",
            hostnames=(Hostname(f"www.shop-{number}.example"),),
        )
        for number in range(size)
    ]


def test_one_hostname_more_writes_a_constant_number_of_keys() -> None:
    before = fleet(20_000)
    after = [*before[1:], replace(before[0], hostnames=(*before[0].hostnames, Hostname("new.example")))]
    old, new = table(*before, settings=KV), table(*after, settings=KV)
    assert len(old.parts) == 256
    present = dict(routing.kv_pairs(old))
    assert len(list(routing.kv_pairs(new, present))) == 1
    assert len(list(routing.stale_keys(present, new))) == 1
    assert list(routing.stale_keys(present, old, new)) == []
    assert list(routing.stale_keys(["someone/elses"], new)) == []


def test_routes_spread_evenly_over_the_parts() -> None:
    sizes = [
        len(json.loads(part)["hosts"])
        for part in table(*fleet(20_000), settings=replace(KV, hostname="", path="")).parts
    ]
    assert len(sizes) == 128
    assert sum(sizes) == 20_000
    assert max(sizes) < 250


def test_a_part_holds_all_that_its_routes_need() -> None:
    stored = table(*fleet(2_000), settings=KV)
    for script in fleet(2_000)[::97]:
        expected = Target(script.name, script.customer, script.tier, outbound=script.outbound)
        for host, path in [
            (script.hostnames[0].name, "/"),
            (f"{script.name}.acme.app", "/"),
            ("x", f"/dispatch/{script.name}"),
        ]:
            assert routing.resolve(stored, host, path) == expected


# --- the difference of two tables ---


@pytest.mark.parametrize("settings", [SETTINGS, KV])
def test_changes_are_told_by_hostname(settings: DispatcherSettings) -> None:
    moved = replace(BLOG, hostnames=SHOP.hostnames)
    changes = routing.table_changes(
        table(SHOP, BLOG, settings=settings), table(replace(SHOP, hostnames=()), moved, settings=settings)
    )
    (change,) = changes.routes
    assert change.route == "shop.globex.com"
    assert change.before is not None
    assert change.after is not None
    assert (change.before.script, change.after.script) == ("shop", "blog")


@pytest.mark.parametrize("settings", [SETTINGS, KV])
def test_other_terms_change_every_address_of_a_script(settings: DispatcherSettings) -> None:
    changes = routing.table_changes(
        table(SHOP, BLOG, settings=settings), table(replace(SHOP, suspended=True), BLOG, settings=settings)
    )
    assert [change.route for change in changes.routes] == ["/dispatch/shop", "shop.acme.app", "shop.globex.com"]


def test_another_pattern_is_one_change() -> None:
    changes = routing.table_changes(
        table(SHOP, BLOG), table(SHOP, BLOG, settings=replace(SETTINGS, hostname="{script}.acme.dev"))
    )
    assert changes.settings == (("hostname", "{script}.acme.app", "{script}.acme.dev"),)
    assert changes.routes == ()


def test_a_move_to_kv_changes_no_route() -> None:
    changes = routing.table_changes(table(SHOP, BLOG), table(SHOP, BLOG, settings=KV))
    assert (changes.settings, changes.routes) == ((), ())


def test_the_first_table_adds_every_route() -> None:
    changes = routing.table_changes(None, table(SHOP))
    assert [change.route for change in changes.routes] == ["/dispatch/shop", "shop.acme.app", "shop.globex.com"]
    assert {change.before for change in changes.routes} == {None}


def test_only_parts_that_differ_are_read() -> None:
    before = fleet(3_000)
    old, new = table(*before, settings=KV), table(*before[1:], settings=KV)
    read: list[str] = []
    values = dict(routing.kv_pairs(old))

    def from_kv(key: str) -> bytes:
        read.append(key)
        return values[key].encode()

    changes = routing.table_changes(routing.parse_module(old.module(), from_kv), new)
    assert [change.route for change in changes.routes] == ["/dispatch/shop-0", "shop-0.acme.app", "www.shop-0.example"]
    assert len(read) <= 2


# --- the proof ---

THERE = Existing(frozenset({"shop", "blog"}), frozenset({"guard"}))
NOTHING = Existing()


def test_a_table_whose_scripts_and_outbound_workers_exist_is_proven() -> None:
    both = table(SHOP, BLOG)
    assert routing.prove(both, both, live=THERE, put=NOTHING, deleted=NOTHING) == []
    assert routing.prove(None, both, live=NOTHING, put=THERE, deleted=NOTHING) == []


@pytest.mark.parametrize(
    ("live", "what"),
    [
        (Existing(frozenset({"blog"}), THERE.outbounds), "lack script shop when the routing table is switched"),
        (Existing(THERE.scripts), "lack outbound Worker guard when the routing table is switched"),
    ],
)
def test_a_route_that_would_lead_to_nothing_is_found(live: Existing, what: str) -> None:
    (problem,) = routing.prove(None, table(SHOP, BLOG), live=live, put=NOTHING, deleted=NOTHING)
    assert problem.what == f"the routes of script shop {what}"


def test_a_delete_of_what_is_still_routed_to_is_found() -> None:
    gone = Existing(frozenset({"blog"}))
    (problem,) = routing.prove(None, table(SHOP, BLOG), live=THERE, put=NOTHING, deleted=gone)
    assert problem.what == "the routes of script blog lack script blog after the deletes"
    assert routing.prove(table(SHOP, BLOG), table(SHOP), live=THERE, put=NOTHING, deleted=gone) == []


def test_an_outbound_worker_without_a_binding_is_found() -> None:
    unbound = routing.compile_table(SETTINGS, [SHOP], [OutboundBinding("other", "DISPATCH_OTHER")])
    (problem,) = routing.prove(None, unbound, live=THERE, put=NOTHING, deleted=NOTHING)
    assert problem.what.startswith("the routes of script shop lack a binding for outbound Worker guard")


def test_a_route_that_is_broken_today_is_a_warning() -> None:
    live = Existing(frozenset({"blog"}), THERE.outbounds)
    (problem,) = routing.prove(table(SHOP), table(SHOP), live=live, put=THERE, deleted=NOTHING)
    assert problem.severity is Severity.WARNING


def _nothing(key: str) -> bytes:
    raise AssertionError(f"nothing is in KV, and {key} was asked for")


def test_the_dispatcher_is_thin_and_depends_on_the_table_alone() -> None:
    lines = shipped.module(shipped.DISPATCHER).content.decode().splitlines()
    assert len(lines) < 200
    assert [line for line in lines if "import " in line and "from " in line and not line.startswith(" *")] == [
        f'import table from "./{routing.MODULE_NAME}";'
    ]
