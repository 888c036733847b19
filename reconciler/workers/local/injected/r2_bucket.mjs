// R2 as a Worker sees it: objects in the account's own file, over the platform's control plane.
import { MAKERS, caller } from "./bindings.mjs";

MAKERS.r2_bucket = (_binding, { requests }) => new R2Bucket(caller(requests));

const ENCODER = new TextEncoder();
const LONGEST_KEY = 1024; // bytes
const MOST_METADATA = 2048; // bytes
const MOST_DELETED = 1000; // keys of one call
const HTTP_METADATA = {
  contentType: "content-type",
  contentLanguage: "content-language",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  cacheControl: "cache-control",
};

class R2Bucket {
  #call;

  constructor(call) {
    this.#call = call;
  }

  async head(key) {
    const { object } = await this.#read(key, { head: true });
    return object;
  }

  async get(key, { onlyIf, range } = {}) {
    const { object, reply } = await this.#read(key, { only: condition(onlyIf), range: span(range) });
    // Without its bytes where the condition does not hold.
    return object && reply.status === 200 ? new R2ObjectBody(object, reply) : object;
  }

  async put(key, value, options = {}) {
    check(key);
    const told = JSON.stringify({ metadata: metadataOf(options), only: condition(options.onlyIf) });
    const body = await bytes(value);
    if (options.md5) await this.#checkMd5(body, options.md5);
    const reply = await this.#ok("put", "PUT", `${place(key)}?options=${encodeURIComponent(told)}`, body);
    const made = await reply.json();
    return made && new R2Object(made);
  }

  async delete(keys) {
    const listed = Array.isArray(keys) ? keys : [keys];
    if (listed.length > MOST_DELETED) throw failure("delete", `a call deletes at most ${MOST_DELETED} keys`, 10061);
    listed.forEach(check);
    await this.#ok("delete", "POST", "delete", JSON.stringify(listed));
  }

  async list({ prefix = "", cursor = "", delimiter = "", limit = 1000 } = {}) {
    const query = new URLSearchParams({ prefix, cursor, delimiter, limit });
    const found = await (await this.#ok("list", "GET", `objects?${query}`)).json();
    const objects = found.objects.map((one) => new R2Object(one));
    const page = { objects, delimitedPrefixes: found.folders, truncated: found.cursor !== "" };
    return page.truncated ? { ...page, cursor: found.cursor } : page;
  }

  async createMultipartUpload(key, options = {}) {
    check(key);
    const reply = await this.#ok("createMultipartUpload", "POST", upload(key), JSON.stringify(metadataOf(options)));
    return this.resumeMultipartUpload(key, (await reply.json()).upload);
  }

  resumeMultipartUpload(key, uploadId) {
    const ask = (method, query, body, action) => this.#ok(action, method, `${upload(key)}?upload=${uploadId}${query}`, body);
    return {
      key,
      uploadId,
      async uploadPart(partNumber, value) {
        const reply = await ask("PUT", `&part=${Number(partNumber)}`, await bytes(value), "uploadPart");
        return { partNumber, ...(await reply.json()) };
      },
      async complete(parts) {
        const reply = await ask("POST", "", JSON.stringify(parts), "completeMultipartUpload");
        return new R2Object(await reply.json());
      },
      async abort() {
        await ask("DELETE", "", undefined, "abortMultipartUpload");
      },
    };
  }

  async #read(key, options) {
    check(key);
    const reply = await this.#call(`http://r2/${place(key)}?options=${encodeURIComponent(JSON.stringify(options))}`);
    const told = reply.headers.get("x-object");
    if (told) return { object: new R2Object(JSON.parse(decodeURIComponent(told))), reply };
    const why = await reply.text();
    if (why) throw new Error(`get: ${why}`);
    return { object: null };
  }

  async #ok(action, method, path, body) {
    const reply = await this.#call(`http://r2/${path}`, { method, body });
    if (reply.ok) return reply;
    throw new Error(`${action}: ${await reply.text()}`);
  }

  async #checkMd5(body, wanted) {
    const given = typeof wanted === "string" ? wanted.toLowerCase() : hex(new Uint8Array(wanted));
    const found = hex(new Uint8Array(await crypto.subtle.digest("MD5", body)));
    if (found !== given) throw failure("put", `The MD5 checksum you specified did not match what we received`, 10037);
  }
}

