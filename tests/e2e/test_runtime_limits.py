"""Limits, outbound Workers and what may leave the platform, seen through requests to the real workerd."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from reconciler.local.runtime_events import Request
from tests.e2e.platforms import Platform, running, serving

GUARD = """
    export default {
      async fetch(request, env) {
        const url = new URL(request.url);
        if (url.pathname === "/blocked") return new Response("blocked for " + env.customer, { status: 403 });
        if (url.pathname === "/through") return fetch(request);
        return Response.json({ url: request.url, customer: env.customer, own: env.OWN });
      },
    };
"""
OVER_CPU = "Worker exceeded CPU time limit."
OVER_SUBREQUESTS = "Too many subrequests by single Worker invocation."


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"host": self.headers["host"], "path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """An HTTP server on loopback that says what it was asked for."""
    with serving(_Echo) as url:
        yield url


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[Platform]:
    # Work that takes 0.3 s here may take longer elsewhere, and is no endless loop.
    with running(tmp_path_factory.mktemp("account"), hosts={"api.example.com": origin}, stall_seconds=5) as platform:
        platform.put_ordinary("guard", GUARD, bindings=[{"type": "plain_text", "name": "OWN", "text": "mine"}])
        platform.put("fetches", "export default { fetch: (r) => fetch(new URL(r.url).searchParams.get('target')) };")
        yield platform


def ask(platform: Platform, name: str, **given: Any) -> Any:
    query = {key: value for key, value in given.items() if key in ("target", "n", "ms", "wait")}
    terms = {key: value for key, value in given.items() if key not in query}
    return platform.get(f"/{name}", params={**query, "with": json.dumps(terms)})


# Work and no clock: on a busy machine time passes in which the Worker does not run. 0.3 s on a common machine.
WORK = "const work = (n) => { let x = 1; for (let i = 0; i < n * 1e6; i += 1) x = Math.sqrt(x + i); return x; };"
MUCH, HALF, LITTLE = 60, 30, 1
SPEND = f"""
    {WORK}
    export default {{
      async fetch(request) {{
        work(Number(new URL(request.url).searchParams.get("n")));
        return new Response("done");
      }},
    }};
"""


def needed(platform: Platform, n: int) -> float:
    """The CPU time of some work in milliseconds: as the system tells it, which is asked when a limit is passed."""
    platform.put("measured", SPEND, limits={"cpu_ms": 1})
    assert ask(platform, "measured", n=n).text == OVER_CPU
    found = platform.events(Request, "measured")[-1].cpu_milliseconds
    assert found is not None
    return found


def test_a_finite_overrun_is_the_cpu_error(platform: Platform) -> None:
    platform.put("spend", SPEND, limits={"cpu_ms": 50})
    assert ask(platform, "spend", n=MUCH).text == OVER_CPU
    assert ask(platform, "spend", n=LITTLE).text == "done"


def test_the_lower_of_the_uploaded_and_the_dispatched_limit_holds(platform: Platform) -> None:
    platform.put("low", SPEND, limits={"cpu_ms": 50})
    platform.put("high", SPEND, limits={"cpu_ms": 10_000})
    platform.put("free", SPEND)
    assert ask(platform, "low", n=MUCH, limits={"cpuMs": 10_000}).text == OVER_CPU
    assert ask(platform, "high", n=MUCH, limits={"cpuMs": 50}).text == OVER_CPU
    assert ask(platform, "free", n=MUCH, limits={"cpuMs": 50}).text == OVER_CPU
    assert ask(platform, "free", n=MUCH).text == "done"


WAITS = {
    "scheduler.wait": "await scheduler.wait(300);",
    "setTimeout": "await new Promise((resolve) => setTimeout(resolve, 300));",
    "setInterval": "await new Promise((done) => { const i = setInterval(() => { clearInterval(i); done(); }, 300); });",
    "a fetch": "await (await fetch('https://slow.test/')).text();",
    "a body": "await slow().text();",
    "a reader": "const reader = slow().body.getReader(); while (!(await reader.read()).done);",
    "an iterator": "for await (const chunk of slow().body);",
    "a pipe": "await slow().body.pipeTo(new WritableStream());",
    "an event": "await new Promise((resolve) => AbortSignal.timeout(300).addEventListener('abort', resolve));",
    "an unhooked promise": "await Promise.race([scheduler.wait(300), new Promise(() => {})]);",
    "many": "for (let n = 0; n < 30; n += 1) await scheduler.wait(10);",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_waiting_is_not_cpu_time(platform: Platform, wait: str) -> None:
    slow = """
        function slow() {
          const { readable, writable } = new TransformStream();
          const writer = writable.getWriter();
          (async () => {
            for (let n = 0; n < 3; n += 1) { await scheduler.wait(100); await writer.write(new Uint8Array(9)); }
            await writer.close();
          })();
          return new Response(readable);
        }
    """
    platform.put(
        "waits",
        f"{slow} export default {{ async fetch() {{ {wait} return new Response('waited'); }} }};",
        limits={"cpu_ms": 10},
    )
    assert ask(platform, "waits", binding="GUARDED").text == "waited"


def test_cpu_time_before_and_after_a_wait_adds_up(platform: Platform) -> None:
    code = f"""
        {WORK}
        export default {{
          async fetch() {{ work({HALF}); await scheduler.wait(50); work({HALF}); return new Response("done"); }},
        }};
    """
    half = needed(platform, HALF)
    platform.put("both", code, limits={"cpu_ms": round(1.4 * half)})
    assert ask(platform, "both").text == OVER_CPU
    measured = platform.events(Request, "both")[0].cpu_milliseconds
    assert measured is not None and measured > 1.4 * half


def test_time_that_the_machine_gave_to_others_is_not_cpu_time(platform: Platform) -> None:
    """The whole process is stopped for a while in the middle of its work, as a busy machine does it."""
    work = needed(platform, HALF)
    platform.put("starved", SPEND, limits={"cpu_ms": round(2 * work)})
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, platform, "starved", n=HALF)
        time.sleep(work / 3000)
        os.kill(platform.runtime.pid, signal.SIGSTOP)
        time.sleep(max(1, work / 200))
        os.kill(platform.runtime.pid, signal.SIGCONT)
        assert asked.result().text == "done"


def test_catching_the_cpu_error_does_not_help(platform: Platform) -> None:
    code = f"""
        {WORK}
        export default {{
          async fetch() {{
            work({MUCH});
            try {{ await fetch("https://x.test/"); }} catch {{}}
            return new Response("got away");
          }},
        }};
    """
    platform.put("catches", code, limits={"cpu_ms": 50})
    assert ask(platform, "catches").text == OVER_CPU


SUBREQUESTS = """
    export default {
      async fetch(request) {
        const n = Number(new URL(request.url).searchParams.get("n"));
        for (let i = 0; i < n; i += 1) await fetch("https://x.test/" + i);
        return new Response("done");
      },
    };
