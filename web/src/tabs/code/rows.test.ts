// What of the tree is visible, and what keys, copies and drags find.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EntryKind, EntrySchema, type Entry } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { childrenOf, copyName, dropTarget, filesIn, foldersAbove, typedRow, visibleRows } from "./rows";

const entries = (...paths: string[]): Map<string, Entry> => new Map(paths.map((path) => (path.endsWith("/") ? [path.slice(0, -1), create(EntrySchema, { path: path.slice(0, -1), kind: EntryKind.FOLDER })] : [path, create(EntrySchema, { path, kind: EntryKind.FILE })])));
const rowsOf = (all: Map<string, Entry>, ...open: string[]) => visibleRows(childrenOf(all), all, new Set(open));

test("folders come first, closed ones hide what is in them, and numbers count", () => {
  const all = entries("src/", "src/a.py", "z2", "z10", "b/c/d");
  expect(rowsOf(all).map((r) => r.path)).toEqual(["b", "src", "z2", "z10"]);
  expect(rowsOf(all, "src", "b").map((r) => [r.path, r.level, r.at, r.of])).toEqual([["b", 0, 1, 4], ["b/c", 1, 1, 1], ["src", 0, 2, 4], ["src/a.py", 1, 1, 1], ["z2", 0, 3, 4], ["z10", 0, 4, 4]]);
});

test("ten thousand entries are laid out in a blink", () => {
  const all = entries(...Array.from({ length: 10_000 }, (_, i) => `f${i % 100}/file${i}.txt`));
  const begun = performance.now();
  expect(rowsOf(all, ...Array.from({ length: 100 }, (_, i) => `f${i}`))).toHaveLength(10_100);
  expect(performance.now() - begun).toBeLessThan(1_000);
});

test("typing finds the next name; the same letter again walks on", () => {
  const rows = rowsOf(entries("alpha", "beta", "bravo", "gamma"));
  expect(typedRow(rows, 0, "b")).toBe(1);
  expect(typedRow(rows, 1, "bb")).toBe(2);
  expect(typedRow(rows, 1, "br")).toBe(2);
  expect(typedRow(rows, 2, "b")).toBe(1);
  expect(typedRow(rows, 0, "x")).toBe(-1);
});

test("a copy gets a free name before its ending", () => {
  const taken = new Set(["src/a copy.py"]);
  expect(copyName("src/a.py", "copy", (path) => taken.has(path))).toBe("src/a copy 2.py");
  expect(copyName(".env", "copy", () => false)).toBe(".env copy");
});

test("a drag into itself or where it is already changes nothing", () => {
  expect(dropTarget("src/a", "")).toBe("a");
  expect(dropTarget("src/a", "src")).toBeNull();
  expect(dropTarget("src", "src/lib")).toBeNull();
  expect(dropTarget("src", "src")).toBeNull();
  expect(dropTarget("a", "src")).toBe("src/a");
});

test("the files of a folder are counted, and not those of its neighbour", () => {
  expect(filesIn(entries("src/", "src/a", "src/b/", "src/b/c", "srcs/d"), "src")).toBe(2);
  expect(foldersAbove("a/b/c")).toEqual(["a", "a/b"]);
});
