// Puts files of the person's machine into a folder, one after the other; says of each what became of it.
import { Check, CircleX, Clock3, FileQuestion } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { explain, reasonOf, wasCancelled } from "../../api/errors";
import { workspace } from "../../api/workspace";
import { bytes } from "../../lib/format";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { Meter } from "../../ui/tag";
import { joined } from "./rows";

export interface Uploading { folder: string; files: File[] }
type State = "waiting" | "done" | "taken" | "failed";
interface Item { file: File; path: string; state: State; why: string }

const icons = { waiting: Clock3, done: Check, taken: FileQuestion, failed: CircleX };
const tones = { waiting: "text-fg-3", done: "text-ok", taken: "text-warn", failed: "text-err" };

export function Upload({ folder, files, onClose }: Uploading & { onClose: () => void }) {
  const [items, setItems] = useState<Item[]>(() => files.map((file) => ({ file, path: joined(folder, file.name), state: "waiting", why: "" })));
  const control = useRef<AbortController | null>(null);
  const put = async (item: Item, replace: boolean, signal: AbortSignal) => {
    const tell = (state: State, why = "") => setItems((now) => now.map((i) => (i.path === item.path ? { ...i, state, why } : i)));
    try {
      const data = new Uint8Array(await item.file.arrayBuffer());
      await workspace.writeFile({ workspaceId: here(), path: item.path, content: { case: "data", value: data }, ...(replace ? {} : { ifVersion: 0n }) }, { signal });
      tell("done");
    } catch (cause) {
      if (wasCancelled(cause)) return;
      if (reasonOf(cause) === "VERSION_CONFLICT") tell("taken", m.upload_taken());
      else tell("failed", explain(cause).title);
    }
  };
  useEffect(() => {
    const mine = new AbortController();
    control.current = mine;
    void (async () => { for (const item of items) if (!mine.signal.aborted) await put(item, false, mine.signal); })();
    return () => mine.abort();
  // The files are those that it was opened with.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  const waiting = items.filter((item) => item.state === "waiting").length;
  return (
    <Dialog open onClose={onClose} title={m.upload_title({ folder: folder || m.workspace_top() })}>
      <DialogBody>
        <Meter tone="signal" share={1 - waiting / items.length} label={m.upload_progress()} className="mb-3" />
        <ul aria-label={m.files()} className="flex flex-col">
          {items.map((item) => {
            const Icon = icons[item.state];
            return (
              <li key={item.path} className="flex min-h-9 items-center gap-2.5 border-b border-line text-sm">
                <Icon size={15} aria-hidden className={cx("shrink-0", tones[item.state])} />
                <span className="min-w-0 flex-1"><span className="block truncate text-fg">{item.file.name}</span>{item.why && <span className={cx("text-xs", tones[item.state])}>{item.why}</span>}</span>
                <span className="nums text-xs text-fg-3">{bytes(item.file.size)}</span>
                {item.state === "taken" && <Button small onClick={() => { if (control.current) void put(item, true, control.current.signal); }}>{m.replace()}</Button>}
                {item.state === "done" && <span className="sr-only">{m.done()}</span>}
              </li>
            );
          })}
        </ul>
      </DialogBody>
      <DialogFoot><Button tone={waiting > 0 ? "plain" : "primary"} onClick={onClose}>{waiting > 0 ? m.cancel() : m.done()}</Button></DialogFoot>
    </Dialog>
  );
}
