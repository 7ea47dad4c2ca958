// The held lines: in order, once each, paused and counted.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { beforeEach, expect, test, vi } from "vitest";
import { Level, LogEntrySchema, WatchLogsResponseSchema } from "../../gen/devstudio/auth/v1/log_pb";
import { binsOf, LogBuffer } from "./buffer";
import { parseQuery } from "./filter";

beforeEach(() => vi.stubGlobal("requestAnimationFrame", (run: () => void) => (run(), 0)));
const batch = (from: number, to: number, dropped = 0) =>
  create(WatchLogsResponseSchema, { dropped, entries: Array.from({ length: to - from + 1 }, (_, i) => create(LogEntrySchema, { seq: BigInt(from + i), at: timestampFromMs((from + i) * 1_000), level: (from + i) % 5 === 0 ? Level.ERROR : Level.INFO, service: "llm", message: `line ${from + i}` })) });

test("what was seen already is left out after a reconnect", () => {
  const buffer = new LogBuffer();
  buffer.push(batch(1, 3));
  buffer.push(batch(2, 5));
  expect(buffer.rows.map((row) => row.seq)).toEqual([1, 2, 3, 4, 5]);
  expect(buffer.lastSeq).toBe(5n);
});

test("left out lines stand as a row", () => {
  const buffer = new LogBuffer();
  buffer.push(batch(1, 1, 212));
  expect(buffer.rows[0]?.dropped).toBe(212);
});

test("paused lines wait and come in order", () => {
  const buffer = new LogBuffer();
  buffer.pause(true);
  buffer.push(batch(1, 4));
  expect([buffer.rows.length, buffer.waiting]).toEqual([0, 4]);
  buffer.pause(false);
  expect([buffer.rows.length, buffer.waiting]).toEqual([4, 0]);
});

test("older lines come before the others, once each, as far as there is room", () => {
  const buffer = new LogBuffer();
  buffer.push(batch(101, 103));
  expect(buffer.firstSeq).toBe(101n);
  expect(buffer.putBefore(batch(99, 101).entries.toReversed())).toBe(true);
  expect(buffer.rows.map((row) => row.seq)).toEqual([99, 100, 101, 102, 103]);
  expect([buffer.above, buffer.firstSeq, buffer.lastSeq]).toEqual([2, 99n, 103n]);
  expect(buffer.seconds.get(100)?.error).toBe(1);
  buffer.push(batch(104, 400_050));
  expect(buffer.putBefore(batch(1, 98).entries.toReversed())).toBe(false);
  expect([buffer.rows.length, buffer.rows[0]?.seq]).toEqual([400_000, 51]);
});

test("half a million lines are the most", () => {
  const buffer = new LogBuffer();
  for (let i = 0; i < 6; i += 1) buffer.push(batch(i * 100_000 + 1, (i + 1) * 100_000));
  expect(buffer.rows.length).toBeLessThanOrEqual(500_000);
  expect(buffer.rows.at(-1)?.seq).toBe(600_000);
}, 30_000);

test("lines that are left out are not counted any more", () => {
  const buffer = new LogBuffer();
  for (let i = 0; i < 6; i += 1) buffer.push(batch(i * 100_000 + 1, (i + 1) * 100_000));
  const counted = [...buffer.seconds.values()].reduce((sum, second) => sum + second.all, 0);
  expect(counted).toBe(buffer.rows.length);
}, 30_000);

test("the histogram counts every line once", () => {
  const buffer = new LogBuffer();
  buffer.push(batch(1, 100));
  const bins = binsOf(buffer.seconds, 10);
  expect(bins).toHaveLength(10);
  expect(bins.reduce((sum, bin) => sum + bin.all, 0)).toBe(100);
  expect(bins.reduce((sum, bin) => sum + bin.error, 0)).toBe(20);
});

test("colour sequences are taken out of messages", () => {
  const buffer = new LogBuffer();
  buffer.push(create(WatchLogsResponseSchema, { entries: [create(LogEntrySchema, { seq: 1n, message: "\u001b[31mred\u001b[0m" })] }));
  expect(buffer.rows[0]?.message).toBe("red");
});

test("a query has words and a trace", () => {
  expect(parseQuery("trace:7BE2 not loaded")).toEqual({ text: "not loaded", trace: "7be2" });
});
