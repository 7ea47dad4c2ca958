// A save sends the lines that changed, with three lines around them.
import { expect, test } from "vitest";
import { patchOf } from "./patch";

const lines = (count: number) => Array.from({ length: count }, (_, i) => `line ${i + 1}`);
const text = (all: string[]) => `${all.join("\n")}\n`;

test("one changed line of four thousand is less than a kilobyte", () => {
  const after = lines(4_000);
  after[1_999] = "another";
  expect(patchOf(text(lines(4_000)), text(after))).toBe("--- a\n+++ b\n@@ -1997,7 +1997,7 @@\n line 1997\n line 1998\n line 1999\n-line 2000\n+another\n line 2001\n line 2002\n line 2003\n");
});

test("lines that come or go at either end are told", () => {
  const many = lines(40);
  expect(patchOf(text(many), text(["new", ...many]))).toBe("--- a\n+++ b\n@@ -1,3 +1,4 @@\n+new\n line 1\n line 2\n line 3\n");
  expect(patchOf(text([...many, "old"]), text(many))).toBe("--- a\n+++ b\n@@ -38,4 +38,3 @@\n line 38\n line 39\n line 40\n-old\n");
});

test("where it saves nothing or a line's end is in doubt, the whole text is sent", () => {
  expect(patchOf("a\n", "b\n")).toBeNull();
  expect(patchOf("", "a\n")).toBeNull();
  expect(patchOf(text(lines(90)), text(lines(90)).trimEnd())).toBeNull();
});
