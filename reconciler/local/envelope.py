"""Cloudflare's envelope and error codes: what every reply of the emulated API is wrapped in.

To add an error: one row in ERRORS. A code can mean different things in different products; the message tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Response

# code: (HTTP status, message). Codes and texts as live replies, Cloudflare's documents and wrangler's source have them;
# a status that none of them gives is 400.
ERRORS: Mapping[int, tuple[int, str]] = {
    971: (429, "Please wait and consider throttling your request speed"),
    1000: (401, "Invalid API Token"),
    1001: (400, "Missing API Token"),
    1406: (409, "Duplicate custom hostname found."),
    1407: (400, "Invalid custom hostname. Custom hostnames must be fully qualified domain names."),
    1436: (404, "The custom hostname was not found."),
    1550: (400, "The fallback origin must be a hostname of the zone {zone}."),
    1551: (404, "Resource not found."),
    6003: (400, "Invalid request headers"),
    7000: (404, "No route for that URI"),
    7003: (404, "Could not route to {path}, perhaps your object identifier is invalid?"),
    7400: (400, "{why}"),
    7404: (404, "The database {name} could not be found"),
    7500: (400, "{why}"),
    7502: (400, "A database with that name already exists"),
    9106: (400, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"),
    9109: (403, "Invalid access token"),
    10000: (401, "Authentication error"),
    10001: (415, "Content-Type must be {wanted}"),
    10004: (400, "{why}"),
    10005: (400, "The specified bucket name is not valid."),
    10006: (400, "Could not parse your request body: {why}"),
    10007: (404, "This Worker does not exist on your account."),
    10008: (409, "The bucket you tried to delete is not empty."),
    10009: (404, "{what} not found"),
    10011: (400, "{why}"),
    10012: (400, "{why}"),
    10013: (404, "namespace not found"),
    10014: (400, "a namespace with this account ID and title already exists"),
    10016: (
        400,
        'Invalid Worker name "{name}": it begins with a lowercase letter, a digit or _, and goes on with these and -',
    ),
    10019: (400, "a namespace title is required"),
    10020: (409, "A route with the same pattern already exists."),
    10021: (400, "{why}"),
    10022: (400, "Invalid route pattern: {why}"),
    10027: (413, "Script size exceeds limit: {size} bytes after compression, {limit} are allowed"),
    10034: (400, "{why}"),
    10041: (404, "KV namespace '{name}' not found."),
    10052: (400, "Binding number {number} has no name"),
    10053: (400, "Binding name '{name}' already in use. Please use a different name and try again."),
    10054: (400, "Environment variable {name} is too large: {size} bytes, {limit} are allowed"),
    10055: (400, "Too many environment variables: {count}, {limit} are allowed"),
    10056: (404, "Binding '{name}' not found."),
    10057: (400, "Binding '{name}' cannot be inherited: the Worker has no binding of that name."),
    10063: (404, "You need a workers.dev subdomain in order to proceed."),
    10064: (400, "This Worker is still used by other Workers: {names}. Delete it with force=true to ignore that."),
    10085: (400, "R2 bucket '{name}' not found. Please use a different name and try again."),
    10090: (404, "workers.api.error.service_not_found"),
    10092: (404, "workers.api.error.environment_not_found"),
    10121: (403, "You do not have access to dispatch namespaces."),
    10143: (
        400,
        "Service binding '{binding}' references Worker '{name}' which was not found. Verify the Worker exists in your"
        " account and that the service name in your configuration is correct.",
    ),
    10181: (400, "D1 binding '{binding}' references database '{name}' which was not found."),
    100117: (409, "{why}"),
    100119: (404, "Dispatch namespace '{name}' not found."),
    100121: (409, "A dispatch namespace with the name '{name}' already exists."),
}


class ApiFailure(Exception):
    """Answered as a failure envelope with its HTTP status. Every error is (code, message)."""

    def __init__(self, status: int, errors: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(message for _, message in errors))
        self.status = status
        self.errors = tuple(errors)


def refuse(code: int, *, status: int = 0, **words: Any) -> ApiFailure:
    """The failure with this code; the words fill its message. A status goes before the table's."""
    usual, message = ERRORS[code]
    return ApiFailure(status or usual, [(code, message.format(**words))])


def no_route(path: str) -> ApiFailure:
    """What a path that leads nowhere, and a malformed identifier in one, are answered with."""
    status, message = ERRORS[7003]
    return ApiFailure(status, [(7003, message.format(path=path)), (7000, ERRORS[7000][1])])


def success(result: Any, *, info: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    """A reply with its result; `info` is the result_info of paged replies."""
    envelope: dict[str, Any] = {"result": result, "success": True, "errors": [], "messages": []}
    if info is not None:
        envelope["result_info"] = info
    return reply(envelope, status)


def failure(error: ApiFailure) -> Response:
    errors = [{"code": code, "message": message} for code, message in error.errors]
    return reply({"result": None, "success": False, "errors": errors, "messages": []}, error.status)


def reply(body: Any, status: int) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def paged(items: Sequence[Any], page: int, per_page: int) -> Response:
    """One page of a list, with the result_info of lists that are paged by number."""
    total = len(items)
    shown = items[(page - 1) * per_page : page * per_page]
    info = {
        "page": page,
        "per_page": per_page,
        "count": len(shown),
        "total_count": total,
        "total_pages": -(-total // per_page),
    }
    return success(list(shown), info=info)
