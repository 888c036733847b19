// Evaluates workflow expressions with GitHub's own library: one JSON question a line in, one JSON answer a line out.
import { createInterface } from "node:readline";
import { Evaluator, Lexer, Parser, data } from "@actions/expressions";
import { truthy } from "@actions/expressions/result";

const STATUS = ["success", "failure", "always", "cancelled"];

function evaluate({ expression, contexts, status }) {
  const functions = new Map(
    STATUS.map((name) => [name, { name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(status[name]) }]),
  );
  const { tokens } = new Lexer(expression).lex();
  const called = tokens.some((token, at) => STATUS.includes(token.lexeme) && tokens[at + 1]?.lexeme === "(");
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  const tree = new Parser(tokens, Object.keys(contexts), [...functions.values()]).parse();
  const found = new Evaluator(tree, known, functions).evaluate();
  return {
    value: JSON.parse(JSON.stringify(found, data.replacer)),
    text: found.coerceString(),
    truthy: truthy(found),
    asksStatus: called,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = evaluate(JSON.parse(line));
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