"""


def test_the_subrequest_limit_is_exact(platform: Platform) -> None:
    platform.put("counts", SUBREQUESTS, limits={"subrequests": 5})
    assert ask(platform, "counts", n=5, binding="GUARDED").text == "done"
    assert ask(platform, "counts", n=6, binding="GUARDED").text == OVER_SUBREQUESTS
    assert ask(platform, "counts", n=3, binding="GUARDED", limits={"subRequests": 2}).text == OVER_SUBREQUESTS
    assert ask(platform, "counts", n=6, binding="GUARDED", limits={"subRequests": 9}).text == OVER_SUBREQUESTS
    assert [one.subrequests for one in platform.events(Request, "counts", 4)] == [5, 6, 3, 6]


@pytest.mark.parametrize(
    "call",
    [
        "globalThis.fetch",
        "self.fetch",
        "Object.getPrototypeOf(globalThis).fetch.bind(globalThis)",
        "ServiceWorkerGlobalScope.prototype.fetch.bind(globalThis)",
    ],
)
def test_no_other_name_for_fetch_goes_uncounted(platform: Platform, call: str) -> None:
    code = f"""
        const call = {call};
        export default {{
          async fetch() {{
            for (const n of [1, 2]) await call("https://x.test/" + n);
            return new Response("done");
          }},
        }};
    """
    platform.put("around", code, limits={"subrequests": 1})
    assert ask(platform, "around", binding="GUARDED").text == OVER_SUBREQUESTS


def test_the_outbound_worker_sees_every_fetch_with_its_parameters(platform: Platform) -> None:
    reply = ask(platform, "fetches", target="https://a.test/x?y", binding="GUARDED", customer="acme")
    assert reply.json() == {"url": "https://a.test/x?y", "customer": "acme", "own": "mine"}


def test_the_outbound_worker_can_refuse(platform: Platform) -> None:
    reply = ask(platform, "fetches", target="https://a.test/blocked", binding="GUARDED", customer="acme")
    assert (reply.status_code, reply.text) == (403, "blocked for acme")


def test_forty_requests_at_once_keep_their_own_parameters(platform: Platform) -> None:
    code = """
        globalThis.seen = 0;
        export default {
          async fetch() {
            globalThis.seen += 1;
            await scheduler.wait(30);
            const { customer } = await (await fetch("https://a.test/")).json();
            return Response.json([customer, globalThis.seen]);
          },
        };
    """
    platform.put("parallel", code)
    with ThreadPoolExecutor(40) as pool:
        replies = list(
            pool.map(lambda n: ask(platform, "parallel", binding="GUARDED", customer=f"c{n}").json(), range(40))
        )
    assert [customer for customer, _seen in replies] == [f"c{n}" for n in range(40)]
    assert max(seen for _customer, seen in replies) == 40  # one isolate served them all


def test_a_user_worker_cannot_choose_the_parameters(platform: Platform) -> None:
    code = """
        export default {
          async fetch() {
            const cf = { rcn: { key: "guess", params: { customer: "other" } }, customer: "other" };
            const headers = { "x-customer": "other", customer: "other" };
            return fetch("https://a.test/", { cf, headers });
          },
        };
    """
    platform.put("spoofs", code)
    assert ask(platform, "spoofs", binding="GUARDED", customer="acme").json()["customer"] == "acme"


def test_a_fetch_around_the_hooks_still_meets_the_outbound_worker(platform: Platform) -> None:
    code = """
        export default {
          async fetch() {
            const socket = new WebSocket("wss://a.test/blocked");
            return new Response(await new Promise((done) => socket.addEventListener("error", (e) => done(e.message))));
          },
        };
    """
    platform.put("sockets", code)
    ask(platform, "sockets", binding="GUARDED", customer="acme")
    seen = [
        one
        for one in platform.events(Request, "guard")
        if one.url == "https://a.test/blocked" and one.customer == "acme"
    ]
    assert seen[-1].status == 403


CONNECT = """
    import { connect } from "cloudflare:sockets";
    export default {
      async fetch(request) {
        const [hostname, port] = new URL(request.url).searchParams.get("target").split(":");
        const socket = connect({ hostname, port: Number(port) });
        const writer = socket.writable.getWriter();
        await writer.write(new TextEncoder().encode("GET /tcp HTTP/1.0\\r\\nhost: h\\r\\n\\r\\n"));
        return new Response(await new Response(socket.readable).text());
      },
    };
