import letterhead from "./letterhead.txt";
import { prices } from "./lib/prices.mjs";
import { table } from "./lib/table.mjs";
import { total } from "./lib/totals.mjs";

export default {
  async fetch() {
    return new Response(`${letterhead}\n${table(prices)}\n\ntotal ${total(prices)}\n`);
  },
};
