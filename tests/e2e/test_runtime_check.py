"""Scripts that do not start are told with the place in their own code, by the real workerd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.local.records import StoredModule, StoredScript, Syntax
from reconciler.local.runtime_check import Checker, StartProblem, check

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
