// The test double's agents: tasks that go as a believable one would, at a pace that can be watched.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { randomUUID } from "node:crypto";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import type { AgentActionSchema } from "../../src/gen/devstudio/agent/v1/action_pb.ts";
import { AgentSchema, AgentService, MessageKind, PendingSchema, TaskEventSchema, TaskPolicy, TaskSchema, TaskState, WatchTaskResponseSchema, type Agent, type Task, type TaskEvent, type WatchTaskResponse } from "../../src/gen/devstudio/agent/v1/agent_pb.ts";
import { fault } from "./fault.ts";

interface Kept { owner: string; task: Task; events: TaskEvent[]; heard: Set<(message: WatchTaskResponse) => void>; decided?: (said: { allowed: boolean; text: string }) => void }
const tasks = new Map<string, Kept>();
const PACE_MS = 120;
const agent = (agentId: string, name: string, description: string): Agent => create(AgentSchema, { agentId, name, description, avatar: name.slice(0, 2), systemPrompt: `You are the ${agentId}.`, tools: ["read_file", "finish"], temperature: 0.2, maxTokens: 2048, version: 1 });
const known = [agent("planner", "Planner", "Splits a task into steps."), agent("coder", "Coder", "Writes code."), agent("tester", "Tester", "Runs what others wrote.")];

const BAD = "def add(a, b):\n    return a - b\n";
const CHECK = "from add import add\nassert add(2, 3) == 5, add(2, 3)\nprint('passed')";
const diff = (lines: string) => `--- a/add.py\n+++ b/add.py\n@@ -1,2 +1,2 @@\n${lines}`;

export function agentRoutes(router: ConnectRouter, callerOf: (ctx: HandlerContext, admin?: boolean) => User): void {
  const own = (ctx: HandlerContext, taskId: string): Kept => {
    const kept = tasks.get(taskId);
    if (!kept || kept.owner !== callerOf(ctx).userId) throw fault(Code.NotFound, "NOT_FOUND", "there is no such task");
    return kept;
  };
  const decide = (kept: Kept, said: { allowed: boolean; text: string }, approvalId: string) => {
    if (!kept.decided) throw fault(Code.FailedPrecondition, "STATE_CONFLICT", "the task does not wait for anything");
    tell(kept, "", { case: "decided", value: { ...said, approvalId } });
    kept.decided(said);
    delete kept.decided;
    return {};
  };
  router.service(AgentService, {
    submitTask: (request, ctx) => {
      const task = create(TaskSchema, { taskId: randomUUID(), kind: request.kind, prompt: request.prompt, policy: request.policy, workspaceId: request.workspaceId, maxSteps: request.maxSteps || 12, maxTokens: 100_000, state: TaskState.QUEUED, agentId: "planner", createdAt: timestampNow() });
      const kept: Kept = { owner: callerOf(ctx).userId, task, events: [], heard: new Set() };
      tasks.set(task.taskId, kept);
      void play(kept);
      return { taskId: task.taskId };
    },
    getTask: (request, ctx) => ({ task: own(ctx, request.taskId).task }),
    listTasks: (_, ctx) => ({ tasks: [...tasks.values()].filter((kept) => kept.owner === callerOf(ctx).userId).map((kept) => kept.task).toReversed() }),
    cancelTask: (request, ctx) => {
      const kept = own(ctx, request.taskId);
      end(kept, TaskState.CANCELLED, "");
      return {};
    },
    approveAction: (request, ctx) => decide(own(ctx, request.taskId), { allowed: !request.reject, text: request.comment }, request.approvalId),
    answerQuestion: (request, ctx) => decide(own(ctx, request.taskId), { allowed: true, text: request.text }, ""),
    listAgents: (_, ctx) => (callerOf(ctx), { agents: known }),
    updateAgent: (request, ctx) => {
      callerOf(ctx, true);
      const at = known.findIndex((one) => one.agentId === request.agent?.agentId);
      if (!request.agent || at < 0) throw fault(Code.NotFound, "NOT_FOUND", "there is no such agent");
      if (known[at]?.version !== request.agent.version) throw fault(Code.Aborted, "VERSION_CONFLICT", "somebody changed the agent meanwhile");
      known[at] = create(AgentSchema, { ...request.agent, version: request.agent.version + 1 });
      return { agent: known[at] };
    },
  });
}

