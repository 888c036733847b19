import { kit } from "../kit.mjs";
import "./kit.mjs";
