// What a line of the log says beside its message.
import { expect, test } from "vitest";
import { Level } from "../../gen/devstudio/auth/v1/log_pb";
import { factsOf } from "./list";

const row = (fields: Record<string, string>, message = "a chat finished") => ({ seq: 1, atMs: 0, level: Level.INFO, service: "llm", traceId: "", userId: "", message, fields, dropped: 0 });

test("facts follow the message, and ids stay in the details", () => {
  expect(factsOf(row({ model: "smollm2", ms: "1023", request_id: "01a2", exec_id: "01a3" }))).toBe("model=smollm2 ms=1023");
});

test("what the message says is not said twice", () => {
  expect(factsOf(row({ status: "TIMEOUT", wall_ms: "1001" }, "run ended: TIMEOUT"))).toBe("wall_ms=1001");
});

test("a line of output is shown alone", () => {
  expect(factsOf(row({ exec_id: "01a3", stream: "stdout" }))).toBe("");
});
