import { page } from "./platform_module.mjs";

export default {
  async fetch() {
    return page("Vandelay Industries", "<p>Importers and exporters of latex.</p>");
  },
};
