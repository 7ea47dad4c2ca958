// Two outputs are compared by their lines; what is equal is folded.
import { expect, test } from "vitest";
import { binaryBytes } from "../../lib/runs";
import { difference, sameBytes } from "./difference";

const told = (before: string, after: string) => difference(before, after)?.rows.map((row) => (row.kind === "fold" ? `…${row.count}` : `${{ same: " ", added: "+", removed: "-" }[row.kind]}${row.text}`));

test("changed lines stand between three equal ones, the rest is folded", () => {
  const lines = Array.from({ length: 12 }, (_, i) => `line ${i}`);
  expect(told(lines.join("\n"), lines.with(6, "other").join("\n"))).toEqual(["…3", " line 3", " line 4", " line 5", "-line 6", "+other", " line 7", " line 8", " line 9", "…2"]);
});

test("colours and a missing last line end are no difference", () => {
  expect(difference("\u001b[31mred\u001b[0m\r\n", "red")).toEqual({ rows: [{ kind: "same", text: "red" }], added: 0, removed: 0 });
});

test("an empty output differs from one by all of its lines", () => {
  expect(difference("", "a\nb\n")).toEqual({ rows: [{ kind: "added", text: "a" }, { kind: "added", text: "b" }], added: 2, removed: 0 });
});

test("outputs that are not text are compared by their bytes", () => {
  const wrote = (out: string | number[], err: string | number[] = "") => ({ stdout: typeof out === "string" ? out : "", stderr: typeof err === "string" ? err : "", stdoutData: new Uint8Array(typeof out === "string" ? [] : out), stderrData: new Uint8Array(typeof err === "string" ? [] : err) });
  expect([binaryBytes(wrote([1, 255], [254])), binaryBytes(wrote("a", "b"))]).toEqual([3, 0]);
  expect(sameBytes(wrote([1, 255]), wrote([1, 255]))).toBe(true);
  expect(sameBytes(wrote([1, 255]), wrote([1, 254]))).toBe(false);
  expect(sameBytes(wrote([1, 255]), wrote(""))).toBe(false);
  expect(sameBytes(wrote("a", [255]), wrote("a", [255]))).toBe(true);
  expect(sameBytes(wrote("a", [255]), wrote("b", [255]))).toBe(false);
});
