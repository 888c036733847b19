"""An upload, read from the request and checked: what it wants a script to be, before anything stored is looked at."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.local import binding_kinds, metadata, multipart
from reconciler.local.call import Call
from reconciler.local.envelope import refuse
from reconciler.local.records import StoredModule, Syntax

SCRIPT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,254}")
ORDINARY_NAME_LENGTH = 63
MODULE_TYPES = {
    "application/javascript+module",
    "text/javascript+module",
    "application/javascript",
    "text/javascript",
    "application/wasm",
    "application/json",
    "text/plain",
    "application/octet-stream",
    "text/x-python",
    "text/x-python-requirement",
}
_MAIN_TYPES = {"application/javascript+module", "text/javascript+module", "text/x-python"}
_SOURCE_MAP = "application/source-map"
_RAW_TYPES = ("application/javascript", "text/javascript", "application/x-javascript")
_RAW_NAME = "worker.js"
_MIB = 1024 * 1024
PAID, FREE = "paid", "free"
SIZE_LIMIT = {PAID: 10 * _MIB, FREE: 3 * _MIB}  # of all modules, after gzip
VARIABLES_LIMIT = {PAID: 128, FREE: 64}
VARIABLE_SIZE = 5 * 1024
_HANDLER = re.compile(r"\b(fetch|scheduled|queue|email|tail|trace|test)\s*(?:\(|:|,|\}|=)")


@dataclass(frozen=True)
class Code:
    """The code of an upload."""

    main: str
    syntax: Syntax
    modules: tuple[StoredModule, ...]

    @property
    def handlers(self) -> tuple[str, ...]:
        """The handlers that the main module seems to export, found by their names and not by running it."""
        main = next((module for module in self.modules if module.name == self.main), None)
        if main is None:
            return ()
        found = set(_HANDLER.findall(main.content.decode("utf-8", "replace")))
        return tuple(sorted(found)) or ("fetch",)


@dataclass(frozen=True)
class Upload:
    """An upload of a whole script."""

    code: Code
    metadata: Mapping[str, Any]  # every key as it was sent, checked
    bindings: tuple[Mapping[str, Any], ...]


def check_name(name: str, *, ordinary: bool) -> None:
    """Refuse a script name that Cloudflare would refuse. Ordinary Workers' names are labels of hostnames too."""
    if not SCRIPT_NAME.fullmatch(name) or (ordinary and len(name) > ORDINARY_NAME_LENGTH):
        raise refuse(10016, name=name)


def read(call: Call) -> Upload:
    """The upload in a request: a form with metadata and modules, or one bare service worker."""
    plan = PAID if call.switches.paid else FREE
    if call.request.mimetype in _RAW_TYPES:
        module = StoredModule(_RAW_NAME, "application/javascript", call.request.get_data())
        upload = Upload(Code(_RAW_NAME, Syntax.SERVICE_WORKER, (module,)), {}, ())
    elif call.request.mimetype == "multipart/form-data":
        upload = _form(call)
    else:
        raise refuse(10001, wanted="multipart/form-data or application/javascript")
    _check_size(upload.code.modules, SIZE_LIMIT[plan])
    check_variables(upload.bindings, VARIABLES_LIMIT[plan])
    return upload


def read_code(call: Call) -> Code:
    """The code of a request that replaces nothing else; headers may stand for the metadata part."""
    parts = call.parts()
    given = {
        "main_module": call.request.headers.get("CF-WORKER-MAIN-MODULE-PART"),
        "body_part": call.request.headers.get("CF-WORKER-BODY-PART"),
    }
    named = {key: value for key, value in given.items() if value} or _metadata(parts)
    code = _code(named, _modules(parts))
    if code.syntax is Syntax.ASSETS:
        raise refuse(10021, why="metadata must name a main_module or a body_part")
    _check_size(code.modules, SIZE_LIMIT[PAID if call.switches.paid else FREE])
    return code


def check_variables(bindings: Sequence[Mapping[str, Any]], limit: int) -> None:
    """Refuse too many environment variables, and one that is too large."""
    variables = [one for one in bindings if one["type"] in binding_kinds.VARIABLE_KINDS]
    if len(variables) > limit:
        raise refuse(10055, count=len(variables), limit=limit)
    for one in variables:
        value = one.get("text") if "text" in one else json.dumps(one.get("json", one.get("key_jwk", "")))
        size = len(str(value).encode())
        if size > VARIABLE_SIZE:
            raise refuse(10054, name=one["name"], size=size, limit=VARIABLE_SIZE)


def _form(call: Call) -> Upload:
    parts = call.parts()
    given = metadata.checked(_metadata(parts))
    code = _code(given, _modules(parts))
    bindings = binding_kinds.checked(given.get("bindings"))
    names = {module.name for module in code.modules}
    for binding in bindings:
        if binding["type"] in binding_kinds.PART_KINDS and _plain(binding["part"]) not in names:
            raise refuse(10021, why=f"binding {binding['name']} names the part {binding['part']!r}, which is not there")
    if code.syntax is Syntax.ASSETS and not given.get("assets") and not given.get("keep_assets"):
        raise refuse(10021, why="metadata must name a main_module or a body_part, or the Worker must have assets")
    return Upload(code, given, bindings)


def _metadata(parts: Sequence[multipart.Part]) -> dict[str, Any]:
    part = next((part for part in parts if part.name == "metadata"), None)
    if part is None:
        raise refuse(10021, why="the form has no part named metadata")
    try:
        given = json.loads(part.content)
    except (ValueError, RecursionError) as error:
        raise refuse(10006, why=f"metadata is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise refuse(10021, why="metadata must be a JSON object")
    return given


def _modules(parts: Sequence[multipart.Part]) -> tuple[StoredModule, ...]:
    """Modules have the name of their file; the part's own name counts where there is none. Source maps are not kept."""
    modules: dict[str, StoredModule] = {}
    for part in parts:
        if part.name == "metadata" or part.type == _SOURCE_MAP:
            continue
        name = _plain(part.filename or part.name)
        if name in modules:
            raise refuse(10021, why=f"there are several modules named {name!r}")
        if part.type and part.type not in MODULE_TYPES:
            raise refuse(10021, why=f"module {name!r} has an unknown content type {part.type}")
        modules[name] = StoredModule(name, part.type or "application/octet-stream", part.content)
    return tuple(modules.values())


def _code(given: Mapping[str, Any], modules: tuple[StoredModule, ...]) -> Code:
    main, body = given.get("main_module"), given.get("body_part")
    if main and body:
        raise refuse(10021, why="metadata names both a main_module and a body_part")
    if not main and not body:
        if modules:
            raise refuse(10021, why="metadata must name a main_module or a body_part")
        return Code("", Syntax.ASSETS, ())
    name = _plain(str(main or body))
    found = next((module for module in modules if module.name == name), None)
    if found is None:
        raise refuse(10021, why=f"No such module: the upload has no part named {name!r}")
    if main and found.type not in _MAIN_TYPES:
        raise refuse(10021, why=f"the main module {name!r} must be an ES module, its content type is {found.type}")
    return Code(name, Syntax.MODULES if main else Syntax.SERVICE_WORKER, modules)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _check_size(modules: Sequence[StoredModule], limit: int) -> None:
    if sum(len(module.content) for module in modules) <= limit:
        return  # gzip adds a few bytes at most
    size = len(gzip.compress(b"".join(module.content for module in modules), compresslevel=6, mtime=0))
    if size > limit:
        raise refuse(10027, size=size, limit=limit)
