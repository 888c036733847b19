import "node:fs"; export default {fetch(){return new Response("x")}};
