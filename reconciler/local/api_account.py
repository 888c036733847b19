"""Who is asking, the account, and its dispatch namespaces."""

from __future__ import annotations

import hashlib
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.call import ACTIVE, Call, Endpoint
from reconciler.local.envelope import paged, refuse, success
from reconciler.local.records import Namespace

DEFAULT_ACCOUNT = "10ca1" + "0" * 26 + "1"  # shown by GET /accounts where the app was not made for one account
_EMAIL = "developer@localhost"


def verify_token(call: Call) -> Response:
    """Id and status of the token that asks: active, disabled or expired."""
    sha256 = hashlib.sha256(call.token.encode()).hexdigest()
    added = call.store.token(sha256)
    return success({"id": sha256[:32], "status": added[1] if added else ACTIVE})


def list_accounts(call: Call) -> Response:
    return paged([_account(call)], 1, 20)


def get_account(call: Call) -> Response:
    return success(_account(call))


def get_user(_: Call) -> Response:
    return success({"id": hashlib.sha256(_EMAIL.encode()).hexdigest()[:32], "email": _EMAIL})


def list_memberships(call: Call) -> Response:
    account = _account(call)
    return paged([{"id": account["id"], "status": "accepted", "account": account, "roles": []}], 1, 20)


def list_namespaces(call: Call) -> Response:
    _check_entitled(call)
    return success([_namespace(call, one) for one in call.store.namespaces()])


def create_namespace(call: Call) -> Response:
    _check_entitled(call)
    name = _new_name(call.object().get("name"))
    made = call.store.create_namespace(name)
    if made is None:
        raise refuse(100121, name=name)
    return success(None if call.switches.create_reply == "null" else _namespace(call, made))


def get_namespace(call: Call, namespace: str) -> Response:
    return success(_namespace(call, _found(call, namespace)))


def change_namespace(call: Call, namespace: str) -> Response:
    """Rename a namespace, or trust its Workers; what is not named stays."""
    found = _found(call, namespace)
    asked = call.object()
    name = _new_name(asked["name"]) if asked.get("name") is not None else found.name
    trusted = asked.get("trusted_workers")
    if trusted is not None and not isinstance(trusted, bool):
        raise refuse(10021, why="trusted_workers must be true or false")
    changed = call.store.change_namespace(
        namespace, new_name=name, trusted=found.trusted if trusted is None else trusted
    )
    if changed is None:
        raise refuse(100121, name=name)
    for moved in {namespace, name}:
        call.changed(moved, None)
    return success(_namespace(call, changed))


def delete_namespace(call: Call, namespace: str) -> Response:
    """Delete a namespace and every script in it."""
    _found(call, namespace)
    call.store.delete_namespace(namespace)
    call.changed(namespace, None)
    return success(None)


def _check_entitled(call: Call) -> None:
    if not call.switches.dispatch_namespaces:
        raise refuse(10121)


def _found(call: Call, name: str) -> Namespace:
    found = call.store.namespace(name)
    if found is None:
        raise refuse(100119, name=name)
    return found


def _new_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise refuse(10021, why="name must be a string that is not empty and holds no slash")
    return name


def _namespace(call: Call, one: Namespace) -> dict[str, Any]:
    shown = {
        "namespace_id": one.id,
        "namespace_name": one.name,
        "created_on": one.created_on,
        "created_by": None,
        "modified_on": one.modified_on,
        "modified_by": None,
        "script_count": one.script_count,
        "trusted_workers": one.trusted,
    }
    if not call.switches.script_count:
        del shown["script_count"]
    return shown


def _account(call: Call) -> dict[str, Any]:
    return {
        "id": call.account or DEFAULT_ACCOUNT,
        "name": "local",
        "type": "standard",
        "settings": {"enforce_twofactor": False},
        "created_on": "2026-01-01T00:00:00.000000Z",
    }


_NAMESPACES = "/accounts/<account>/workers/dispatch/namespaces"
ENDPOINTS = (
    Endpoint("GET", "/user", get_user),
    Endpoint("GET", "/user/tokens/verify", verify_token),
    Endpoint("GET", "/memberships", list_memberships),
    Endpoint("GET", "/accounts", list_accounts),
    Endpoint("GET", "/accounts/<account>", get_account),
    Endpoint("GET", "/accounts/<account>/tokens/verify", verify_token),
    Endpoint("GET", _NAMESPACES, list_namespaces),
    Endpoint("POST", _NAMESPACES, create_namespace),
    Endpoint("GET", f"{_NAMESPACES}/<namespace>", get_namespace),
    Endpoint("PUT", f"{_NAMESPACES}/<namespace>", change_namespace),
    Endpoint("PATCH", f"{_NAMESPACES}/<namespace>", change_namespace),
    Endpoint("DELETE", f"{_NAMESPACES}/<namespace>", delete_namespace),
)
