"""One class for each kind of binding that Cloudflare has: its fields, its form on the wire, its local stand-in.

A class's fields are the fields of the configuration and of the wire at once, and its JSON Schema is derived from
them. To add a kind: write one class below; nothing else names it. (`local` names what stands in for it on the
embedded platform; leave it out where nothing does.)
"""

# ruff: noqa: RUF009 - told() makes a dataclass field, which is no shared default

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, Literal

Schema = dict[str, Any]


def told(description: str, *, default: Any = MISSING, **rules: Any) -> Any:
    """A field with its description and rules for the schema; without a default it is required."""
    metadata = {"schema": {"description": description, **rules}}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Binding:
    """What every binding has. `name` is how the code finds it: env.NAME."""

    name: str

    kind: ClassVar[str] = ""
    local: ClassVar[str] = ""  # what stands in for it locally; "" for nothing
    egress_bypass: ClassVar[str] = ""  # how traffic leaves through it past an outbound Worker; "" when none can
    refused: ClassVar[str] = ""  # what to write instead, for a kind that a repository cannot hold

    def __init_subclass__(cls, kind: str, local: str = "", egress_bypass: str = "", refused: str = "") -> None:
        cls.kind, cls.local, cls.egress_bypass, cls.refused = kind, local, egress_bypass, refused
        KINDS[kind] = cls

    def wire(self) -> dict[str, Any]:
        """The binding in an upload's metadata. What is not set is left out, and Cloudflare's default holds."""
        values = {one.name: _plain(getattr(self, one.name)) for one in dataclasses.fields(self) if one.name != "name"}
        return {"name": self.name, "type": self.kind, **{key: one for key, one in values.items() if one is not None}}

    @classmethod
    def schema(cls) -> Schema:
        """The JSON Schema of its configuration, `type` included."""
        hints = _hints(cls)
        fields = [one for one in dataclasses.fields(cls) if one.name != "name"]
        description = " ".join((cls.__doc__ or "").split())
        if cls.refused:
            return {"description": description, "properties": {"type": {"const": cls.kind}}}
        return {
            "description": description,
            "properties": {
                "type": {"const": cls.kind},
                **{one.name: {**_schema_of(hints[one.name]), **one.metadata["schema"]} for one in fields},
            },
            "required": ["type", *(one.name for one in fields if one.default is MISSING)],
            "additionalProperties": False,
        }


KINDS: dict[str, type[Binding]] = {}


