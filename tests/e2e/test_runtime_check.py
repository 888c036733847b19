"""Scripts that do not start are told with the place in their own code, by the real workerd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.local.records import StoredModule, StoredScript, Syntax
from reconciler.local.runtime_check import Checker, StartProblem, check
from tests.e2e.platforms import running

ESM = "application/javascript+module"
ROOT = Path(__file__).parent


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(root=ROOT, timeout=0.6) as checker:
        yield checker


def script(*modules: tuple[str, str], name: str = "shop") -> StoredScript:
    return StoredScript(
        namespace="production", name=name, id="", etag="", revision=0, created_on="", modified_on="",
        main=modules[0][0], syntax=Syntax.MODULES, version_id="", deployed_from="api", handlers=(), has_assets=False,
        tags=None, metadata={"compatibility_date": "2026-10-01"},
        modules=tuple(StoredModule(name, ESM, code.encode()) for name, code in modules),
    )  # fmt: skip


FINE = "export default { fetch: () => new Response('x') };"

PROBLEMS = {
    "a syntax error": (
        script(
            ("shop.mjs", "import './lib/a.mjs'; export default {};"), ("lib/a.mjs", "const a = {\n  b: 1,\n  c d\n};")
        ),
        ("lib/a.mjs", 3, 5, "Uncaught SyntaxError: Unexpected identifier 'd'"),
    ),
    "an exception": (
        script(("shop.mjs", f"{FINE}\nconst x = 1;\n  undefinedName.call();")),
        ("shop.mjs", 3, 3, "Uncaught ReferenceError: undefinedName is not defined"),
    ),
    "a missing module": (
        script(("lib/shop.mjs", f"// first\nimport x from './nope.mjs';\n{FINE}")),
        ("lib/shop.mjs", 2, 15, 'Uncaught Error: No such module "lib/nope.mjs".'),
    ),
    "a missing export": (
        script(("shop.mjs", f"import {{ y }} from './b.mjs';\n{FINE}"), ("b.mjs", "export const x = 1;")),
        (
            "shop.mjs",
            1,
            10,
            "Uncaught SyntaxError: The requested module './b.mjs' does not provide an export named 'y'",
        ),
    ),
    "an endless loop": (
        script(("shop.mjs", f"for (;;);\n{FINE}")),
        ("shop.mjs", 1, 1, "It did not finish starting within 0.6 s"),
    ),
    "no handler": (
        script(("shop.mjs", "const x = 1;")),
        ("shop.mjs", 1, 1, "The uploaded script has no registered event handlers."),
    ),
}


@pytest.mark.parametrize(("given", "place"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_does_not_start_is_told_with_its_place(
    checker: Checker, given: StoredScript, place: tuple[str, int, int, str]
) -> None:
    assert checker.check(given) == [StartProblem("shop", *place)]


def test_what_starts_has_no_problem(checker: Checker) -> None:
    assert checker.check(script(("shop.mjs", FINE))) == []


def test_many_scripts_are_checked_in_one_process() -> None:
    scripts = [script(("a.mjs", FINE if n % 2 else "}"), name=f"shop-{n}") for n in range(20)]
    assert [problem.script for problem in check(scripts, root=ROOT)] == [f"shop-{n}" for n in range(0, 20, 2)]


REACH = {
    "a file of this machine": "import { readFileSync } from 'node:fs'; readFileSync('/etc/passwd');",
    "the folder of the runtime": "import { readdirSync } from 'node:fs'; if (!readdirSync('/').length) throw Error();"
    " if (readdirSync('/').includes('etc')) globalThis.found = 1; else throw new Error('no etc');",
    "loopback": "await fetch('http://127.0.0.1:PORT/');",
    "a connection": "import { connect } from 'cloudflare:sockets';"
    " await connect({ hostname: '127.0.0.1', port: PORT }).opened;",
    "the network": "await fetch('https://example.com/');",
    "the environment": "import process from 'node:process'; if (!process.env.PATH) throw new Error('no PATH');",
}


@pytest.mark.parametrize("code", REACH.values(), ids=REACH)
def test_a_script_that_is_checked_reaches_nothing(checker: Checker, code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        reaching = script(("shop.mjs", f"{code.replace('PORT', str(listening.getsockname()[1]))}\n{FINE}"))
        flags = {**reaching.metadata, "compatibility_flags": ["nodejs_compat"]}
        assert checker.check(replace(reaching, metadata=flags)) != []
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_script_that_is_checked_gets_no_more_than_its_share_of_memory(checker: Checker) -> None:
    hog = script(("shop.mjs", f"const held = []; for (;;) held.push(new Array(1e5).fill(1));\n{FINE}"))
    assert len(checker.check(hog)) == 1
    assert checker.check(script(("shop.mjs", FINE))) == []


def test_without_egress_not_even_loopback_is_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, running(tmp_path, egress="none") as platform:
        port = listening.getsockname()[1]
        platform.put("asks", f"export default {{ fetch: () => fetch('http://127.0.0.1:{port}/') }};")
        assert platform.get("/asks").status_code == 502
        listening.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listening.accept()
