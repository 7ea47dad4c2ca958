// Build mode: tasks that agents do, and the one that is open.
import { Hammer, ListTodo, Plus } from "lucide-react";
import { useState } from "react";
import { useCommands } from "../../lib/commands";
import { go } from "../../lib/nav";
import { useTaskDraft } from "../../lib/task-draft";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { TaskComposer } from "./task-composer";
import { TaskList } from "./task-list";
import { TaskView } from "./task-view";

/** The place of a task; of the composer, where none is named. */
export const openTask = (taskId: string) => go(taskId === "" ? "/chat" : `/chat/${taskId}`, { mode: "build" });

export function Build({ taskId, modes }: { taskId: string; modes: React.ReactNode }) {
  const phone = usePhone();
  const [sheet, setSheet] = useState(false);
  useCommands("build", [{ id: "new-task", title: m.task_new(), group: "chat", icon: Plus, keys: "Alt+N", typing: true, run: () => openTask("") }]);
  const pick = (id: string) => {
    setSheet(false);
    openTask(id);
  };
  const list = <TaskList taskId={taskId} onPick={pick} />;
  const main = (
    <section aria-label={m.build()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-11 shrink-0 items-center justify-between gap-2 border-b border-line px-2">
        {modes}
        {phone && (
          <span className="flex items-center gap-1">
            <Button tone="quiet" icon={ListTodo} onClick={() => setSheet(true)}>{m.tasks()}</Button>
            <IconButton label={m.task_new()} icon={Plus} onClick={() => pick("")} />
          </span>
        )}
      </div>
      {taskId === "" ? (
        <>
          <Nothing />
          <TaskComposer onGiven={openTask} />
        </>
      ) : <TaskView key={taskId} taskId={taskId} />}
    </section>
  );
  if (!phone) return <Panes id="build" panes={[{ id: "tasks", size: "280px", min: "200px", max: "460px", content: list }, { id: "task", min: "360px", content: main }]} />;
  return (
    <>
      {main}
      <Dialog open={sheet} onClose={() => setSheet(false)} title={m.tasks()}><div className="flex h-[60dvh] flex-col">{list}</div></Dialog>
    </>
  );
}

function Nothing() {
  const examples = [m.task_example_1(), m.task_example_2(), m.task_example_3()];
  return (
    <div className="flex min-h-0 flex-1 flex-col justify-center overflow-y-auto">
      <div className="mx-auto w-full max-w-180 px-4 py-6">
        <h2 className="text-xl font-semibold text-fg">{m.build_empty_title()}</h2>
        <p className="mt-1 text-base">{m.build_empty_about()}</p>
        <div className="mt-5 flex flex-col gap-2">
          {examples.map((example) => (
            <button key={example} type="button" onClick={() => useTaskDraft.setState({ prompt: example })} className="flex min-h-10 items-center gap-2.5 rounded-card border border-line-2 bg-raised px-4 py-2.5 text-left text-sm text-fg hover:bg-hover"><Hammer size={16} aria-hidden className="shrink-0 text-fg-3" />{example}</button>
          ))}
        </div>
      </div>
    </div>
  );
}