def wire(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configured binding in an upload's metadata: what `read(…).wire()` gives, without making the value."""
    return {"name": name, **config}


def read(name: str, config: Mapping[str, Any]) -> Binding:
    """A binding from its configuration, which the schema has found good."""
    cls = KINDS[config["type"]]
    hints = _hints(cls)
    return cls(name, **{key: _typed(hints[key], value) for key, value in config.items() if key != "type"})


@dataclass(frozen=True)
class Ai(Binding, kind="ai"):
    """Workers AI."""


@dataclass(frozen=True)
class AiSearch(Binding, kind="ai_search"):
    """An AI Search instance."""

    instance_name: str = told("The instance's name.")
    namespace: str | None = told("The namespace that the instance is in.", default=None)


@dataclass(frozen=True)
class AiSearchNamespace(Binding, kind="ai_search_namespace"):
    """A namespace of AI Search instances."""

    namespace: str = told("The namespace's name.")


@dataclass(frozen=True)
class AnalyticsEngine(Binding, kind="analytics_engine", local="data points are shown among the script's events"):
    """A dataset of Workers Analytics Engine."""

    dataset: str = told("The dataset's name.")


@dataclass(frozen=True)
class Artifacts(Binding, kind="artifacts"):
    """A namespace of Artifacts."""

    namespace: str = told("The namespace's name.")


@dataclass(frozen=True)
class Assets(Binding, kind="assets", local="served from the account"):
    """The script's own static assets, for code that serves them itself."""


@dataclass(frozen=True)
class Browser(Binding, kind="browser"):
    """A headless browser. Pages that it opens are fetched by the browser, not by the script."""


@dataclass(frozen=True)
class D1(Binding, kind="d1", local="a SQLite file"):
    """A D1 database."""

    database_id: str = told("The database's id.", examples=["a1b2c3d4-0000-4000-8000-123456789abc"])


@dataclass(frozen=True)
class DataBlob(Binding, kind="data_blob"):
    """A module as an ArrayBuffer, for scripts in service-worker syntax."""

    part: str = told("The module's name in the upload.")


@dataclass(frozen=True)
class DispatchNamespace(Binding, kind="dispatch_namespace", local="the account's namespaces"):
    """A dispatch namespace, whose scripts can then be called."""

    namespace: str = told("The namespace's name.")
    outbound: DispatchOutbound | None = told("The outbound Worker of the scripts called through it.", default=None)


@dataclass(frozen=True)
class DispatchOutbound:
    """Which Worker the fetches of called scripts pass through."""

    worker: DispatchOutboundWorker | None = told("The outbound Worker.", default=None)
    params: tuple[DispatchParameter, ...] | None = told("What it is told at each call.", default=None)


@dataclass(frozen=True)
class DispatchOutboundWorker:
    """An ordinary Worker of the account."""

    service: str | None = told("The Worker's name.", default=None)
    environment: str | None = told("The Worker's environment.", default=None)
    entrypoint: str | None = told("A named export of it.", default=None)


@dataclass(frozen=True)
class DispatchParameter:
    """One value that is given with a call."""

    name: str = told("The parameter's name.")


@dataclass(frozen=True)
class DurableObjectNamespace(
    Binding,
    kind="durable_object_namespace",
    egress_bypass="fetches from inside a Durable Object do not pass the outbound Worker",
):
    """A Durable Object class. Name the class of another script, or one of this script's own."""

    class_name: str | None = told("The exported class.", default=None)
    script_name: str | None = told("The script that exports it; left out for this one.", default=None)
    dispatch_namespace: str | None = told("The dispatch namespace that script is in.", default=None)
    environment: str | None = told("That script's environment.", default=None)
    namespace_id: str | None = told("The Durable Object namespace's id, instead of a class.", default=None)


@dataclass(frozen=True)
class Flagship(Binding, kind="flagship"):
    """A Flagship app: feature flags."""

    app_id: str = told("The app's id.")


@dataclass(frozen=True)
class Hyperdrive(Binding, kind="hyperdrive"):
    """A Hyperdrive configuration: pooled connections to a database."""

    id: str = told("The configuration's id.")


@dataclass(frozen=True)
class Images(Binding, kind="images"):
    """Cloudflare Images."""


@dataclass(frozen=True)
class Inherit(Binding, kind="inherit", local="what the live script has"):
    """The binding of this name that is live already, kept as it is."""

    old_name: str | None = told("Its name on the live script, when that is another.", default=None)
    version_id: str | None = told("The version to take it from.", default=None)


@dataclass(frozen=True)
class Json(Binding, kind="json", local="the value"):
    """A JSON value. `vars` is the shorter way to write it."""

    json: Any = told("The value.")


@dataclass(frozen=True)
class K2(Binding, kind="k2"):
    """A stream of K2."""

    stream: str = told("The stream's name.")


@dataclass(frozen=True)
class KvNamespace(Binding, kind="kv_namespace", local="a table of the account"):
    """A Workers KV namespace."""

    namespace_id: str = told("The namespace's id.", examples=["0f2ac74b498b48028cb68387c421e279"])


@dataclass(frozen=True)
class Media(Binding, kind="media"):
    """Media transformations."""


@dataclass(frozen=True)
class Messaging(Binding, kind="messaging"):
    """A namespace of Messaging."""

    namespace: str = told("The namespace's name.")


@dataclass(frozen=True)
class MtlsCertificate(
    Binding, kind="mtls_certificate", egress_bypass="fetches through it do not pass the outbound Worker"
):
    """A client certificate for fetches to a server that asks for one."""

    certificate_id: str = told("The certificate's id.")


@dataclass(frozen=True)
class Pipelines(Binding, kind="pipelines"):
    """A pipeline."""

    pipeline: str = told("The pipeline's name.")


@dataclass(frozen=True)
class PlainText(Binding, kind="plain_text", local="the text"):
    """A text. `vars` is the shorter way to write it."""

    text: str = told("The text.")


@dataclass(frozen=True)
class Queue(Binding, kind="queue", local="messages are shown among the script's events"):
    """A queue to send messages to."""

    queue_name: str = told("The queue's name.")


@dataclass(frozen=True)
class R2Bucket(Binding, kind="r2_bucket", local="objects of the account"):
    """An R2 bucket."""

    bucket_name: str = told("The bucket's name.")
    jurisdiction: Literal["eu", "fedramp", "fedramp-high", "us"] | None = told("Where its data stays.", default=None)


@dataclass(frozen=True)
class Ratelimit(Binding, kind="ratelimit", local="counts per loaded script"):
    """A rate limiter."""

    namespace_id: str = told("A number, as text, that you choose: limiters with the same one share their counts.")
    simple: RatelimitSimple = told("How many in how long.")


@dataclass(frozen=True)
class RatelimitSimple:
    """A limit over a period."""

    limit: int = told("How many in a period.", minimum=1)
    period: int = told("Seconds: 10 or 60.", enum=[10, 60])
    mitigation_timeout: int | None = told("Seconds of refusal past the limit.", default=None, minimum=0)


@dataclass(frozen=True)
class SecretKey(
    Binding, kind="secret_key", local="the key", refused="`secrets`, and crypto.subtle.importKey in the code"
):
    """A key for WebCrypto. Its value would stand in the repository, so it cannot be declared here."""


@dataclass(frozen=True)
class SecretText(Binding, kind="secret_text", local="the value", refused="`secrets: {NAME: {env: VARIABLE}}`"):
    """A secret. Its value would stand in the repository, so it cannot be declared here."""


@dataclass(frozen=True)
class SecretsStoreSecret(Binding, kind="secrets_store_secret"):
    """A secret of the account's Secrets Store."""

    store_id: str = told("The store's id.")
    secret_name: str = told("The secret's name in the store.")


@dataclass(frozen=True)
class SendEmail(Binding, kind="send_email"):
    """Sends e-mail to verified addresses."""

    destination_address: str | None = told("The only address that it may send to.", default=None)
    allowed_destination_addresses: tuple[str, ...] | None = told("Addresses that it may send to.", default=None)
    allowed_sender_addresses: tuple[str, ...] | None = told("Addresses that it may send from.", default=None)


@dataclass(frozen=True)
class Service(
    Binding,
    kind="service",
    local="the account's Workers",
    egress_bypass="the bound Worker makes its own fetches, which do not pass the outbound Worker",
):
    """Another Worker of the account."""

    service: str = told("The Worker's name.")
    environment: str | None = told("The Worker's environment.", default=None)
    entrypoint: str | None = told("A named export of it.", default=None)


@dataclass(frozen=True)
class TextBlob(Binding, kind="text_blob", local="the module"):
    """A module as text, for scripts in service-worker syntax."""

    part: str = told("The module's name in the upload.")


@dataclass(frozen=True)
class Vectorize(Binding, kind="vectorize"):
    """A Vectorize index."""

    index_name: str = told("The index's name.")


@dataclass(frozen=True)
class VersionMetadata(Binding, kind="version_metadata", local="the upload's version"):
    """The id and time of the version that runs."""


@dataclass(frozen=True)
class VpcNetwork(Binding, kind="vpc_network"):
    """A private network, by its id or by a tunnel into it."""

    network_id: str | None = told("The network's id.", default=None)
    tunnel_id: str | None = told("The tunnel's id.", default=None)
    identity: Literal["runtime-email-alpha"] | None = told("The identity to present.", default=None)


@dataclass(frozen=True)
class VpcService(Binding, kind="vpc_service"):
    """A service in a private network."""

    service_id: str = told("The service's id.")


@dataclass(frozen=True)
class WasmModule(Binding, kind="wasm_module"):
    """A WebAssembly module, for scripts in service-worker syntax."""

    part: str = told("The module's name in the upload.")


@dataclass(frozen=True)
class Workflow(Binding, kind="workflow"):
    """A workflow."""

    workflow_name: str = told("The workflow's name.")
    class_name: str | None = told("The exported class.", default=None)
    script_name: str | None = told("The script that exports it; left out for this one.", default=None)


_UNIONS = (types.UnionType, typing.Union)
_SCALARS: Mapping[Any, Schema] = {str: {"type": "string", "minLength": 1}, int: {"type": "integer"}, Any: {}}


def _schema_of(hint: Any) -> Schema:
    """The schema of a field's type. Optional fields are left out where they are not wanted, never null."""
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return _schema_of(next(one for one in arguments if one is not types.NoneType))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(arguments[0])}
    hints, fields = _hints(hint), dataclasses.fields(hint)
    return {
        "type": "object",
        "properties": {one.name: {**_schema_of(hints[one.name]), **one.metadata["schema"]} for one in fields},
        "required": [one.name for one in fields if one.default is MISSING],
        "additionalProperties": False,
    }


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


_HINTS: dict[type, dict[str, Any]] = {}


def _typed(hint: Any, value: Any) -> Any:
    """A configured value in the type of its field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return _typed(next(one for one in arguments if one is not types.NoneType), value)
    if origin is tuple:
        return tuple(_typed(arguments[0], one) for one in value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        return hint(**{key: _typed(hints[key], one) for key, one in value.items()})
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {key: one for key, one in values.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
