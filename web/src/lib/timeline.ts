// A task's events put together as they are shown: one item a step, with what came of it.
import type { ActionChosen, ActionDone, Pending, Progress, Task, TaskEvent, WatchTaskResponse } from "../gen/devstudio/agent/v1/agent_pb";
import { MessageKind, TaskState } from "../gen/devstudio/agent/v1/agent_pb";

export type Item =
  | { kind: "step"; seq: bigint; agentId: string; chosen: ActionChosen; waiting?: Pending; said?: { allowed: boolean; text: string; approval: boolean }; done?: ActionDone }
  | { kind: "handoff"; seq: bigint; from: string; to: string; text: string }
  | { kind: "said"; seq: bigint; text: string };

/** What is known of a task that is watched. */
export interface Timeline {
  task: Task | null;
  items: Item[];
  /** How far a model is; nothing while none writes. */
  live: (Progress & { agentId: string }) | null;
  /** Events up to this number are in it. */
  seq: bigint;
}

export const emptyTimeline: Timeline = { task: null, items: [], live: null, seq: 0n };

/** It will not change any more. */
export const hasEnded = (state: TaskState): boolean => state === TaskState.SUCCEEDED || state === TaskState.FAILED || state === TaskState.CANCELLED;

/** The timeline with one message of the watch more. What was told before is not told twice. */
export function withMessage(before: Timeline, { event, task }: WatchTaskResponse): Timeline {
  const after = task ? { ...before, task } : before;
  if (!event) return task && hasEnded(task.state) ? { ...after, live: null } : after;
  if (event.event.case === "progress") return { ...after, live: { ...event.event.value, agentId: event.agentId } };
  if (event.seq <= before.seq) return after;
  return { ...after, seq: event.seq, items: withEvent(after.items, event), live: ends(event) ? null : after.live };
}

/** A model that was writing has written. */
const ends = ({ event }: TaskEvent): boolean => event.case === "action" || event.case === "plan" || event.case === "state";

function withEvent(items: Item[], { seq, agentId, event }: TaskEvent): Item[] {
  const open = items.at(-1);
  const change = (more: Partial<Extract<Item, { kind: "step" }>>): Item[] => {
    const at = items.findLastIndex((item) => item.kind === "step" && !item.done);
    return items.map((item, index) => (index === at && item.kind === "step" ? { ...item, ...more } : item));
  };
  switch (event.case) {
    case "action": return [...items, { kind: "step", seq, agentId, chosen: event.value }];
    case "done": return change({ done: event.value });
    case "waiting": return change({ waiting: event.value });
    case "decided": return change({ said: { allowed: event.value.allowed, text: event.value.text, approval: event.value.approvalId !== "" } });
    case "message": {
      const { kind, from, to, text } = event.value;
      if (kind === MessageKind.HANDOFF && from !== "planner") return [...items, { kind: "handoff", seq, from, to, text }];
      // What a person says to a step stands with the step.
      if (from === "user" && kind !== MessageKind.CANCEL && items.length > 0 && open?.kind !== "step" && text !== "") return [...items, { kind: "said", seq, text }];
      return items;
    }
    default: return items;
  }
}
