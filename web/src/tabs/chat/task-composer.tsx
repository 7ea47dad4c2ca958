// Where one gives a task: what is wanted, of which kind, and what agents may do without being asked.
import { Hammer, Paperclip, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { agents } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { AgentService, type BuildContextResponse, type TaskKind, type TaskPolicy } from "../../gen/devstudio/agent/v1/agent_pb";
import { number } from "../../lib/format";
import { usePlace } from "../../lib/place";
import { useTaskDraft } from "../../lib/task-draft";
import { useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { FaultLine } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import { Select } from "../../ui/select";
import { ContextButton, ContextNote } from "./context-preview";
import { EnhanceButton, WordedNote, type Worded } from "./prompt-enhancer";
import { kinds, policies } from "./task-words";

const MOST_PATHS = 20;
const steps = [6, 12, 24, 50];

export function TaskComposer({ onGiven }: { onGiven: (taskId: string) => void }) {
  const { prompt, kind, policy, maxSteps, paths } = useTaskDraft();
  const workspaceId = usePlace();
  const phone = usePhone();
  const box = useRef<HTMLTextAreaElement>(null);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const [worded, setWorded] = useState<Worded | null>(null);
  const [context, setContext] = useState<BuildContextResponse | null>(null);
  const others = useWorkbench((s) => s.open).filter((path) => !paths.includes(path));
  useEffect(() => { if (!phone) box.current?.focus(); }, [phone]);
  const give = async () => {
    if (prompt.trim() === "" || busy) return;
    setBusy(true);
    setFault(null);
    try {
      const { taskId } = await agents.submitTask({ prompt: prompt.trim(), kind, policy, maxSteps, workspaceId, paths });
      useTaskDraft.setState({ prompt: "", paths: [] });
      refetch(AgentService.method.listTasks);
      onGiven(taskId);
    } catch (cause) {
      setFault(explain(cause));
    }
    setBusy(false);
  };
  const choice = <T extends number>(options: { value: T; label: () => string; about: () => string }[]) => options.map((option) => ({ value: String(option.value), label: option.label(), about: option.about() }));
  return (
    <div className="mx-auto flex w-full max-w-180 flex-col gap-2 px-4 pb-4 max-tab:px-3 max-tab:pb-3">
      {fault && <FaultLine fault={fault} />}
      {context && <ContextNote shown={context} onClose={() => setContext(null)} />}
      {worded && worded.after === prompt && <WordedNote worded={worded} onKeep={() => setWorded(null)} onUndo={() => { useTaskDraft.setState({ prompt: worded.before }); setWorded(null); box.current?.focus(); }} />}
      <div className="rounded-card border border-line-strong bg-raised p-2.5 focus-within:border-focus">
        <textarea
          ref={box}
          rows={3}
          value={prompt}
          aria-label={m.task_prompt()}
          placeholder={m.task_prompt_hint()}
          maxLength={12_000}
          onChange={(event) => useTaskDraft.setState({ prompt: event.target.value })}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
            event.preventDefault();
            void give();
          }}
          className="max-h-60 min-h-18 w-full resize-none bg-transparent px-1.5 py-1.5 text-base text-fg outline-none"
        />
        {paths.length > 0 && (
          <ul aria-label={m.task_paths()} className="flex flex-wrap gap-1.5 px-1.5 pb-2">
            {paths.map((path) => <li key={path} className="font-code flex items-center gap-1 rounded-tag border border-line-2 py-0.5 pr-0.5 pl-1.5 text-2xs text-fg">{path}<IconButton label={m.task_path_remove({ path })} icon={X} size={12} className="size-5" onClick={() => useTaskDraft.setState({ paths: paths.filter((one) => one !== path) })} /></li>)}
          </ul>
        )}
        <div className="flex flex-wrap items-center gap-1.5">
          <Select quiet label={m.task_kind()} value={String(kind)} onChange={(value) => useTaskDraft.setState({ kind: Number(value) as TaskKind })} options={choice(kinds)} />
          <Select quiet label={m.task_policy()} value={String(policy)} onChange={(value) => useTaskDraft.setState({ policy: Number(value) as TaskPolicy })} options={choice(policies)} />
          <Select quiet label={m.task_most_steps()} value={String(maxSteps)} onChange={(value) => useTaskDraft.setState({ maxSteps: Number(value) })} options={steps.map((count) => ({ value: String(count), label: m.task_up_to_steps({ count }) }))} />
          {others.length > 0 && <Button small tone="quiet" icon={Paperclip} onClick={() => useTaskDraft.setState({ paths: [...paths, ...others].slice(0, MOST_PATHS) })}>{m.task_open_files({ count: others.length, shown: number(others.length) })}</Button>}
          <span className="ml-auto flex items-center gap-1.5">
            <ContextButton onShown={setContext} onFault={setFault} />
            <EnhanceButton onWorded={setWorded} onFault={setFault} />
            <Button tone="primary" icon={Hammer} busy={busy} disabled={prompt.trim() === ""} onClick={() => void give()}>{m.task_give()}</Button>
          </span>
        </div>
      </div>
    </div>
  );
}
