// The tasks of a person, newest first.
import { useQuery } from "@connectrpc/connect-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { explain } from "../../api/errors";
import { AgentService, type Task } from "../../gen/devstudio/agent/v1/agent_pb";
import { ago, compact } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { Tag, Waiting } from "../../ui/tag";
import { kindName, stateWord } from "./task-words";

const PAGE = 30;
const MOST = 200;

export function TaskList({ taskId, onPick }: { taskId: string; onPick: (taskId: string) => void }) {
  const [size, setSize] = useState(PAGE);
  const tasks = useQuery(AgentService.method.listTasks, { pageSize: size }, { refetchInterval: 5_000, placeholderData: (before) => before });
  return (
    <nav aria-label={m.tasks()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1 pl-3">
        <h2 className="label flex-1">{m.tasks()}</h2>
        <IconButton label={m.task_new()} icon={Plus} onClick={() => onPick("")} />
      </div>
      {tasks.error && <div className="p-2"><FaultLine fault={explain(tasks.error)}><Button small onClick={() => void tasks.refetch()}>{m.try_again()}</Button></FaultLine></div>}
      {tasks.isPending && <Waiting rows={5} label={m.loading()} />}
      {tasks.data?.tasks.length === 0 && <p className="px-3 py-3 text-xs">{m.tasks_none()}</p>}
      <ul className="min-h-0 flex-1 overflow-y-auto p-1.5">
        {tasks.data?.tasks.map((task) => <Row key={task.taskId} task={task} active={task.taskId === taskId} onPick={onPick} />)}
        {tasks.data?.nextPageToken && size < MOST && <li className="p-1.5"><Button small tone="quiet" onClick={() => setSize(Math.min(MOST, size + PAGE))}>{m.tasks_more()}</Button></li>}
      </ul>
    </nav>
  );
}

function Row({ task, active, onPick }: { task: Task; active: boolean; onPick: (taskId: string) => void }) {
  const state = stateWord(task.state);
  return (
    <li className={cx("rounded-ctl", active ? "bg-selected" : "hover:bg-hover")}>
      <button type="button" aria-current={active || undefined} onClick={() => onPick(task.taskId)} className="flex min-h-11 w-full flex-col gap-1 rounded-ctl px-2.5 py-1.5 text-left">
        <span className={cx("block w-full truncate text-sm text-fg", active && "font-medium")}>{task.prompt.split("\n")[0]}</span>
        <span className="flex w-full items-center gap-2 text-xs text-fg-3">
          <Tag tone={state.tone} dot>{state.name}</Tag>
          <span className="min-w-0 flex-1 truncate">{kindName(task.kind)} · {compact(task.tokens)} {m.tokens_word()}</span>
          <span className="shrink-0">{ago(Number(task.createdAt?.seconds ?? 0n) * 1_000)}</span>
        </span>
      </button>
    </li>
  );
}
