// A tie to a terminal loses no byte, doubles none, and says what is gone.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Attachment, type Tie } from "./attach";

class Wire {
  readyState = 1;
  binaryType = "";
  sent: (string | Uint8Array)[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor(readonly path: string) {}
  send(data: string | Uint8Array) { this.sent.push(data); }
  close() { this.readyState = 3; this.onclose?.(); }
  say(frame: object) { this.onmessage?.({ data: JSON.stringify(frame) }); }
  output(offset: number, text: string) {
    const bytes = new TextEncoder().encode(text);
    const frame = new Uint8Array(8 + bytes.length);
    new DataView(frame.buffer).setBigUint64(0, BigInt(offset));
    frame.set(bytes, 8);
    this.onmessage?.({ data: frame.buffer });
  }
  attached(offset: number, lost = 0) { this.say({ attached: { terminal: { terminalId: "t", state: "RUNNING", isolation: "process", ringBytes: "1048576" }, offset: String(offset), lostBytes: String(lost) } }); }
}

let wires: Wire[];
let text: string;
let gaps: number[];
let ties: Tie[];
let events: (string | undefined)[];
let tie: Attachment;
const wire = () => wires.at(-1) as Wire;
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(async () => {
  vi.useFakeTimers();
  [wires, text, gaps, ties, events] = [[], "", [], [], []];
  tie = new Attachment("t", {
    onTie: (now) => ties.push(now),
    onAttached: () => undefined,
    onOutput: (bytes) => { text += new TextDecoder().decode(bytes); },
    onGap: (bytes) => { gaps.push(bytes); },
    onEvent: (event) => { events.push(event.case); },
  }, { ticket: async (path) => `for ${path}`, socket: (path) => { wires.push(new Wire(path)); return wire() as unknown as WebSocket; } });
  tie.open();
  await settle();
});
afterEach(() => { tie.close(); vi.useRealTimers(); });

test("the ticket is for the terminal's own path, and the window is said", () => {
  const params = new URLSearchParams(wire().path.split("?")[1]);
  expect([params.get("ticket"), params.get("after"), params.get("window")]).toEqual(["for /stream/terminal/t", "0", "131072"]);
});

test("after a cut it goes on where it was, and what comes twice is shown once", async () => {
  wire().attached(0);
  wire().output(0, "hello ");
  wire().close();
  expect(ties.at(-1)).toMatchObject({ state: "lost", attempts: 1 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(new URLSearchParams(wire().path.split("?")[1]).get("after")).toBe("6");
  wire().attached(4);
  wire().output(4, "o world");
  wire().output(6, "worl");
  expect([text, gaps, tie.seen]).toEqual(["hello world", [], 11]);
  expect(ties.at(-1)).toMatchObject({ state: "open", attempts: 0 });
});

test("what the ring does not keep is told as a gap, at the attach and in between", () => {
  wire().attached(100, 100);
  wire().output(100, "a");
  wire().output(151, "b");
  expect([gaps, text]).toEqual([[100, 50], "ab"]);
});

test("tries wait longer and longer, until one is asked for", async () => {
  for (let i = 0; i < 6; i += 1) {
    wire().close();
    await vi.advanceTimersByTimeAsync((ties.at(-1)?.retryAt ?? 0) - Date.now());
  }
  wire().close();
  expect((ties.at(-1)?.retryAt ?? 0) - Date.now()).toBeGreaterThan(10_000);
  expect((ties.at(-1)?.retryAt ?? 0) - Date.now()).toBeLessThanOrEqual(18_750);
  const before = wires.length;
  tie.retry();
  await settle();
  expect(wires).toHaveLength(before + 1);
});

test("only what is not there any more is given up", async () => {
  wire().say({ error: { code: -32603, message: "gone away", data: { reason: "UPSTREAM_UNAVAILABLE", http_status: 503 } } });
  wire().close();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(wires).toHaveLength(2);
  wire().say({ error: { code: -32004, message: "no such terminal", data: { reason: "NOT_FOUND", http_status: 404 } } });
  wire().close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(wires).toHaveLength(2);
  expect(ties.at(-1)).toMatchObject({ state: "over", fault: { reason: "NOT_FOUND" } });
});

describe("flow control", () => {
  const acknowledged = () => wire().sent.filter((frame) => typeof frame === "string").map((frame) => (JSON.parse(frame as string) as { shownOffset?: string }).shownOffset);
  test("what was shown is acknowledged every 16 KiB, and at once when nothing more waits", () => {
    wire().attached(0);
    tie.shown(10_000, false);
    expect(acknowledged()).toEqual([]);
    tie.shown(16_384, false);
    tie.shown(20_000, true);
    tie.shown(20_000, true);
    expect(acknowledged()).toEqual(["16384", "20000"]);
  });

  test("after a cut what was shown since then is acknowledged, so that the window opens", async () => {
    wire().attached(0);
    wire().output(0, "abcdef");
    wire().close();
    tie.shown(6, true);
    await vi.advanceTimersByTimeAsync(1_000);
    wire().attached(3);
    expect(acknowledged()).toEqual(["6"]);
  });
});

test("an end is the last thing that is told", async () => {
  wire().attached(0);
  wire().say({ ports: { ports: [8000] } });
  wire().say({ end: { exitCode: 137, signal: 9, status: "OUT_OF_MEMORY" } });
  wire().close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([events, wires.length, ties.at(-1)?.state]).toEqual([["ports", "end"], 1, "over"]);
});

test("a large paste goes in pieces, and nothing goes while the connection is lost", () => {
  wire().attached(0);
  tie.resize(80, 24);
  expect(tie.type(new Uint8Array(150_000))).toBe(true);
  expect(wire().sent.filter((frame) => typeof frame !== "string").map((frame) => frame.length)).toEqual([65_536, 65_536, 18_928]);
  wire().close();
  expect(tie.type(new Uint8Array(1))).toBe(false);
});