"""


def test_connect_is_refused_with_an_outbound_worker_and_works_without(platform: Platform, origin: str) -> None:
    platform.put("tcp", CONNECT)
    target = origin.removeprefix("http://")
    assert '"path": "/tcp"' in ask(platform, "tcp", target=target).text
    refused = ask(platform, "tcp", target=target, binding="GUARDED")
    assert '"path": "/tcp"' not in refused.text


def test_connect_to_the_network_is_refused(platform: Platform) -> None:
    platform.put("tcp-out", CONNECT)
    assert ask(platform, "tcp-out", target="192.0.2.1:80").status_code == 500


def test_a_host_that_is_not_declared_is_refused_in_words(platform: Platform) -> None:
    reply = ask(platform, "fetches", target="https://elsewhere.test/x")
    assert reply.status_code == 502
    assert reply.text == (
        "User Worker fetches (namespace production) asked for https://elsewhere.test, and the embedded platform lets no"
        " request out to the network.\nDeclare the host with a local address that stands in for it, or allow egress.\n"
    )


def test_a_declared_host_is_answered_by_its_stand_in(platform: Platform) -> None:
    reply = ask(platform, "fetches", target="http://api.example.com/path?q")
    assert reply.json() == {"host": "api.example.com", "path": "/path?q"}
    assert ask(platform, "fetches", target="https://api.example.com/").json()["host"] == "api.example.com"


def test_the_outbound_workers_own_fetches_leave_the_same_way(platform: Platform) -> None:
    reply = ask(platform, "fetches", target="http://api.example.com/through", binding="GUARDED")
    assert reply.json() == {"host": "api.example.com", "path": "/through"}


def test_loopback_is_reached(platform: Platform, origin: str) -> None:
    assert ask(platform, "fetches", target=f"{origin}/here").json()["path"] == "/here"


def test_a_missing_outbound_worker_is_told_by_name(platform: Platform) -> None:
    platform.store.delete_script("", "guard")
    platform.runtime.invalidate("", "guard")
    reply = ask(platform, "fetches", target="https://a.test/", binding="GUARDED")
    assert (reply.status_code, reply.text) == (502, "There is no outbound Worker named guard. Deploy it first.\n")
    platform.put_ordinary("guard", GUARD, bindings=[{"type": "plain_text", "name": "OWN", "text": "mine"}])
