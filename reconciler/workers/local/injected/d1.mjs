// D1 as a Worker sees it: SQLite in the account's folder, over the platform's control plane.
import { MAKERS, caller } from "./bindings.mjs";

MAKERS.d1 = (_binding, { requests }) => new Database(caller(requests));

class Database {
  #call;

  constructor(call) {
    this.#call = call;
  }

  prepare(query) {
    return new Statement(this, query, []);
  }

  async batch(statements) {
    return this.run(statements.map((one) => one.asQuery()));
  }

  async exec(script) {
    const lines = script.split("\n").filter((line) => line.trim() !== "");
    const began = performance.now();
    await this.run(lines.map((sql) => ({ sql, params: [] })));
    return { count: lines.length, duration: performance.now() - began };
  }

  /** One replica only: every session sees the newest data. */
  withSession() {
    return Object.assign(Object.create(this), {
      prepare: (query) => this.prepare(query),
      batch: (statements) => this.batch(statements),
      getBookmark: () => null,
    });
  }

  /** All in one transaction; gives one result per query. */
  async run(queries) {
    const reply = await this.#call("http://d1/query", { method: "POST", body: JSON.stringify(queries) });
    const answer = await reply.json();
    if (answer.error) throw new Error(`D1_ERROR: ${answer.error}`);
    return answer.results;
  }
}

class Statement {
  #database;
  #query;
  #values;

  constructor(database, query, values) {
    this.#database = database;
    this.#query = query;
    this.#values = values;
  }

  bind(...values) {
    return new Statement(this.#database, this.#query, values.map(toWire));
  }

  asQuery() {
    return { sql: this.#query, params: this.#values };
  }

  async all() {
    const [{ columns, rows, meta }] = await this.#database.run([this.asQuery()]);
    return { success: true, meta, results: rows.map((row) => toObject(columns, row)) };
  }

  async run() {
    return this.all();
  }

  async first(column) {
    const [{ columns, rows }] = await this.#database.run([this.asQuery()]);
    if (rows.length === 0) return null;
    const row = toObject(columns, rows[0]);
    if (column === undefined) return row;
    if (!(column in row)) throw new Error(`D1_COLUMN_NOTFOUND: Column not found (${column})`);
    return row[column];
  }

  async raw({ columnNames = false } = {}) {
    const [{ columns, rows }] = await this.#database.run([this.asQuery()]);
    return columnNames ? [columns, ...rows.map((row) => row.map(fromWire))] : rows.map((row) => row.map(fromWire));
  }
}

function toObject(columns, row) {
  return Object.fromEntries(columns.map((name, index) => [name, fromWire(row[index])]));
}

// Bytes travel as {"blob": [numbers]}: JSON has none.
function toWire(value) {
  if (value === undefined) throw new Error("D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'");
  if (typeof value === "boolean") return Number(value);
  if (value instanceof ArrayBuffer) return { blob: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { blob: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  return value;
}

function fromWire(value) {
  return value !== null && typeof value === "object" ? value.blob : value;
}
