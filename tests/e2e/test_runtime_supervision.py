"""Scripts that spin, a runtime that dies, and scripts that go from memory: the platform stays up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from reconciler.local.runtime_events import Trouble
from tests.e2e.platforms import Platform, running

SPIN = "export default { fetch() { for (;;); } };"
FINE = "export default { fetch: () => new Response('fine') };"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("account"), stall_seconds=0.6, most_loaded=5) as platform:
        platform.put("fine", FINE)
        yield platform


def test_a_spinning_script_is_named_stopped_and_refused_until_it_changes(platform: Platform) -> None:
    platform.put("spins", SPIN)
    assert platform.get("/fine").text == "fine"
    with pytest.raises(httpx.RemoteProtocolError):
        platform.get("/spins")
    assert "stopped" in platform.events(Trouble, "spins")[0].message

    refused = platform.get("/spins")
    assert (refused.status_code, "Script spins was stopped" in refused.text) == (503, True)
    assert platform.get("/fine").text == "fine"

    platform.put("spins", FINE)
    assert platform.get("/spins").text == "fine"


def test_a_neighbour_that_waits_in_the_backlog_is_answered(platform: Platform) -> None:
    platform.put("spins-too", SPIN)

    def neighbour() -> str:
        time.sleep(0.2)
        return httpx.get(platform.runtime.url + "/fine", timeout=20).text

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(neighbour)
        with pytest.raises(httpx.RemoteProtocolError):
            platform.get("/spins-too")
        assert waiting.result() == "fine"


def test_a_script_that_spins_while_it_starts_is_stopped(platform: Platform) -> None:
    platform.put("never-starts", "for (;;); export default {};")
    with pytest.raises(httpx.RemoteProtocolError):
        platform.get("/never-starts")
    assert platform.get("/never-starts").status_code == 503


def test_a_script_that_spins_after_a_wait_is_found_beside_another(platform: Platform) -> None:
    platform.put(
        "waits", "export default { async fetch() { await scheduler.wait(60_000); return new Response('x'); } };"
    )
    spins = "export default { async fetch() { await scheduler.wait(300); for (;;); } };"
    platform.put("spins-later", spins)
    for _attempt in range(2):  # the first time it is one of two; the second time it is watched
        with ThreadPoolExecutor(2) as pool:
            calls = [
                pool.submit(httpx.get, platform.runtime.url + path, timeout=20) for path in ("/spins-later", "/waits")
            ]
            for call in calls:
                with pytest.raises(httpx.RemoteProtocolError):
                    call.result()
    assert platform.get("/spins-later").status_code == 503
    assert not [one for one in platform.events(Trouble, "waits") if one.message.startswith("stopped")]


def test_a_script_that_spins_after_its_response_is_stopped_and_its_dispatcher_is_not(platform: Platform) -> None:
    late = """
        const spin = async () => { await scheduler.wait(50); for (;;); };
        export default { fetch(r, env, ctx) { ctx.waitUntil(spin()); return new Response("answered"); } };
    """
    platform.put("spins-after", late)
    for _attempt in range(2):  # the first time it is one of those that ended; the second time it is watched
        before = platform.runtime.pid
        assert httpx.get(platform.runtime.url + "/spins-after").text == "answered"
        while platform.runtime.pid == before:
            time.sleep(0.02)
    assert platform.get("/spins-after").status_code == 503
    assert platform.get("/fine").text == "fine"


def test_workerd_that_dies_is_started_again_on_the_same_port(platform: Platform) -> None:
    port = platform.runtime.port
    os.kill(platform.runtime.pid, signal.SIGKILL)
    assert httpx.get(f"http://127.0.0.1:{port}/fine", timeout=20).text == "fine"
    assert platform.runtime.port == port


def test_more_scripts_than_fit_in_memory_all_answer(platform: Platform) -> None:
    for n in range(15):
        platform.put(f"one-{n}", f"export default {{ fetch: () => new Response('{n}') }};")
    for _round in range(2):
        assert [platform.get(f"/one-{n}").text for n in range(15)] == [str(n) for n in range(15)]
    assert platform.runtime.statistics()["loaded"] <= 5


def test_a_response_in_progress_survives_its_scripts_replacement(platform: Platform) -> None:
    code = """
        export default {
          fetch() {
            const { readable, writable } = new TransformStream();
            const writer = writable.getWriter();
            (async () => {
              for (let n = 0; n < 5; n += 1) {
                await writer.write(new TextEncoder().encode("x"));
                await scheduler.wait(60);
              }
              await writer.close();
            })();
            return new Response(readable);
          },
        };
    """
    platform.put("long", code)
    with platform.client.stream("GET", platform.runtime.url + "/long") as reply:
        chunks = reply.iter_raw()
        received = next(chunks)
        platform.put("long", FINE)
        received += b"".join(chunks)
    assert received == b"xxxxx"
    assert platform.get("/long").text == "fine"


HOG = "export default { fetch() { const held = []; for (;;) held.push(new Array(1e5).fill(Math.random())); } };"
HOLD = "const held = new Uint8Array(8 << 20).fill(1); export default { fetch: () => new Response(String(held[0])) };"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One with little memory."""
    with running(tmp_path_factory.mktemp("account"), most_megabytes=300) as platform:
        platform.put("fine", FINE)
        yield platform


def test_a_script_that_takes_all_memory_is_stopped_and_others_go_on(small: Platform) -> None:
    small.put("hog", HOG)
    with pytest.raises(httpx.RemoteProtocolError):
        small.get("/hog")
    assert small.get("/fine").text == "fine"
    assert "ran out of the 300 MB" in small.get("/hog").text
    assert "ran out of the 300 MB" in small.events(Trouble, "hog")[0].message


def test_scripts_that_are_idle_go_when_memory_runs_short(small: Platform) -> None:
    """Forty of them hold 320 MB between them, and 300 MB there are."""
    for n in range(40):
        small.put(f"hold-{n}", HOLD)
        assert httpx.get(f"{small.runtime.url}/hold-{n}", timeout=20).text == "1"
        time.sleep(0.05)
    assert small.runtime.statistics()["loaded"] < 40
    assert httpx.get(f"{small.runtime.url}/hold-0", timeout=20).text == "1"
