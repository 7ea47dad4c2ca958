// The edge's JSON becomes messages: bare enums, int64 as strings, times as RFC 3339.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { Level, LevelSchema, WatchLogsResponseSchema } from "../gen/devstudio/auth/v1/log_pb";
import { JobKind, JobState, WatchJobResponseSchema, WatchStatsResponseSchema } from "../gen/devstudio/llm/v1/llm_pb";
import { Isolation, IsolationSchema } from "../gen/devstudio/sandbox/v1/run_pb";
import { edgeEnum, readEdgeJson } from "./edgejson";

test("log entries keep level, cursor and time", () => {
  const { entries, dropped } = readEdgeJson(WatchLogsResponseSchema, { entries: [{ seq: "9007199254740993", at: "2026-11-23T14:06:31.480Z", level: "warn", service: "llm", message: "m", fields: { exec_id: "e" } }], dropped: 3 });
  expect(entries[0]).toMatchObject({ seq: 9007199254740993n, level: Level.WARN, fields: { exec_id: "e" } });
  expect(entries[0]?.at && timestampMs(entries[0].at)).toBe(Date.parse("2026-11-23T14:06:31.480Z"));
  expect(dropped).toBe(3);
});

test("status words stay upper-case, kinds are lower-case", () => {
  const { job } = readEdgeJson(WatchJobResponseSchema, { job: { state: "SUCCEEDED", kind: "download", doneBytes: "5" } });
  expect(job).toMatchObject({ state: JobState.SUCCEEDED, kind: JobKind.DOWNLOAD, doneBytes: 5n });
});

test("unknown fields and empty messages are taken", () => {
  expect(readEdgeJson(WatchStatsResponseSchema, { cpuPercent: 12.5, news: true }).cpuPercent).toBe(12.5);
  expect(readEdgeJson(WatchStatsResponseSchema, null).cpuPercent).toBe(0);
});

test("enums are spelled as the edge spells them", () => {
  expect(edgeEnum(IsolationSchema, Isolation.HARDWARE_VM)).toBe("hardware-vm");
  expect(edgeEnum(LevelSchema, Level.ERROR)).toBe("error");
});
