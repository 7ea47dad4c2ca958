// The files that a model would be shown for the task that is being written, with why and how much they take.
import { FileSearch } from "lucide-react";
import { useState } from "react";
import { agents } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import type { BuildContextResponse } from "../../gen/devstudio/agent/v1/agent_pb";
import { number } from "../../lib/format";
import { usePlace } from "../../lib/place";
import { useTaskDraft } from "../../lib/task-draft";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Meter } from "../../ui/tag";
import { reasonWord } from "./task-words";

/** The button that asks for it. */
export function ContextButton({ onShown, onFault }: { onShown: (shown: BuildContextResponse | null) => void; onFault: (fault: Fault | null) => void }) {
  const { prompt, paths } = useTaskDraft();
  const workspaceId = usePlace();
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    onFault(null);
    try {
      onShown(await agents.buildContext({ prompt: prompt.trim(), workspaceId, paths }));
    } catch (cause) {
      onFault(explain(cause));
    }
    setBusy(false);
  };
  return <IconButton label={m.context_look()} icon={FileSearch} disabled={busy || prompt.trim() === ""} aria-busy={busy || undefined} onClick={() => void look()} />;
}

export function ContextNote({ shown, onClose }: { shown: BuildContextResponse; onClose: () => void }) {
  return (
    <section aria-label={m.context_title()} className="flex flex-col gap-2 rounded-card border border-line bg-raised p-2.5">
      <div className="flex flex-wrap items-center gap-2">
        <h3 className="label">{m.context_title()}</h3>
        <span className="nums min-w-0 flex-1 text-xs text-fg-3">{m.context_of({ tokens: number(shown.tokens), most: number(shown.maxTokens) })}</span>
        <Button small tone="quiet" onClick={onClose}>{m.close()}</Button>
      </div>
      <Meter share={shown.tokens / Math.max(1, shown.maxTokens)} label={m.context_title()} />
      {shown.files.length === 0 && <p className="text-sm">{m.context_none()}</p>}
      <ul className="flex max-h-40 flex-col gap-1 overflow-y-auto text-xs">
        {shown.files.map((file) => (
          <li key={file.path} className="flex gap-2">
            <span className="font-code min-w-0 flex-1 break-all text-fg">{file.path}</span>
            <span className="text-fg-3">{reasonWord(file.reason)}</span>
            <span className="nums w-14 shrink-0 text-right text-fg-3">{number(file.tokens)}</span>
          </li>
        ))}
        {shown.leftOut.map((path) => (
          <li key={path} className="flex gap-2">
            <span className="font-code min-w-0 flex-1 break-all text-fg-3 line-through">{path}</span>
            <span className="text-warn">{m.context_no_room()}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
