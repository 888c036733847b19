"""The JavaScript that ships with the reconciler, as modules to upload."""

from __future__ import annotations

from functools import cache
from importlib import resources

from reconciler.model import Module

DISPATCHER = "dispatcher.mjs"
EGRESS = "egress.mjs"
TAIL = "tail.mjs"
JAVASCRIPT = "application/javascript+module"
COMPATIBILITY_DATE = "2026-10-01"  # of the runtime that these are tested with


@cache
def module(name: str) -> Module:
    content = resources.files("reconciler").joinpath("workers", name).read_bytes()
    return Module(name, JAVASCRIPT, content)
