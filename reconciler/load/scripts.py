"""A Worker's modules from disk: which files, of which type, how large, and whether their imports lead anywhere.

A module's name is its path relative to the folder of `main`, and platform modules are injected there too. Imports are
checked and never followed: what is uploaded is what the configuration names. To add a type: one line in MODULE_TYPES.
"""

from __future__ import annotations

import gzip
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.errors import Problem, Severity, Where
from reconciler.load import javascript
from reconciler.load.files import Folder, is_pattern, path_problem
from reconciler.model import Module
from reconciler.names import did_you_mean

ESM = "application/javascript+module"
PYTHON = "text/x-python"

MODULE_TYPES = {
    ".mjs": ESM,
    ".js": ESM,
    ".cjs": "application/javascript",
    ".wasm": "application/wasm",
    ".txt": "text/plain",
    ".html": "text/plain",
    ".css": "text/plain",
    ".sql": "text/plain",
    ".md": "text/plain",
    ".json": "text/plain",  # Cloudflare knows no JSON modules: the code gets text
    ".bin": "application/octet-stream",
    ".py": PYTHON,
    ".map": "application/source-map",
}

# Cloudflare's pages give 10 MB compressed, and newer ones 64 MiB uncompressed: what holds both is safe.
MAX_SCRIPT_BYTES = 64 * 1024 * 1024
MAX_COMPRESSED_BYTES = 10_000_000

# As the workerd of package.json has them.
_CLOUDFLARE_MODULES = (
    "cloudflare:workers", "cloudflare:sockets", "cloudflare:email", "cloudflare:workflows", "cloudflare:node",
    "cloudflare:pipelines", "cloudflare:vectorize", "cloudflare:durable-objects", "cloudflare:ai", "cloudflare:br",
)  # fmt: skip

Place = tuple[str | int, ...]
At = Callable[..., Where]  # the place of a value in the file that declares the Worker, by its path


@dataclass(frozen=True, slots=True)
class Code:
    """What the configuration says of a Worker's code."""

    main: str
    modules: Sequence[str]
    flags: Sequence[str] | None  # compatibility flags; None where they cannot be known
    within: str  # what the folder is called in messages


@dataclass(frozen=True, slots=True)
class Modules:
    """The modules of an upload, main first, and what is wrong with them."""

    modules: tuple[Module, ...]
    main: str  # its name in the upload
    problems: tuple[Problem, ...]


def read(code: Code, folder: Folder, injected: Collection[Module], at: At) -> Modules:
    """Read, check and name the modules of a Worker."""
    problems: list[Problem] = []
    prefix = f"{posixpath.dirname(code.main)}/".removeprefix("/")
    taken = {one.name for one in injected}
    found: list[Module] = []
    for path, place in _chosen(code, folder, at, problems).items():
        module = _module(path, prefix, folder, taken, is_main=path == code.main)
        if isinstance(module, Module):
            found.append(module)
        else:
            problems.append(replace(module, where=at(*place)))
    modules = (*found, *sorted(injected, key=lambda one: one.name))
    names = frozenset(one.name for one in modules)
    for module in found:
        problems += _import_problems(module, names, code.flags, folder, prefix)
    problems += _size_problems(modules, at)
    return Modules(modules, code.main.removeprefix(prefix), tuple(problems))


def import_problems(module: Module, names: frozenset[str], flags: Sequence[str], where: Where) -> list[Problem]:
    """What is wrong with the imports of a module that several Workers share; `where` is the first place of its file."""
    return [
        _told(module, one, names, Where(where.file, one.line, one.column, one.width))
        for one in _suspicious(module, names, flags)
    ]


def missing(what: str, path: str, where: Where | None, files: Collection[str], within: str) -> Problem:
    """The problem of a path that names no file."""
    nearest = did_you_mean(path, files)
    return Problem(
        f'{what} "{path}" does not exist',
        where,
        why=f"there is no such file in {within}",
        fix=f'write "{nearest}"' if nearest else "create it, or name another",
        code="missing-file",
    )


def _chosen(code: Code, folder: Folder, at: At, problems: list[Problem]) -> dict[str, Place]:
    """The files of a Worker with the key that names each, main first, each once."""
    chosen: dict[str, Place] = {}
    for what, path, place in _named(code):
        wrong = path_problem(path, None, code.within)
        matching = () if wrong else folder.matching(path)
        if not matching and not wrong:
            wrong = _unmatched(what, path, folder, code.within)
        if wrong:
            problems.append(replace(wrong, where=at(*place)))
        for name in matching:
            chosen.setdefault(name, place)
    return chosen


def _unmatched(what: str, path: str, folder: Folder, within: str) -> Problem | None:
    """The problem of a path without a file; None when a link or the like has told it already."""
    if folder.is_refused(path) or (folder.refused and is_pattern(path)):
        return None
    if not is_pattern(path):
        return missing(what, path, None, folder.files, within)
    why = f"no file in {within} is called so"
    return Problem(f'the pattern "{path}" matches nothing', None, why, "correct it, or remove it", "missing-file")


def _named(code: Code) -> Iterator[tuple[str, str, Place]]:
    if code.main:
        yield "main module", code.main, ("main",)
    for number, path in enumerate(code.modules):
        yield "module", path, ("modules", number)


