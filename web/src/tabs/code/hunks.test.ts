// Hunks put lines back, alone or together, wherever they lie.
import { expect, test } from "vitest";
import { hunksOf, linesOf, nextOpen, textWith, type Decision } from "./hunks";

const original = "a\nb\nc\nd\ne\nf\n";
const proposed = "new\na\nB1\nB2\nc\ne\nf";
// A line that came, two for one, one that went, and the end of the last line.
const hunks = hunksOf([
  { originalStartLineNumber: 0, originalEndLineNumber: 0, modifiedStartLineNumber: 1, modifiedEndLineNumber: 1 },
  { originalStartLineNumber: 2, originalEndLineNumber: 2, modifiedStartLineNumber: 3, modifiedEndLineNumber: 4 },
  { originalStartLineNumber: 4, originalEndLineNumber: 4, modifiedStartLineNumber: 5, modifiedEndLineNumber: 0 },
  { originalStartLineNumber: 7, originalEndLineNumber: 7, modifiedStartLineNumber: 7, modifiedEndLineNumber: 0 },
]);
const back = (...which: number[]) => textWith(original, proposed, hunks, (at) => which.includes(at));

test("all put back is the first text, none the second", () => {
  expect(back(0, 1, 2, 3)).toBe(original);
  expect(back()).toBe(proposed);
});

test("each hunk goes back alone", () => {
  expect(back(0)).toBe("a\nB1\nB2\nc\ne\nf");
  expect(back(1)).toBe("new\na\nb\nc\ne\nf");
  expect(back(2)).toBe("new\na\nB1\nB2\nc\nd\ne\nf");
  expect(back(3)).toBe("new\na\nB1\nB2\nc\ne\nf\n");
});

test("hunks below one that was put back move with it", () => {
  const decided = (...which: Decision[]) => linesOf(hunks, which);
  expect(decided("open", "open", "open", "open")).toEqual([1, 3, 6, 8]);
  expect(decided("rejected", "rejected", "open", "open")).toEqual([1, 2, 4, 6]);
  expect(decided("kept", "open", "rejected", "open")).toEqual([1, 3, 6, 9]);
});

test("the next open hunk comes after the last decision, around the end", () => {
  expect(nextOpen(["open", "kept", "rejected"], 2)).toBe(0);
  expect(nextOpen(["open", "kept", "open"], 0)).toBe(2);
  expect(nextOpen(["kept", "kept"], 0)).toBe(-1);
});