/** Follows a task as the server does. */
export async function watchTask(user: User, taskId: string, afterSeq: bigint, next: (message: WatchTaskResponse) => void, signal: AbortSignal): Promise<void> {
  const kept = tasks.get(taskId);
  if (!kept || kept.owner !== user.userId) throw fault(Code.NotFound, "NOT_FOUND", "there is no such task");
  next(create(WatchTaskResponseSchema, { task: kept.task }));
  for (const event of kept.events.filter((one) => one.seq > afterSeq)) next(create(WatchTaskResponseSchema, { event, task: kept.task }));
  if (kept.task.endedAt) return;
  await new Promise<void>((resolve) => {
    const listener = (message: WatchTaskResponse) => {
      next(message);
      if (message.task?.endedAt && !message.event) resolve();
    };
    kept.heard.add(listener);
    signal.addEventListener("abort", () => { kept.heard.delete(listener); resolve(); });
  });
}

function tell(kept: Kept, agentId: string, event: MessageInitShape<typeof TaskEventSchema>["event"]): void {
  const live = event?.case === "progress";
  const whole = create(TaskEventSchema, { seq: live ? 0n : BigInt(kept.events.length + 1), agentId, at: timestampNow(), ...(event ? { event } : {}) });
  if (!live) kept.events.push(whole);
  kept.task.lastSeq = BigInt(kept.events.length);
  for (const listener of kept.heard) listener(create(WatchTaskResponseSchema, { event: whole, task: kept.task }));
}

function state(kept: Kept, now: TaskState, reason = ""): void {
  kept.task.state = now;
  tell(kept, "", { case: "state", value: { state: now, reason } });
}

function end(kept: Kept, how: TaskState, result: string): void {
  if (kept.task.endedAt) return;
  kept.task.endedAt = timestampFromMs(Date.now());
  kept.task.result = result;
  delete kept.task.pending;
  state(kept, how);
  for (const listener of kept.heard) listener(create(WatchTaskResponseSchema, { task: kept.task }));
}

class Cancelled extends Error {}
const pause = async (kept: Kept) => {
  await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  if (kept.task.endedAt) throw new Cancelled();
};

async function choose(kept: Kept, agentId: string, thought: string, act: NonNullable<MessageInitShape<typeof AgentActionSchema>["act"]>): Promise<void> {
  for (const share of [0.4, 0.8]) {
    tell(kept, agentId, { case: "progress", value: { step: kept.task.steps + 1, text: thought.slice(0, thought.length * share), tokens: Math.round(20 * share), phase: "deciding" } });
    await pause(kept);
  }
  kept.task.steps += 1;
  kept.task.tokens += 420;
  kept.task.agentId = agentId;
  tell(kept, agentId, { case: "action", value: { step: kept.task.steps, action: { thought, act }, spent: { promptTokens: 380, completionTokens: 40, model: "smollm2-135m-instruct" } } });
  await pause(kept);
}

const done = (kept: Kept, agentId: string, ok: boolean, observation: string, more: { diff?: string; execId?: string; exitCode?: number } = {}) => tell(kept, agentId, { case: "done", value: { step: kept.task.steps, ok, observation, tookMs: 120, ...more } });
const handOver = (kept: Kept, from: string, to: string, text: string) => tell(kept, from, { case: "message", value: { from, to, kind: MessageKind.HANDOFF, text } });

