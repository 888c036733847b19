// Workers KV as a Worker sees it, over the platform's control plane.
import { MAKERS, caller } from "./bindings.mjs";

MAKERS.kv_namespace = (_binding, { requests }) => new KVNamespace(caller(requests));

const ENCODER = new TextEncoder();
const MOST_KEYS = 100; // of one bulk get
const LONGEST_KEY = 512; // bytes

class KVNamespace {
  #call;

  constructor(call) {
    this.#call = call;
  }

  async get(key, options) {
    const { value, values } = await this.#read("get", key, options);
    return values ?? value;
  }

  async getWithMetadata(key, options) {
    const { value, metadata, values } = await this.#read("getWithMetadata", key, options);
    return values ?? { value, metadata, cacheStatus: null };
  }

  async put(key, value, options = {}) {
    check(key);
    const { expiration, expirationTtl, metadata } = options;
    if (expirationTtl !== undefined && expirationTtl < 60) {
      throw new Error(`KV PUT failed: 400 Invalid expiration_ttl of ${expirationTtl}. Expiration TTL must be at least 60.`);
    }
    const query = new URLSearchParams();
    if (expiration !== undefined) query.set("expiration", expiration);
    if (expirationTtl !== undefined) query.set("expiration_ttl", expirationTtl);
    if (metadata !== undefined) query.set("metadata", JSON.stringify(metadata));
    await this.#ok("PUT", `values/${encodeURIComponent(key)}?${query}`, await bytes(value));
  }

  async delete(key) {
    check(key);
    await this.#ok("DELETE", `values/${encodeURIComponent(key)}`);
  }

  async list({ prefix = "", cursor = "", limit = 1000 } = {}) {
    const query = new URLSearchParams({ prefix: prefix ?? "", cursor: cursor ?? "", limit });
    const reply = await this.#ok("GET", `keys?${query}`);
    return { ...(await reply.json()), cacheStatus: null };
  }

  async #read(method, key, options) {
    const type = (typeof options === "string" ? options : options?.type) ?? "text";
    if (Array.isArray(key)) return { values: await this.#readMany(method, key, type) };
    check(key);
    const reply = await this.#call(`http://kv/values/${encodeURIComponent(key)}`);
    if (reply.status === 404) return { value: null, metadata: null };
    if (!reply.ok) throw new Error(`KV GET failed: ${reply.status} ${await reply.text()}`);
    const metadata = JSON.parse(decodeURIComponent(reply.headers.get("x-metadata") ?? "null"));
    return { value: await decode(reply, type), metadata };
  }

  async #readMany(method, keys, type) {
    if (keys.length > MOST_KEYS) throw new Error(`KV GET_BULK failed: 400 You can request a maximum of ${MOST_KEYS} keys`);
    if (type !== "text" && type !== "json") throw new Error(`"${type}" is not a valid type. Use "json" or "text"`);
    const found = new Map();
    for (const key of keys) {
      const { value, metadata } = await this.#read(method, key, type);
      found.set(key, method === "get" ? value : { value, metadata, cacheStatus: null });
    }
    return found;
  }

  async #ok(method, path, body) {
    const reply = await this.#call(`http://kv/${path}`, { method, body });
    if (reply.ok) return reply;
    throw new Error(`KV ${method} failed: ${reply.status} ${await reply.text()}`);
  }
}

async function decode(reply, type) {
  switch (type) {
    case "text":
      return reply.text();
    case "json":
      return reply.json();
    case "arrayBuffer":
      return reply.arrayBuffer();
    case "stream":
      return reply.body;
    default:
      throw new TypeError(`Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".`);
  }
}

async function bytes(value) {
  if (typeof value === "string" || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value;
  if (value instanceof ReadableStream) return await new Response(value).arrayBuffer();
  throw new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");
}

function check(key) {
  const name = String(key);
  if (name === "") throw new TypeError("Key name cannot be empty.");
  if (name === "." || name === "..") throw new TypeError(`"${name}" is not allowed as a key name.`);
  const length = ENCODER.encode(name).length;
  if (length > LONGEST_KEY) {
    throw new Error(`KV GET failed: 414 UTF-8 encoded length of ${length} exceeds key length limit of ${LONGEST_KEY}.`);
  }
}
