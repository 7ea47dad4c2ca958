// Output arrives in pieces that end anywhere.
import { expect, test } from "vitest";
import { append, latest, linesOf, typed } from "./runs";

const piece = (text: string, atMs = 0, stream: "out" | "err" = "out") => ({ text, atMs, stream });

test("pieces within a line are joined", () => {
  expect(append(append([], [piece("he")]), [piece("llo\nwor"), piece("ld\n")]).map((line) => line.text)).toEqual(["hello", "world", ""]);
});

test("a line keeps the time of its first piece", () => {
  expect(append([], [piece("a", 5), piece("b\n", 9)])[0]).toEqual({ text: "ab", atMs: 5, stream: "out" });
});

test("output and error output do not mix in a line", () => {
  expect(append([], [piece("out"), piece("err\n", 1, "err")]).map(({ text, stream }) => `${stream}:${text}`)).toEqual(["out:out", "err:err", "err:"]);
});

test("only the last 20,000 lines are kept, and the others counted", () => {
  const { lines, hidden } = latest(append([], [piece("x\n".repeat(30_000))]));
  expect([lines.length, hidden]).toEqual([20_000, 10_001]);
  expect(latest(append(lines, [piece("y\n")]), hidden).hidden).toBe(10_002);
});

test("the lines of a stored result are all of both outputs, empty ones too", () => {
  const { lines, hidden } = linesOf({ stdout: "a\n\nb\n", stderr: "c", wallMs: 7 });
  expect(lines.map(({ text, stream }) => `${stream}:${text}`)).toEqual(["out:a", "out:", "out:b", "err:c"]);
  expect(hidden).toBe(0);
  expect(linesOf({ stdout: "", stderr: "", wallMs: 7 }).lines).toEqual([]);
});

test("what was typed stands on lines of its own between the outputs", () => {
  let lines = append([], [piece("name? ")]);
  lines = typed(typed(lines, "Ada", 1), "Lovelace", 2);
  lines = typed(append(lines, [piece("hello\n", 3)]), "end", 4);
  expect(append(lines, [piece("bye\n", 5)]).map(({ text, stream }) => `${stream}:${text}`)).toEqual(["out:name? ", "in:Ada", "in:Lovelace", "out:hello", "in:end", "out:bye", "out:"]);
});
