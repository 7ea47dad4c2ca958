// A task as it goes on: what is wanted, the plan, each step, what it waits for, and how it ended.
import { useQuery } from "@connectrpc/connect-query";
import { ArrowRight, CircleCheck, FileDiff, History, Square } from "lucide-react";
import { create } from "@bufbuild/protobuf";
import { lazy, Suspense, useLayoutEffect, useRef, useState } from "react";
import { agents as client } from "../../api/agents";
import { explain } from "../../api/errors";
import { AgentService, TaskState, type Task } from "../../gen/devstudio/agent/v1/agent_pb";
import { SnapshotSchema } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import { WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { number, span } from "../../lib/format";
import { go } from "../../lib/nav";
import { usePlace } from "../../lib/place";
import { useTask } from "../../lib/tasks";
import { hasEnded, type Timeline } from "../../lib/timeline";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { Avatar, Tag, Waiting } from "../../ui/tag";
import { toast } from "../../ui/toast";
import { restoreNow } from "../code/snapshot-actions";
import { TaskHeld } from "./task-held";
import { TaskStep } from "./task-step";
import { TaskWaiting } from "./task-waiting";
import { kindName, stateWord } from "./task-words";

/** What the task changed, place by place, to keep or to take back; it brings Monaco. */
const SnapshotDiff = lazy(() => import("../code/snapshot-diff").then((module) => ({ default: module.SnapshotDiff })));

export function TaskView({ taskId }: { taskId: string }) {
  const { timeline, fault } = useTask(taskId);
  const scroller = useRef<HTMLDivElement>(null);
  const held = useRef(true);
  const names = useQuery(AgentService.method.listAgents, {});
  const agentOf = (id: string) => names.data?.agents.find((agent) => agent.agentId === id);
  const nameOf = (id: string) => agentOf(id)?.name ?? id;
  const lettersOf = (id: string) => agentOf(id)?.avatar ?? "";
  useLayoutEffect(() => { if (held.current) scroller.current?.scrollTo({ top: scroller.current.scrollHeight }); }, [timeline]);
  const { task, items, live } = timeline;
  if (fault) return <FaultPane fault={fault} />;
  if (!task) return <Waiting rows={6} label={m.loading()} />;
  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <Head task={task} />
      <div
        ref={scroller}
        tabIndex={0}
        data-inset
        role="log"
        aria-label={m.task_timeline()}
        aria-live="off"
        onScroll={(event) => {
          const box = event.currentTarget;
          held.current = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
        }}
        className="min-h-0 flex-1 overflow-y-auto"
      >
        <div className="mx-auto max-w-180 px-4 py-3 max-tab:px-3">
          <p className="text-base break-words whitespace-pre-wrap text-fg">{task.prompt}</p>
          {task.plan.length > 0 && (
            <section aria-label={m.task_plan()} className="mt-3 rounded-card border border-line bg-raised px-3 py-2.5">
              <h3 className="label">{m.task_plan()}</h3>
              <ol className="mt-1.5 list-decimal pl-5 text-sm text-fg">{task.plan.map((step, index) => <li key={index} className="break-words">{step}</li>)}</ol>
            </section>
          )}
          {items.map((item) => item.kind === "step"
            ? <TaskStep key={String(item.seq)} step={item} name={nameOf(item.agentId)} letters={lettersOf(item.agentId)} />
            : item.kind === "handoff"
              ? <HandOver key={String(item.seq)} from={nameOf(item.from)} to={nameOf(item.to)} text={item.text} />
              : <p key={String(item.seq)} className="py-2 text-sm text-fg-2">{m.task_you_said()} <span className="text-fg">{item.text}</span></p>)}
          {live && <Live live={live} name={nameOf(live.agentId)} letters={lettersOf(live.agentId)} />}
          {!hasEnded(task.state) && <TaskHeld task={task} />}
          {task.pending && task.state === TaskState.WAITING && <TaskWaiting key={`${task.pending.approvalId}${task.pending.question}`} task={task} pending={task.pending} />}
          {hasEnded(task.state) && <End task={task} />}
        </div>
      </div>
      <p aria-live="polite" className="sr-only">{`${stateWord(task.state).name}. ${task.result}`}</p>
    </div>
  );
}

