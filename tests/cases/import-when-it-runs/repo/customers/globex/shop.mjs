export default {
  async fetch() {
    const { cart } = await import("./cart.mjs");
    return cart();
  },
};
