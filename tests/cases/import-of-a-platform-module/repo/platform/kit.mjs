import "./parts.mjs";
