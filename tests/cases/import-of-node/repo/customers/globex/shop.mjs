import { Buffer } from "node:buffer";
export default {};
