// Answers are cut into blocks, code stays code, and nothing of an answer becomes active.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { overwriteGetLocale } from "../../paraglide/runtime";
import { blocksOf, fenceOf, Markdown } from "./markdown";

overwriteGetLocale(() => "en");
afterEach(cleanup);

test("blank lines outside of fences cut blocks", () => {
  expect(blocksOf("one\ntwo\n\n```py\na\n\nb\n```\nthree")).toEqual(["one\ntwo", "```py\na\n\nb\n```", "three"]);
});

test("an unfinished fence is a block of its own", () => {
  expect(blocksOf("text\n```py\nprint(")).toEqual(["text", "```py\nprint("]);
  expect(fenceOf("```py\nprint(")).toEqual({ language: "py", path: "", code: "print(", closed: false });
});

test("a fence names language and file", () => {
  expect(fenceOf("```python src/a.py\nx\n```")).toEqual({ language: "python", path: "src/a.py", code: "x", closed: true });
});

test("fences within longer fences stay inside", () => {
  expect(blocksOf("````md\n```py\nx\n```\n````")).toHaveLength(1);
});

test("list items stay together across blank lines", () => {
  expect(blocksOf("- a\n\n- b")).toHaveLength(1);
});

test("markup in an answer is not executed", () => {
  const { container } = render(<Markdown text={'hello <script>alert(1)</script> <img src=x onerror=alert(1)> [link](javascript:alert(1))'} live={false} name="t" />);
  expect(container.querySelector("script")).toBeNull();
  expect(container.querySelector("img")).toBeNull();
  expect(container.querySelector("a")?.getAttribute("href") ?? "").not.toContain("javascript");
});

test("a finished code block offers what to do with it", () => {
  render(<Markdown text={"```python\nprint(1)\n```"} live={false} name="t" />);
  for (const name of ["Insert into editor", "Copy", "Save as", "Run"]) expect(screen.getByRole("button", { name })).toBeTruthy();
});

test("a block that is still written offers nothing yet", () => {
  render(<Markdown text={"```python\nprint(1"} live name="t" />);
  expect(screen.queryByRole("button")).toBeNull();
});
