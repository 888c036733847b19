"""The one static workerd configuration, as Cap'n Proto text. Pure: the same values give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent.parent / "workers" / "local"
PLATFORM_DATE = "2026-10-01"  # of our own Worker, whatever dates the scripts have
# What a request leaves behind is let go of by V8's full collection alone. By itself V8 waits with that for hundreds of
# megabytes, and then one invocation stands still for 100 ms and more, as if it had used that much CPU time. Heaps that
# begin small are collected often and quickly, and grow where a script needs it: a third of the memory, no more time.
V8_FLAGS = ("--max-semi-space-size=4", "--initial-old-space-size=4")  # MB, of each script's own heap

_CONFIG = """using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [{flags}],
  services = [
    (name = "platform", worker = (
      modules = [{modules}],
      compatibilityDate = {date},
      globalOutbound = "loopback",
      bindings = [{bindings}],
    )),
    (name = "control", external = (address = {control}, http = (
      injectRequestHeaders = [(name = "authorization", value = {control_token})]))),
    (name = "loopback", network = (allow = ["local"])),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    {hosts}
  ],
  sockets = [
    (name = "http", http = (), service = "platform"),
    (name = "admin", http = (), service = (name = "platform", entrypoint = "Admin")),
  ],
);
"""


@dataclass(frozen=True)
class Settings:
    """What the platform's own Worker is told when it starts."""

    control: str  # host:port of the control plane
    control_token: str = field(repr=False)
    admin_token: str = field(repr=False)
    mark: str = field(repr=False)  # begins each line that speaks to us on standard output; no script can know it
    egress: str = "block"  # "none", "block", "allow"
    hosts: Mapping[str, str] = field(default_factory=dict)  # host to the origin that stands in for it
    closed_ports: tuple[int, ...] = ()  # of loopback, which no script reaches
    most_loaded: int = 150


def config_text(settings: Settings) -> str:
    """The whole configuration; every script comes later, through the control plane."""
    hosts = sorted(settings.hosts)
    bindings = [
        '(name = "LOADER", workerLoader = (id = "scripts"))',
        *(_binding(name, f"service = {_text(name.lower())}") for name in ("CONTROL", "LOOPBACK", "INTERNET")),
        *(_binding(f"EGRESS_{n}", f"service = {_text(f'egress-{n}')}") for n in range(len(hosts))),
        _binding("HOSTS", f"json = {_text(json.dumps(hosts))}"),
        _binding("MOST_LOADED", f"json = {_text(str(settings.most_loaded))}"),
        _binding("CLOSED_PORTS", f"json = {_text(json.dumps([str(port) for port in settings.closed_ports]))}"),
        _binding("EGRESS", f"text = {_text(settings.egress)}"),
        _binding("MARK", f"text = {_text(settings.mark)}"),
        _binding("ADMIN_TOKEN", f"text = {_text(settings.admin_token)}"),
    ]
    return _CONFIG.format(
        flags=", ".join(_text(flag) for flag in V8_FLAGS),
        modules=",\n        ".join(_modules()),
        date=_text(PLATFORM_DATE),
        bindings=",\n        ".join(bindings),
        control=_text(settings.control),
        control_token=_text(f"Bearer {settings.control_token}"),
        hosts="\n    ".join(_external(n, settings.hosts[host]) for n, host in enumerate(hosts)),
    )


def _modules() -> list[str]:
    """Our own code runs; what is put into every script is text to it."""
    own = sorted(FOLDER.glob("*.mjs"), key=lambda file: (file.name != "platform.mjs", file.name))  # the first is main
    injected = sorted((FOLDER / "injected").glob("*.mjs"))
    return [
        *(f"(name = {_text(file.name)}, esModule = {_content(file)})" for file in own),
        *(f"(name = {_text(f'injected/{file.name}')}, text = {_content(file)})" for file in injected),
    ]


def _external(number: int, origin: str) -> str:
    parts = urlsplit(origin)
    name, address = _text(f"egress-{number}"), _text(parts.netloc)
    if parts.scheme == "https":
        return f"(name = {name}, external = (address = {address}, https = (tlsOptions = (trustBrowserCas = true)))),"
    return f"(name = {name}, external = (address = {address}, http = ())),"


def _binding(name: str, value: str) -> str:
    return f"(name = {_text(name)}, {value})"


def _content(file: Path) -> str:
    return _text(file.read_text(encoding="utf-8"))


def _text(value: str) -> str:
    # Cap'n Proto reads JSON's short escapes; \u is not among them, so other characters stay as they are.
    return json.dumps(value, ensure_ascii=False)
