// A comment.
export const words = {
  hello: "hello",
  good bye: "bye",
};
