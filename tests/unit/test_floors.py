"""The architecture as a table: a module imports from floors below its own, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "reconciler"

# A folder or a module of the top level stands on one floor. Load, look and plan know nothing of each other.
FLOORS = (
    ("errors", "names", "sqlite_file"),
    ("model", "bindings"),
    ("routing",),
    ("load", "look", "plan"),
    ("kinds", "show", "apply", "origin"),
    ("begin", "drift", "status", "verify", "preflight", "doctor", "probing", "observe", "github"),
    ("run",),
    ("dev",),
    ("cli",),
    ("__main__",),
)
# The embedded platform is another program: it is met over HTTP, knows nothing of plans, and nothing below `preflight`
# knows it.
TOWER = "local"
TOWER_USES = ("errors", "bindings", "sqlite_file")
# Libraries that only some places may know.
LIBRARIES = {
    "httpx": ("look.exchange", "look.transport", "github.api"),
    "yaml": ("load.source", "load.yaml_text"),
    "jsonschema": ("load",),
    "deepdiff": ("plan.explain",),
    "werkzeug": ("local", "dev", "preflight"),
    "msgspec": ("model", "routing.routes", "load.repository", "load.compiled", "look.plain_pages"),
    "click": ("cli",),
    "jinja2": ("show", "dev"),
    "sqlite3": ("sqlite_file", "look.ledger", "load.compiled_cache", "local", "dev"),
}
_FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def test_no_module_reaches_up() -> None:
    assert list(violations(PACKAGE)) == []


def test_every_folder_has_a_floor() -> None:
    assert {name.partition(".")[0] for name in _imports(PACKAGE)} <= {*_FLOOR, TOWER, ""}


def test_violations_are_found(tmp_path: Path) -> None:
    """This test of the floors is one that can fail."""
    for name, text in {
        "model.py": "from reconciler import errors",
        "look/wire.py": "def late():\n    from reconciler.plan import Plan",
        "plan/__init__.py": "import httpx",
        "load/one.py": "from reconciler.load import two",
        "load/two.py": "from reconciler.load.one import x",
        "local/store.py": "from reconciler import model",
        "kinds/route.py": "from reconciler.local import store",
        "new.py": "",
        "errors.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert sorted(violations(tmp_path)) == [
        "kinds.route imports local.store",
        "load.one and load.two import each other",
        "local.store imports model",
        "look.wire imports plan",
        "new stands on no floor",
        "plan imports the library httpx",
    ]


def violations(package: Path) -> Iterator[str]:
    """What is against the table, a sentence each."""
    imports = _imports(package)
    for name, targets in sorted(imports.items()):
        part = name.partition(".")[0]
        if part and part != TOWER and part not in _FLOOR:
            yield f"{name} stands on no floor"
            continue
        for target in sorted(targets):
            if target in LIBRARIES and not _is_among(name, LIBRARIES[target]):
                yield f"{name} imports the library {target}"
            elif target in imports and not _may(part, target.partition(".")[0]):
                yield f"{name} imports {target}"
    inside = {
        name: {one for one in targets if one.partition(".")[0] == name.partition(".")[0]}
        for name, targets in imports.items()
    }
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        yield f"{' and '.join(sorted(set(error.args[1])))} import each other"


def _may(part: str, other: str) -> bool:
    if other in ("", part):
        return True
    if part == TOWER:
        return other in TOWER_USES
    if other == TOWER:
        return _FLOOR[part] >= _FLOOR["preflight"]
    return _FLOOR[other] < _FLOOR[part]


def _is_among(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _imports(package: Path) -> Mapping[str, set[str]]:
    """For each module, by its name below the package, what it imports: modules of ours, and the libraries above.
    Imports inside functions count; those for type checkers do not, since they never run."""
    files = {_name(path.relative_to(package)): path for path in sorted(package.rglob("*.py"))}
    return {name: set(_of(ast.parse(path.read_text(encoding="utf-8")), files)) for name, path in files.items()}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _of(tree: ast.AST, files: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            head, _, inner = node.module.partition(".")
            if head != "reconciler":
                yield head
                continue
            for alias in node.names:
                full = f"{inner}.{alias.name}" if inner else alias.name
                yield full if full in files else inner
        yield from _of(node, files)