async function wait(kept: Kept, agentId: string, pending: MessageInitShape<typeof PendingSchema>): Promise<{ allowed: boolean; text: string }> {
  kept.task.pending = create(PendingSchema, pending);
  tell(kept, agentId, { case: "waiting", value: pending });
  state(kept, TaskState.WAITING);
  const said = await new Promise<{ allowed: boolean; text: string }>((resolve) => { kept.decided = resolve; });
  delete kept.task.pending;
  state(kept, TaskState.RUNNING);
  await pause(kept);
  return said;
}

/** write → test fails → hand back → fix → test passes; with a question where the prompt asks for one, and with approvals under that policy. */
async function play(kept: Kept): Promise<void> {
  try {
    await pause(kept);
    kept.task.startedAt = timestampNow();
    state(kept, TaskState.RUNNING);
    kept.task.plan = ["Write add.py with a function that adds.", "Test it."];
    tell(kept, "planner", { case: "plan", value: { steps: kept.task.plan } });
    handOver(kept, "planner", "coder", kept.task.plan.join("\n"));
    if (/question|frage/i.test(kept.task.prompt)) {
      await choose(kept, "coder", "I do not know which language is wanted.", { case: "askUser", value: { question: "Which language shall I use?" } });
      const { text } = await wait(kept, "coder", { question: "Which language shall I use?" });
      done(kept, "coder", true, `the person answers: ${text}`);
    }
    const write = { case: "writeFile" as const, value: { path: "add.py", text: BAD } };
    await choose(kept, "coder", "The file is not there yet.", write);
    const added = diff("+def add(a, b):\n+    return a - b\n");
    if (kept.task.policy === TaskPolicy.ASK) {
      const { allowed, text } = await wait(kept, "coder", { approvalId: "a".repeat(64), action: { thought: "The file is not there yet.", act: write }, diff: added, reason: "this task asks before every change", expiresAt: timestampFromMs(Date.now() + 900_000) });
      if (!allowed) {
        done(kept, "coder", false, `the person does not allow it: ${text}`);
        return end(kept, TaskState.FAILED, "The change was not allowed.");
      }
    }
    kept.task.snapshotId = randomUUID();
    done(kept, "coder", true, "wrote add.py: 2 lines", { diff: added });
    await choose(kept, "coder", "It is written.", { case: "finish", value: { success: true, summary: "add.py is written." } });
    done(kept, "coder", true, "");
    handOver(kept, "coder", "tester", "add.py is written.");
    const run = { case: "runExec" as const, value: { runtime: "python", code: CHECK } };
    await choose(kept, "tester", "I run it.", run);
    done(kept, "tester", false, "it ended with exit code 1\nstderr:\nAssertionError: -1", { execId: randomUUID(), exitCode: 1 });
    await choose(kept, "tester", "It does not add.", { case: "finish", value: { success: false, summary: "add(2, 3) is -1, not 5." } });
    done(kept, "tester", true, "");
    handOver(kept, "tester", "coder", "add(2, 3) is -1, not 5.");
    await choose(kept, "coder", "The sign is wrong.", { case: "editFile", value: { path: "add.py", hunks: [{ search: "a - b", replace: "a + b" }] } });
    done(kept, "coder", true, "changed add.py at 1 places", { diff: diff(" def add(a, b):\n-    return a - b\n+    return a + b\n") });
    await choose(kept, "coder", "It adds now.", { case: "finish", value: { success: true, summary: "The sign was wrong." } });
    done(kept, "coder", true, "");
    handOver(kept, "coder", "tester", "The sign was wrong.");
    await choose(kept, "tester", "I run it again.", run);
    done(kept, "tester", true, "it ended well\nstdout:\npassed", { execId: randomUUID() });
    await choose(kept, "tester", "It works.", { case: "finish", value: { success: true, summary: "add(2, 3) is 5." } });
    done(kept, "tester", true, "");
    end(kept, TaskState.SUCCEEDED, "add(2, 3) is 5.");
  } catch (cause) {
    if (!(cause instanceof Cancelled)) throw cause;
  }
}
