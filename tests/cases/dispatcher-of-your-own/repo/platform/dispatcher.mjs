import table from "./routing_table.mjs";
export default table;
