// What a task holds and has left while it goes on: its tokens, and the files that it keeps locked, with their time.
import { useQuery } from "@connectrpc/connect-query";
import { Lock as LockIcon } from "lucide-react";
import type { Task } from "../../gen/devstudio/agent/v1/agent_pb";
import { LockService, type Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { useSecondsUntil } from "../../ui/seconds";
import { Meter } from "../../ui/tag";

const LOOK_MS = 2_000;

export function TaskHeld({ task }: { task: Task }) {
  const locks = useQuery(LockService.method.listLocks, { workspaceId: task.workspaceId }, { refetchInterval: LOOK_MS, staleTime: 0 });
  const held = (locks.data?.locks ?? []).filter((lock) => lock.holder?.taskId === task.taskId);
  return (
    <section aria-label={m.task_held()} className="mt-1 mb-3 flex flex-col gap-1.5 text-xs text-fg-3">
      <p className="nums">{m.context_of({ tokens: number(task.tokens), most: number(task.maxTokens) })}</p>
      <Meter share={task.tokens / Math.max(1, task.maxTokens)} label={m.task_budget()} className="max-w-60" />
      {held.length > 0 && <ul aria-label={m.task_locks()} className="flex flex-wrap gap-x-4 gap-y-1">{held.map((lock) => <Held key={lock.lockId} lock={lock} />)}</ul>}
    </section>
  );
}

function Held({ lock }: { lock: Lock }) {
  const seconds = useSecondsUntil(Number(lock.expiresAt?.seconds ?? 0n) * 1_000);
  return (
    <li className="flex min-w-0 items-center gap-1.5">
      <LockIcon size={12} aria-hidden className="shrink-0" />
      <span className="font-code min-w-0 truncate text-fg-2">{lock.path}</span>
      <span className="nums shrink-0">{m.task_lock_left({ seconds: number(seconds) })}</span>
    </li>
  );
}
