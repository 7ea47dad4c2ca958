// A task's events as they are shown.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { MessageKind, TaskState, WatchTaskResponseSchema } from "../gen/devstudio/agent/v1/agent_pb";
import { emptyTimeline, withMessage, type Timeline } from "./timeline";

type Message = MessageInitShape<typeof WatchTaskResponseSchema>;
const told = (...messages: Message[]): Timeline => messages.reduce<Timeline>((timeline, message) => withMessage(timeline, create(WatchTaskResponseSchema, message)), emptyTimeline);
const action = (seq: bigint, path: string): Message => ({ event: { seq, agentId: "coder", event: { case: "action", value: { step: Number(seq), action: { act: { case: "readFile", value: { path } } } } } } });
const done = (seq: bigint, ok: boolean): Message => ({ event: { seq, agentId: "coder", event: { case: "done", value: { ok, observation: "seen" } } } });
const step = (timeline: Timeline, at: number) => {
  const item = timeline.items[at];
  if (item?.kind !== "step") throw new Error("no step");
  return item;
};

test("each step has what came of it, and what is told twice counts once", () => {
  const timeline = told(action(1n, "a"), done(2n, true), action(3n, "b"), action(1n, "a"), done(2n, true), done(4n, false));
  expect(timeline.items).toHaveLength(2);
  expect([step(timeline, 0).done?.ok, step(timeline, 1).done?.ok]).toEqual([true, false]);
  expect(timeline.seq).toBe(4n);
});

test("a decision of a person stands with the step that waited", () => {
  const timeline = told(
    action(1n, "a"),
    { event: { seq: 2n, agentId: "coder", event: { case: "waiting", value: { approvalId: "x", reason: "it asks" } } } },
    { event: { seq: 3n, event: { case: "decided", value: { approvalId: "x", allowed: false, text: "not so" } } } },
    { event: { seq: 4n, event: { case: "message", value: { from: "user", to: "coder", kind: MessageKind.REQUEST, text: "not so" } } } },
    done(5n, false),
  );
  expect(timeline.items).toHaveLength(1);
  expect(step(timeline, 0).said).toEqual({ allowed: false, text: "not so", approval: true });
  expect(step(timeline, 0).done?.ok).toBe(false);
});

test("hand-overs between agents are shown, and the planner's is the plan", () => {
  const handoff = (seq: bigint, from: string, to: string): Message => ({ event: { seq, agentId: from, event: { case: "message", value: { from, to, kind: MessageKind.HANDOFF, text: "go on" } } } });
  const timeline = told(handoff(1n, "planner", "coder"), action(2n, "a"), done(3n, true), handoff(4n, "coder", "tester"));
  expect(timeline.items.map((item) => item.kind)).toEqual(["step", "handoff"]);
});

test("what a model writes is shown until it has written", () => {
  const live: Message = { event: { seq: 0n, agentId: "coder", event: { case: "progress", value: { text: "{", tokens: 1, phase: "deciding" } } } };
  expect(told(live).live?.text).toBe("{");
  expect(told(live).seq).toBe(0n);
  expect(told(live, action(1n, "a")).live).toBeNull();
  expect(told(live, { task: { state: TaskState.CANCELLED } }).live).toBeNull();
});
