// Has a model word a task anew, live; the person's own words come back by one click.
import { Sparkles, Square, Undo2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { agents } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import { usePlace } from "../../lib/place";
import { useTaskDraft } from "../../lib/task-draft";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Patch } from "../../ui/patch";

/** What was before, and what the model made of it. */
export interface Worded { before: string; after: string }

/** The button; while the model writes, it stops it and the person's words come back. */
export function EnhanceButton({ onWorded, onFault }: { onWorded: (worded: Worded | null) => void; onFault: (fault: Fault | null) => void }) {
  const { prompt, kind } = useTaskDraft();
  const workspaceId = usePlace();
  const [busy, setBusy] = useState(false);
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);
  const enhance = async () => {
    const before = prompt;
    const mine = new AbortController();
    control.current = mine;
    setBusy(true);
    onFault(null);
    onWorded(null);
    let written = "";
    try {
      for await (const piece of agents.enhancePrompt({ prompt: before.trim(), kind, workspaceId }, { signal: mine.signal })) {
        written = piece.text || written + piece.delta;
        useTaskDraft.setState({ prompt: written });
      }
      onWorded({ before, after: written });
    } catch (cause) {
      useTaskDraft.setState({ prompt: before });
      if (!mine.signal.aborted) onFault(explain(cause));
    }
    setBusy(false);
  };
  if (busy) return <Button small tone="quiet" icon={Square} onClick={() => control.current?.abort()}>{m.enhance_stop()}</Button>;
  return <IconButton label={m.enhance()} icon={Sparkles} disabled={prompt.trim() === ""} onClick={() => void enhance()} />;
}

/** What changed, and the way back. */
export function WordedNote({ worded, onUndo, onKeep }: { worded: Worded; onUndo: () => void; onKeep: () => void }) {
  const lines = (text: string, sign: string) => text.split("\n").map((line) => `${sign}${line}`).join("\n");
  return (
    <section aria-label={m.enhance_done()} className="flex flex-col gap-2 rounded-card border border-line bg-raised p-2.5">
      <div className="flex flex-wrap items-center gap-2">
        <p role="status" className="min-w-0 flex-1 text-sm text-fg">{m.enhance_done()}</p>
        <Button small icon={Undo2} onClick={onUndo}>{m.enhance_undo()}</Button>
        <Button small tone="quiet" onClick={onKeep}>{m.enhance_keep()}</Button>
      </div>
      <Patch path={m.task_prompt()} diff={`${lines(worded.before, "-")}\n${lines(worded.after, "+")}`} open={false} />
    </section>
  );
}
