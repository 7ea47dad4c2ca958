// What a task waits for: a plan or an action to be allowed, or a question to be answered.
import { Check, Send, X } from "lucide-react";
import { useState } from "react";
import { agents } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import type { AgentAction } from "../../gen/devstudio/agent/v1/action_pb";
import { TaskPolicy, type Pending, type Task } from "../../gen/devstudio/agent/v1/agent_pb";
import { clock, number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { FaultLine } from "../../ui/fault";
import { Textarea } from "../../ui/field";
import { Patch } from "../../ui/patch";
import { actionLine, pathOf } from "./task-words";

export function TaskWaiting({ task, pending }: { task: Task; pending: Pending }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const asks = pending.question !== "";
  const send = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setFault(null);
    try {
      await work();
      setText("");
    } catch (cause) {
      setFault(explain(cause));
    }
    setBusy(false);
  };
  const answer = () => { if (text.trim() !== "") void send(() => agents.answerQuestion({ taskId: task.taskId, text: text.trim() })); };
  const decide = (reject: boolean) => void send(() => agents.approveAction({ taskId: task.taskId, approvalId: pending.approvalId, reject, comment: text.trim() }));
  const until = pending.expiresAt ? Number(pending.expiresAt.seconds) * 1_000 : 0;
  return (
    <section aria-label={m.task_waits()} className="my-3 flex flex-col gap-2.5 rounded-card border border-warn bg-raised p-3">
      <h3 className="text-base font-semibold text-fg">{asks ? m.task_asks() : pending.action ? m.task_may_it({ what: actionLine(pending.action) }) : m.task_may_plan()}</h3>
      {asks ? <p className="text-base break-words whitespace-pre-wrap text-fg">{pending.question}</p> : <p className="text-sm text-fg-2">{task.policy === TaskPolicy.ASK ? m.task_reason_ask() : pending.deletedFiles > 0 ? m.task_reason_deletes({ count: pending.deletedFiles, shown: number(pending.deletedFiles) }) : m.task_reason({ reason: pending.reason })}</p>}
      {!asks && !pending.action && <ol className="list-decimal pl-5 text-sm text-fg">{task.plan.map((step) => <li key={step}>{step}</li>)}</ol>}
      {pending.diff && <Patch path={pathOf(pending.action)} diff={pending.diff} whole />}
      <WholeAction act={pending.action?.act} />
      <Textarea
        aria-label={asks ? m.task_answer() : m.task_comment()}
        placeholder={asks ? m.task_answer() : m.task_comment()}
        rows={2}
        value={text}
        maxLength={1_000}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => { if (asks && event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) { event.preventDefault(); answer(); } }}
      />
      {fault && <FaultLine fault={fault} />}
      <div className="flex flex-wrap items-center gap-2">
        {asks ? <Button tone="primary" icon={Send} busy={busy} disabled={text.trim() === ""} onClick={answer}>{m.task_send_answer()}</Button> : (
          <>
            <Button tone="primary" icon={Check} busy={busy} onClick={() => decide(false)}>{m.task_allow()}</Button>
            <Button icon={X} busy={busy} onClick={() => decide(true)}>{m.task_forbid()}</Button>
            {until > 0 && <span className="text-xs text-fg-3">{m.task_until({ time: clock(until) })}</span>}
          </>
        )}
      </div>
    </section>
  );
}

/** What the action holds, whole: a diff may be cut. */
function WholeAction({ act }: { act: AgentAction["act"] | undefined }) {
  const code = (label: string, text: string) => <pre tabIndex={0} aria-label={label} className="font-code text-code max-h-60 overflow-auto rounded-ctl border border-line bg-editor p-2 whitespace-pre-wrap text-fg">{text}</pre>;
  if (act?.case === "runExec") return code(m.task_program(), act.value.code);
  const text = act?.case === "writeFile" ? act.value.text : act?.case === "editFile" ? act.value.hunks.map(({ search, replace }) => `${search}\n→\n${replace}`).join("\n\n") : "";
  if (text === "") return null;
  return <details className="text-xs text-fg-2"><summary className="cursor-pointer rounded-tag max-tab:min-h-10 max-tab:py-2.5">{m.task_whole()}</summary>{code(m.task_whole(), text)}</details>;
}
