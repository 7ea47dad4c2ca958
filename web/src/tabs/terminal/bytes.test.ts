// Programs in a terminal are not trusted: their titles, links and questions are looked at.
import { expect, test } from "vitest";
import { arrow, bytesOf, isReply, linkOf, rawBytes, ringOf, titleOf, withHeld } from "./bytes";

test("answers of the screen are told from what a person types", () => {
  for (const text of ["\u001b[?1;2c", "\u001b[0n", "\u001b[12;40R", "\u001b[?12;40R", "\u001b[>0;276;0c", "\u001bP1$r0m\u001b\\", "\u001b]11;rgb:0b0b/0e0e/1717\u001b\\", "\u001b[I", "\u001b[?2026;2$y", "\u001b[0n\u001b[?1;2c"]) expect(isReply(text), JSON.stringify(text)).toBe(true);
  for (const text of ["a", "ls -la\r", "\u001b", "\u001b[A", "\u001bOA", "\u001b[5~", "\u001b[200~pasted\u001b[201~", "\u0003", "\u001b[1;5C"]) expect(isReply(text), JSON.stringify(text)).toBe(false);
});

test("a title is plain and short", () => {
  expect(titleOf("\u001b]0;x\u0007vim\u202e a\nb ")).toBe("]0;xvim ab");
  expect(titleOf("x".repeat(10_000))).toHaveLength(80);
});

test("the phone's Ctrl and Alt change the next sign", () => {
  expect(["c", "C", "[", " ", "?", "ä", "ab"].map((text) => withHeld(text, true, false))).toEqual(["\u0003", "\u0003", "\u001b", "\u0000", "\u007f", "ä", "ab"]);
  expect(withHeld("b", false, true)).toBe("\u001bb");
  expect(withHeld("b", true, true)).toBe("\u001b\u0002");
});

test("arrows follow the program's mode", () => {
  expect([arrow("A", false), arrow("D", true)]).toEqual(["\u001b[A", "\u001bOD"]);
});

test("only addresses of the web open, and the machine's own are ports of the sandbox", () => {
  expect(["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "ssh://a", "nonsense"].map(linkOf)).toEqual([null, null, null, null, null]);
  expect(linkOf("https://example.org/a?b")).toEqual({ href: "https://example.org/a?b", port: null });
  expect([linkOf("http://localhost:5173/")?.port, linkOf("http://0.0.0.0:8000")?.port, linkOf("http://127.0.0.1/")?.port]).toEqual([5173, 8000, 80]);
});

test("text and raw bytes", () => {
  expect([...bytesOf("ä")]).toEqual([0xc3, 0xa4]);
  expect([...rawBytes("\u00ff\u0001")]).toEqual([255, 1]);
});

test("the ring is never fuller than it is large", () => {
  expect(ringOf(300, 100, 1_000)).toEqual({ kept: 200, share: 0.2 });
  expect(ringOf(5_000, 0, 1_000)).toEqual({ kept: 1_000, share: 1 });
});