def _module(path: str, prefix: str, folder: Folder, taken: Collection[str], *, is_main: bool) -> Module | Problem:
    """The module, or what is wrong with it, which the caller puts in its place."""
    suffix = posixpath.splitext(path)[1].lower()
    if not path.startswith(prefix):
        why = f"a module's name is its path from the folder of `main`, which is {prefix}"
        fix = f"move it below {prefix}, or move `main`"
        return Problem(f'the module "{path}" is outside the folder of main', None, why, fix, "module-outside")
    if suffix not in MODULE_TYPES:
        why = f"types are known by their endings: {', '.join(MODULE_TYPES)}"
        fix = "name only files with these endings; for other data, use .bin"
        return Problem(f'the module "{path}" has no known type', None, why, fix, "module-type")
    name = path.removeprefix(prefix)
    if is_main and MODULE_TYPES[suffix] not in (ESM, PYTHON):
        why = f"main is an ES module or a Python module, and {suffix} is {MODULE_TYPES[suffix]}"
        fix = "end its name in .mjs, and export a default handler from it"
        return Problem(f'"{path}" cannot be the main module', None, why, fix, "module-type")
    if name in taken:
        why = "the platform puts its own module there"
        what = f'the module name "{name}" is the platform\'s'
        return Problem(what, None, why, "rename the file", "module-taken")
    if not name.isprintable():
        why = "it holds characters that cannot be seen, or is not UTF-8"
        return Problem(f'the module name "{name}" cannot be used', None, why, "rename the file", "path")
    try:
        content = folder.read(path)
    except (OSError, ValueError) as error:
        return Problem(f'the module "{path}" cannot be read', None, str(error), code="unreadable")
    return Module(name, MODULE_TYPES[suffix], content)


def _import_problems(
    module: Module, names: frozenset[str], flags: Sequence[str] | None, folder: Folder, prefix: str
) -> list[Problem]:
    return [
        _told(module, one, names, folder.place(prefix + module.name, one.line, one.column, one.width))
        for one in _suspicious(module, names, flags)
    ]


def _suspicious(module: Module, names: frozenset[str], flags: Sequence[str] | None) -> list[javascript.Import]:
    """The imports that lead nowhere. The close look is taken only when a quick one finds something."""
    if module.type != ESM:
        return []
    text = module.content.decode("utf-8", "replace")
    possible = javascript.candidates(text)
    if possible is not None and all(_resolves(one, module.name, names, flags) for one in possible):
        return []
    return [one for one in javascript.imports(text) if not _resolves(one.specifier, module.name, names, flags)]


def _resolves(specifier: str, importer: str, names: frozenset[str], flags: Sequence[str] | None) -> bool:
    if specifier.startswith(("./", "../")):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier)) in names
    if specifier.startswith("node:"):
        return flags is None or any(flag.startswith("nodejs_") for flag in flags)
    return specifier in _CLOUDFLARE_MODULES


def _told(module: Module, one: javascript.Import, names: frozenset[str], where: Where) -> Problem:
    specifier = one.specifier
    what = f'the import "{specifier}" leads nowhere'
    if specifier.startswith(("./", "../")):
        resolved = posixpath.normpath(posixpath.join(posixpath.dirname(module.name), specifier))
        near = did_you_mean(resolved, names - {module.name})
        written = _relative(near, module.name) if near else ""
        fix = f'write "{written}"' if near else "add the file to `modules`"
        why = f"modules of this upload: {', '.join(sorted(names)[:20])}"
        return Problem(what, where, why, fix, "import")
    if specifier.startswith("node:"):
        fix = "add nodejs_compat to compatibility_flags"
        return Problem(what, where, "Node's own modules need a compatibility flag", fix, "import")
    if specifier.startswith("cloudflare:"):
        near = did_you_mean(specifier, _CLOUDFLARE_MODULES)
        why = f"known are {', '.join(_CLOUDFLARE_MODULES)}"
        fix = f'write "{near}"' if near else ""
        return Problem(f'the import "{specifier}" is not known here', where, why, fix, "import", Severity.WARNING)
    why = "there is no package to look into: relative imports, node: and cloudflare: are what the runtime resolves"
    same = posixpath.normpath(posixpath.join(posixpath.dirname(module.name), specifier))
    fix = f'write "{_relative(same, module.name)}"' if same in names else "bundle it into the script before"
    return Problem(what, where, why, fix, "import")


def _relative(name: str, importer: str) -> str:
    path = posixpath.relpath(name, posixpath.dirname(importer) or ".")
    return path if path.startswith(".") else f"./{path}"


def _size_problems(modules: Sequence[Module], at: At) -> list[Problem]:
    size = sum(len(one.content) for one in modules)
    if size <= MAX_COMPRESSED_BYTES:
        return []
    why = f"Cloudflare takes {MAX_SCRIPT_BYTES:,} bytes, and {MAX_COMPRESSED_BYTES:,} compressed"
    fix = "put what is large into assets, R2 or KV"
    if size > MAX_SCRIPT_BYTES:
        return [Problem(f"the script has {size:,} bytes", at("main"), why, fix, "script-size")]
    packed = sum(len(gzip.compress(one.content, 6, mtime=0)) for one in modules)
    if packed <= MAX_COMPRESSED_BYTES:
        return []
    return [Problem(f"the script has {packed:,} bytes compressed", at("main"), why, fix, "script-size")]
