"""What the platform's Worker asks of the control plane, and how it is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the platform's Worker."""

    method: str
    path: tuple[str, ...]  # decoded, without the resource's name
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, separators=(",", ":")).encode(), {"content-type": "application/json"})
