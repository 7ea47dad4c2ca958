// Open files, previews, drafts and renames.
import { beforeEach, expect, test } from "vitest";
import { closeFile, focusSide, joinSides, keepViewOf, moveAside, sidesOf, splitEditor, renamePaths } from "./sides";
import { insertIntoEditor, openFile, setDraft, useWorkbench } from "./workbench";

const now = () => useWorkbench.getState();
beforeEach(() => useWorkbench.setState({ open: [], active: null, preview: null, other: null, right: false, views: {}, drafts: {}, expanded: [], insertion: null }));

test("a preview gives way to the next one", () => {
  openFile("a", false);
  openFile("b", false);
  expect(now()).toMatchObject({ open: ["b"], active: "b", preview: "b" });
});

test("an edited preview stays", () => {
  openFile("a", false);
  setDraft("a", { text: "x", baseVersion: "1" });
  openFile("b", false);
  expect(now().open).toEqual(["a", "b"]);
});

test("closing shows the neighbour and forgets the draft", () => {
  for (const path of ["a", "b", "c"]) openFile(path);
  setDraft("b", { text: "x", baseVersion: "1" });
  openFile("b");
  closeFile("b");
  expect(now()).toMatchObject({ open: ["a", "c"], active: "c", drafts: {} });
});

test("a renamed folder takes its open files and drafts along", () => {
  openFile("src/a.py");
  openFile("srcs.py");
  setDraft("src/a.py", { text: "x", baseVersion: "1" });
  renamePaths("src", "lib");
  expect(now().open).toEqual(["lib/a.py", "srcs.py"]);
  expect(now().drafts["lib/a.py"]?.text).toBe("x");
});

test("text goes into the open file, and only when there is one", () => {
  expect(insertIntoEditor("x")).toBe(false);
  openFile("a");
  expect(insertIntoEditor("x")).toBe(true);
  expect(now().insertion).toEqual({ path: "a", text: "x" });
});

test("a split shows the active file on the right, with tabs of its own", () => {
  openFile("a");
  openFile("b");
  splitEditor();
  openFile("c");
  expect(sidesOf(now()).map((side) => side.open)).toEqual([["a", "b"], ["b", "c"]]);
  expect(now()).toMatchObject({ active: "c", right: true });
  focusSide(false);
  expect(now()).toMatchObject({ open: ["a", "b"], active: "b", right: false });
  splitEditor();
  expect(now()).toMatchObject({ open: ["b", "c"], active: "b", right: true });
});

test("a moved file leaves its side, and a side without files goes", () => {
  openFile("a");
  openFile("b");
  moveAside("b", true);
  expect(sidesOf(now()).map((side) => side.open)).toEqual([["a"], ["b"]]);
  focusSide(false);
  moveAside("a", true);
  expect(sidesOf(now())).toEqual([{ open: ["b", "a"], active: "a", preview: null }]);
});

test("a file on both sides keeps its draft until the last of it is closed", () => {
  openFile("a");
  openFile("b");
  splitEditor();
  setDraft("b", { text: "x", baseVersion: "1" });
  closeFile("b");
  expect(now()).toMatchObject({ open: ["a", "b"], other: null, right: false });
  expect(now().drafts["b"]).toBeDefined();
  closeFile("b");
  expect(now().drafts).toEqual({});
});

test("a deleted file goes from both sides", () => {
  openFile("a");
  splitEditor();
  openFile("b");
  closeFile("a", true);
  expect(sidesOf(now())).toEqual([{ open: ["b"], active: "b", preview: null }]);
});

test("views and both sides follow a rename, and a narrow screen lays the sides together", () => {
  openFile("src/a");
  keepViewOf("src/a", false, { line: 7 });
  splitEditor();
  openFile("b");
  renamePaths("src", "lib");
  expect(now().views).toEqual({ "left:lib/a": { line: 7 } });
  joinSides();
  expect(now()).toMatchObject({ open: ["lib/a", "b"], active: "b", other: null });
});
