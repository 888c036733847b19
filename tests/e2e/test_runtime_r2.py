"""R2 as a user Worker meets it: whole objects, ranges, conditions, pages, uploads in parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.platforms import Platform, running

BUCKET = "uploads"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("account")) as platform:
        platform.store.r2.create_bucket(BUCKET)
        yield platform


def r2(platform: Platform, script: str) -> Any:
    code = f"export default {{ async fetch(_request, {{ R2 }}) {{ {script} }} }};"
    platform.put("r2", code, bindings=[{"type": "r2_bucket", "name": "R2", "bucket_name": BUCKET}])
    reply = platform.get("/r2")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_an_object_is_written_whole_and_read_in_every_form(platform: Platform) -> None:
    script = """
        const put = await R2.put("a/é.txt", "hello", {
          httpMetadata: { contentType: "text/plain", cacheControl: "no-store" }, customMetadata: { owner: "acme" },
        });
        const headers = new Headers();
        (await R2.head("a/é.txt")).writeHttpMetadata(headers);
        const got = await R2.get("a/é.txt");
        await R2.put("json", JSON.stringify({ a: 1 }));
        await R2.put("stream", new Response("streamed").body);
        await R2.put("empty", null);
        return Response.json([
          put.etag === got.etag, got.httpEtag, got.size, got.uploaded instanceof Date, await got.text(), got.bodyUsed,
          got.customMetadata, [...headers], await (await R2.get("json")).json(),
          new TextDecoder().decode(await (await R2.get("stream")).bytes()), (await R2.get("empty")).size,
          await R2.get("nowhere"), await R2.head("nowhere"), got.checksums.toJSON(),
        ]);
    """
    md5 = "5d41402abc4b2a76b9719d911017c592"
    headers = [["cache-control", "no-store"], ["content-type", "text/plain"]]
    assert r2(platform, script) == [
        True, f'"{md5}"', 5, True, "hello", True, {"owner": "acme"}, headers, {"a": 1}, "streamed", 0, None, None,
        {"md5": md5},
    ]  # fmt: skip


def test_a_part_of_an_object_is_read(platform: Platform) -> None:
    script = """
        await R2.put("digits", "0123456789");
        const text = async (range) => (await R2.get("digits", { range })).text();
        const { range, size } = await R2.get("digits", { range: { offset: 2, length: 3 } });
        const outside = await R2.get("digits", { range: { offset: 99 } }).catch((error) => error.message);
        return Response.json([
          await text({ offset: 7 }), await text({ suffix: 2 }), await text({ offset: 2, length: 3 }),
          await text(new Headers({ range: "bytes=1-3" })), range, size, outside,
        ]);
    """
    outside = "get: The requested range is not satisfiable (10039)"
    assert r2(platform, script) == ["789", "89", "234", "123", {"offset": 2, "length": 3}, 10, outside]


def test_conditions_hold_reads_and_writes_back(platform: Platform) -> None:
    script = """
        const { etag } = await R2.put("once", "first");
        const other = "0".repeat(32);
        const read = async (onlyIf) => "body" in (await R2.get("once", { onlyIf }));
        const write = async (onlyIf) => (await R2.put("once", "second", { onlyIf })) !== null;
        return Response.json([
          await read({ etagMatches: etag }), await read({ etagDoesNotMatch: etag }),
          await read(new Headers({ "if-none-match": `"${etag}"` })),
          await write({ etagMatches: other }), await write({ etagDoesNotMatch: "*" }),
          await (await R2.get("once")).text(),
          await write({ etagMatches: etag, uploadedAfter: new Date(0) }), await (await R2.get("once")).text(),
          await R2.put("once", "x", { md5: other }).catch((error) => error.message.slice(-7)),
        ]);
    """
    expected = [True, False, False, False, False, "first", True, "second", "(10037)"]
    assert r2(platform, script) == expected


def test_keys_are_listed_in_pages_and_by_folder_and_deleted(platform: Platform) -> None:
    script = """
        for (const key of ["l/a/1", "l/a/2", "l/b", "l/c/1"]) await R2.put(key, key);
        const keys = ({ objects }) => objects.map(({ key }) => key);
        const first = await R2.list({ prefix: "l/", limit: 3 });
        const rest = await R2.list({ prefix: "l/", limit: 3, cursor: first.cursor });
        const folders = await R2.list({ prefix: "l/", delimiter: "/" });
        const paged = await R2.list({ prefix: "l/", delimiter: "/", limit: 1 });
        const next = await R2.list({ prefix: "l/", delimiter: "/", limit: 2, cursor: paged.cursor });
        await R2.delete(["l/a/1", "l/a/2", "never"]);
        await R2.delete("l/b");
        return Response.json([
          keys(first), first.truncated, keys(rest), rest.truncated, rest.cursor ?? null,
          keys(folders), folders.delimitedPrefixes, paged.delimitedPrefixes, keys(next), next.delimitedPrefixes,
          keys(await R2.list({ prefix: "l/" })),
        ]);
    """
    assert r2(platform, script) == [
        ["l/a/1", "l/a/2", "l/b"], True, ["l/c/1"], False, None,
        ["l/b"], ["l/a/", "l/c/"], ["l/a/"], ["l/b"], ["l/c/"],
        ["l/c/1"],
    ]  # fmt: skip


def test_an_object_is_uploaded_in_parts(platform: Platform) -> None:
    script = """
        const upload = await R2.createMultipartUpload("large", { customMetadata: { parts: "2" } });
        const again = R2.resumeMultipartUpload("large", upload.uploadId);
        const parts = [await upload.uploadPart(2, "world"), await again.uploadPart(1, "hello ")];
        const before = await R2.head("large");
        const made = await again.complete(parts);
        const gone = await again.complete(parts).catch((error) => error.message);
        const dropped = await R2.createMultipartUpload("dropped");
        await dropped.uploadPart(1, "x");
        await dropped.abort();
        return Response.json([
          before, made.size, made.etag.slice(-2), made.customMetadata, await (await R2.get("large")).text(), gone,
          await R2.head("dropped"),
        ]);
    """
    gone = "completeMultipartUpload: The specified multipart upload does not exist. (10024)"
    assert r2(platform, script) == [None, 11, "-2", {"parts": "2"}, "hello world", gone, None]


def test_a_bucket_that_is_not_there_is_told(platform: Platform) -> None:
    code = "export default { fetch: (_r, { R2 }) => R2.get('a').then(String) };"
    platform.put("lost", code, bindings=[{"type": "r2_bucket", "name": "R2", "bucket_name": "nowhere"}])
    assert platform.get("/lost").text == "get: The specified bucket does not exist. (10006)"
