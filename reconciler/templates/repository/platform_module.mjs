// What the platform gives to every script: import { platform } from "./platform_module.mjs";
export const platform = { name: "PLATFORM", version: 1 };