function Head({ task }: { task: Task }) {
  const state = stateWord(task.state);
  const cancel = () => client.cancelTask({ taskId: task.taskId }).catch((cause: unknown) => toast(explain(cause).title));
  return (
    <header className="flex min-h-11 shrink-0 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5 max-tab:px-3">
      <h2 className="text-sm font-semibold text-fg">{kindName(task.kind)}</h2>
      <Tag tone={state.tone} dot>{state.name}</Tag>
      <span className="nums text-xs text-fg-3">{m.task_steps({ count: task.steps, most: task.maxSteps })} · {m.tokens_count({ count: task.tokens, shown: number(task.tokens) })}</span>
      {!hasEnded(task.state) && <Button small icon={Square} className="ml-auto" onClick={() => void cancel()}>{m.task_cancel()}</Button>}
    </header>
  );
}

function HandOver({ from, to, text }: { from: string; to: string; text: string }) {
  return (
    <div className="my-2 rounded-ctl bg-hover px-3 py-2">
      <p className="flex items-center gap-1.5 text-xs font-medium text-fg-2">{from}<ArrowRight size={14} aria-label={m.task_hands_over()} />{to}</p>
      {text && <p tabIndex={0} role="group" aria-label={m.task_told({ from, to })} className="mt-0.5 max-h-40 overflow-auto text-sm break-words whitespace-pre-wrap text-fg">{text}</p>}
    </div>
  );
}

function Live({ live, name, letters }: { live: NonNullable<Timeline["live"]>; name: string; letters: string }) {
  const phase = live.phase === "planning" ? m.task_plans({ name }) : m.task_decides({ name });
  return (
    <div className="flex gap-3 py-3">
      <Avatar name={name} letters={letters} square />
      <div className="min-w-0 flex-1">
        <p className="nums text-xs text-live">{phase} · {m.tokens_count({ count: live.tokens, shown: number(live.tokens) })}</p>
        <pre className="font-code text-code mt-1 max-h-32 overflow-hidden whitespace-pre-wrap break-words text-fg-3">{live.text}<span aria-hidden className="caret" /></pre>
      </div>
    </div>
  );
}

function End({ task }: { task: Task }) {
  const [sure, setSure] = useState(false);
  const [reviewing, setReviewing] = useState(false);
  const place = usePlace();
  const spaces = useQuery(WorkspaceService.method.listWorkspaces, {}, { staleTime: 30_000 });
  /** What is compared is the workspace of the address. */
  const review = () => {
    const home = spaces.data?.workspaces.find((one) => one.isDefault)?.workspaceId ?? "";
    if ((place || home) !== task.workspaceId) go(`/chat/${task.taskId}`, { mode: "build", ws: task.workspaceId === home ? "" : task.workspaceId });
    setReviewing(true);
  };
  const state = stateWord(task.state);
  const took = task.startedAt && task.endedAt ? (Number(task.endedAt.seconds - task.startedAt.seconds)) * 1_000 : 0;
  return (
    <section aria-label={m.task_end()} className="my-3 flex flex-col gap-2 rounded-card border border-line bg-raised p-3">
      <div className="flex flex-wrap items-center gap-2">
        {task.state === TaskState.SUCCEEDED && <CircleCheck size={16} aria-hidden className="text-ok" />}
        <Tag tone={state.tone}>{state.name}</Tag>
        <span className="nums text-xs text-fg-3">{m.task_steps({ count: task.steps, most: task.maxSteps })} · {m.tokens_count({ count: task.tokens, shown: number(task.tokens) })} · {span(took)}</span>
      </div>
      {task.result && <p className="text-base break-words whitespace-pre-wrap text-fg">{task.result}</p>}
      {task.snapshotId && (
        <div className="flex flex-wrap gap-2">
          <Button small tone="primary" icon={FileDiff} onClick={review}>{m.task_review()}</Button>
          <Button small icon={History} onClick={() => setSure(true)}>{m.task_restore()}</Button>
        </div>
      )}
      <Suspense>{reviewing && <SnapshotDiff snapshot={create(SnapshotSchema, { snapshotId: task.snapshotId })} name={m.task_before()} onClose={() => setReviewing(false)} onRestore={() => { setReviewing(false); setSure(true); }} />}</Suspense>
      <Confirm open={sure} onClose={() => setSure(false)} title={m.task_restore_title()} about={m.task_restore_about()} verb={m.task_restore()} onConfirm={() => restoreNow(task.snapshotId, [], task.workspaceId)} />
    </section>
  );
}
