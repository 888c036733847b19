"""The emulated Cloudflare API as a WSGI app: routing, authentication, headers, faults, and the log of requests.

Thread-safe, and stateless but for the store, the faults and a counter of requests. Endpoints stand in the api_*.py
modules, one row each; to add one, write its function and its row there.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from reconciler.local import (
    api_account,
    api_assets,
    api_d1,
    api_edge,
    api_hostnames,
    api_r2,
    api_scripts,
    api_settings,
    api_storage,
    api_workers,
)
from reconciler.local.call import ACTIVE, Call, Check, Endpoint
from reconciler.local.envelope import ApiFailure, failure, no_route, refuse
from reconciler.local.faults import Faults, after_processing, before_processing
from reconciler.local.store import Store
from reconciler.local.switches import Switches
from reconciler.local.watchers import Watchers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/client/v4"
LOCAL_TOKEN = "local-token"  # noqa: S105  # no secret: it opens an account on this machine only
MAXIMUM_BODY = 110 * 1024 * 1024  # a KV bulk write has 100 MB at most
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")

ENDPOINTS: tuple[Endpoint, ...] = (
    *api_account.ENDPOINTS,
    *api_scripts.ENDPOINTS,
    *api_settings.ENDPOINTS,
    *api_assets.ENDPOINTS,
    *api_workers.ENDPOINTS,
    *api_edge.ENDPOINTS,
    *api_hostnames.ENDPOINTS,
    *api_storage.ENDPOINTS,
    *api_d1.ENDPOINTS,
    *api_r2.ENDPOINTS,
)


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One answered request, for logs. The status is 0 when the connection was dropped."""

    method: str
    path: str
    status: int
    milliseconds: float


def create_app(
    store: Store,
    *,
    token: str = LOCAL_TOKEN,
    account: str = "",
    switches: Switches = Switches(),  # noqa: B008  # frozen
    faults: Faults | None = None,
    check: Check | None = None,
    on_request: Callable[[RequestLine], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> WSGIApplication:
    """The API over one store.

    Accepts the given bearer token and those added to the store, and every account id, or just the given one. `check`
    looks at the code of uploads. Time comes from the store's clock.
    """
    if switches.subdomain:
        store.value_or_set("subdomain", lambda: switches.subdomain)
    return _Api(store, token, account, switches, faults or Faults(), check, on_request, sleep)


class _Api:
    def __init__(
        self,
        store: Store,
        token: str,
        account: str,
        switches: Switches,
        faults: Faults,
        check: Check | None,
        on_request: Callable[[RequestLine], None] | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._store, self._token, self._account = store, token, account
        self._switches, self._faults, self._check = switches, faults, check
        self._on_request, self._sleep = on_request, sleep
        self._watchers = Watchers(store)
        self._rays = itertools.count(1)
        self._map = _routes()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        environ["PATH_INFO"] = _path_info(environ.get("PATH_INFO", ""))
        request = Request(environ)
        request.max_content_length = MAXIMUM_BODY
        status = 0
        try:
            response = self._answer(request)
            status = response.status_code
        finally:
            if self._on_request is not None:
                took = (time.perf_counter() - began) * 1000
                self._on_request(RequestLine(request.method, request.path, status, took))
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        struck = self._faults.strike(request.method, request.path.removeprefix(PREFIX))
        response = self._faults.blocked(self._store.clock()) or before_processing(struck, self._sleep)
        rate_limit_headers = True
        if response is None:
            response, rate_limit_headers = self._process(request)
            response = after_processing(struck, response)
        response.headers["cf-ray"] = f"{next(self._rays):016x}-LOC"
        response.headers["server"] = "cloudflare"
        response.headers["cf-cache-status"] = "DYNAMIC"
        if rate_limit_headers:
            # It does not count down in live replies either.
            response.headers["Ratelimit"] = '"default";r=1199;t=1'
            response.headers["Ratelimit-Policy"] = '"default";q=1200;w=300'
        return response

    def _process(self, request: Request) -> tuple[Response, bool]:
        """The reply, and whether it tells of the rate limit."""
        endpoint: Endpoint | None = None
        try:
            endpoint, values = self._match(request)
            account = values.pop("account", "")
            token = self._authenticate(request, endpoint, account)
            zone = values.get("zone", "0" * 32)
            if (account and not _IDENTIFIER.fullmatch(account)) or not _IDENTIFIER.fullmatch(zone):
                raise no_route(request.path)
            call = Call(
                request,
                self._store,
                self._switches,
                self._faults,
                self._watchers,
                token,
                self._check,
                account or self._account,
            )
            self._check_namespace(values)
            response = endpoint.handler(call, **values)
        except ApiFailure as error:
            response = failure(error)
        return response, endpoint is None or endpoint.rate_limit_headers

    def _match(self, request: Request) -> tuple[Endpoint, dict[str, Any]]:
        adapter = self._map.bind_to_environ(request.environ)
        try:
            endpoint, values = adapter.match()
        except MethodNotAllowed as error:
            message = f"{request.method} method not allowed for the api_token authentication scheme"
            raise ApiFailure(405, [(10000, message)]) from error
        except HTTPException as error:
            raise no_route(request.path) from error
        return endpoint, dict(values)

    def _authenticate(self, request: Request, endpoint: Endpoint, account: str) -> str:
        """The bearer token, which must be one of this account."""
        header = request.headers.get("authorization", "")
        if not header:
            raise refuse(1001) if request.path.endswith("/tokens/verify") else refuse(9106)
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise refuse(6003)
        if endpoint.auth == "assets":
            return token  # of an upload session; the endpoint checks it
        verifies = request.path.endswith("/tokens/verify")
        status = self._status(token)
        if not status:
            raise refuse(1000) if verifies else refuse(10000)
        if status != ACTIVE and not verifies:
            raise refuse(9109)
        if account and self._account and account != self._account:
            raise refuse(10000, status=403)
        return token

    def _status(self, token: str) -> str:
        """Of a token of this account; "" for any other."""
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return ACTIVE
        found = self._store.token(hashlib.sha256(token.encode()).hexdigest())
        return found[1] if found else ""

    def _check_namespace(self, values: dict[str, Any]) -> None:
        namespace = values.get("namespace", "")
        if not namespace:
            return
        if not self._switches.dispatch_namespaces:
            raise refuse(10121)
        if not self._store.has_namespace(namespace):
            raise refuse(100119, name=namespace)


@functools.cache
def _routes() -> Map:
    """Made once: compiling the rules takes 40 ms."""
    rules = [
        Rule(PREFIX + one.path, methods=[one.method], endpoint=one, defaults=one.defaults, strict_slashes=False)
        for one in ENDPOINTS
    ]
    return Map(rules, redirect_defaults=False, merge_slashes=False)


def _path_info(path: str) -> str:
    """WSGI's form, bytes as Latin-1; httpx passes text instead when it calls an app in process."""
    try:
        path.encode("latin-1").decode()
    except UnicodeError:
        return path.encode().decode("latin-1")
    return path
