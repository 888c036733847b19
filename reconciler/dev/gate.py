"""Who may see the pages and send their forms: this machine's browser, from the pages themselves.

    Host      is this server's own name, so that no name that someone made resolve to 127.0.0.1 reaches it
    Origin    of a form is this server: scripts on the other port are other origins, and are refused
    token     of a form belongs to the session's cookie, and only a page of this server can tell it

The token is made with a key of this process: a script that sets the cookie to a value of its own cannot make it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from werkzeug.wrappers import Request, Response

COOKIE = "reconciler-session"
FIELD = "token"
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """The checks of one server; its key lives as long as it does."""

    def __init__(self, port: int) -> None:
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        self._key = secrets.token_bytes(32)

    def refusal(self, request: Request) -> str:
        """Why a request is refused; "" when it may pass."""
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return "this page is reached as 127.0.0.1 or localhost, with its port"
        if request.method in ("GET", "HEAD"):
            return ""
        if request.headers.get("origin") != f"http://{host}":
            return "a form of this page is sent by this page alone"
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "a form of this page is sent by this page alone"
        session = request.cookies.get(COOKIE, "")
        if not session or not hmac.compare_digest(request.form.get(FIELD, "").encode(), self.token(session).encode()):
            return "the form is of an earlier run: go back, load the page again, and send it once more"
        return ""

    def session(self, request: Request) -> str:
        """The session of a browser, new where it has none."""
        return request.cookies.get(COOKIE, "") or secrets.token_urlsafe(24)

    def token(self, session: str) -> str:
        """What the forms of a session carry."""
        return hmac.new(self._key, session.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def sealed(self, request: Request, response: Response, session: str) -> Response:
        """The response with everything that a browser is told about it."""
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        if request.cookies.get(COOKIE) != session:
            response.set_cookie(COOKIE, session, httponly=True, samesite="Strict", path="/")
        return response
