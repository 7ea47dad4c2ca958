// Open files, previews, drafts and renames.
import { beforeEach, expect, test } from "vitest";
import { closeFile, insertIntoEditor, openFile, renamePaths, setDraft, useWorkbench } from "./workbench";

const now = () => useWorkbench.getState();
beforeEach(() => useWorkbench.setState({ open: [], active: null, preview: null, drafts: {}, expanded: [], insertion: null }));

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