class R2Object {
  constructor({ md5, uploaded, ...told }) {
    Object.assign(this, { httpMetadata: {}, customMetadata: {}, storageClass: "Standard" }, told);
    if (this.httpMetadata.cacheExpiry) this.httpMetadata.cacheExpiry = new Date(this.httpMetadata.cacheExpiry);
    this.httpEtag = `"${told.etag}"`;
    this.uploaded = new Date(uploaded);
    this.checksums = { ...(md5 ? { md5: Uint8Array.fromHex(md5).buffer } : {}), toJSON: () => (md5 ? { md5 } : {}) };
  }

  writeHttpMetadata(headers) {
    for (const [name, header] of Object.entries(HTTP_METADATA)) {
      if (this.httpMetadata[name] !== undefined) headers.set(header, this.httpMetadata[name]);
    }
    if (this.httpMetadata.cacheExpiry) headers.set("expires", this.httpMetadata.cacheExpiry.toUTCString());
  }
}

class R2ObjectBody extends R2Object {
  #reply;

  constructor(object, reply) {
    super({ ...object, uploaded: object.uploaded, md5: object.checksums.toJSON().md5 });
    this.#reply = reply;
  }

  get body() {
    return this.#reply.body;
  }
  get bodyUsed() {
    return this.#reply.bodyUsed;
  }
  arrayBuffer() {
    return this.#reply.arrayBuffer();
  }
  bytes() {
    return this.#reply.bytes();
  }
  text() {
    return this.#reply.text();
  }
  json() {
    return this.#reply.json();
  }
  async blob() {
    return new Blob([await this.#reply.arrayBuffer()], { type: this.httpMetadata.contentType ?? "" });
  }
}

const place = (key) => `objects/${encodeURIComponent(key)}`;
const upload = (key) => `uploads/${encodeURIComponent(key)}`;
const hex = (content) => content.toHex();
const failure = (action, what, code) => new Error(`${action}: ${what}. (${code})`);

function metadataOf({ httpMetadata = {}, customMetadata = {}, storageClass = "Standard" }) {
  const told = httpMetadata instanceof Headers ? fromHeaders(httpMetadata) : httpMetadata;
  if (ENCODER.encode(JSON.stringify(customMetadata)).length > MOST_METADATA) {
    throw failure("put", "Your metadata headers exceed the maximum allowed metadata size", 10012);
  }
  return { httpMetadata: told, customMetadata, storageClass };
}

function fromHeaders(headers) {
  const found = Object.entries(HTTP_METADATA).map(([name, header]) => [name, headers.get(header)]);
  return Object.fromEntries(found.filter(([, value]) => value !== null));
}

function condition(onlyIf) {
  if (!onlyIf) return undefined;
  if (onlyIf instanceof Headers) {
    const seconds = (header) => (onlyIf.has(header) ? new Date(onlyIf.get(header)).getTime() / 1000 : undefined);
    return {
      etag_matches: bare(onlyIf.get("if-match")),
      etag_does_not_match: bare(onlyIf.get("if-none-match")),
      uploaded_before: seconds("if-unmodified-since"),
      uploaded_after: seconds("if-modified-since"),
    };
  }
  return {
    etag_matches: bare(onlyIf.etagMatches),
    etag_does_not_match: bare(onlyIf.etagDoesNotMatch),
    uploaded_before: onlyIf.uploadedBefore && new Date(onlyIf.uploadedBefore).getTime() / 1000,
    uploaded_after: onlyIf.uploadedAfter && new Date(onlyIf.uploadedAfter).getTime() / 1000,
  };
}

const bare = (etag) => etag?.replace(/^(W\/)?"(.*)"$/, "$2");

function span(range) {
  if (!(range instanceof Headers)) return range;
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range.get("range") ?? "") ?? [];
  if (first === undefined) return undefined;
  if (first === "") return { suffix: Number(last) };
  return { offset: Number(first), ...(last === "" ? {} : { length: Number(last) - Number(first) + 1 }) };
}

async function bytes(value) {
  if (value === null || value === undefined) return new Uint8Array();
  if (typeof value === "string") return ENCODER.encode(value);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value;
  if (value instanceof Blob || value instanceof ReadableStream) return new Response(value).arrayBuffer();
  throw new TypeError("R2 put() accepts only nulls, strings, Blobs, ArrayBuffers, ArrayBufferViews, and ReadableStreams.");
}

function check(key) {
  const length = ENCODER.encode(String(key)).length;
  if (length === 0 || length > LONGEST_KEY) throw failure("put", "The specified object name is not valid", 10020);
}
