import { connect } from "cloudflare:socket";
export default {};
