// Puts files and folders of the person's machine into a folder; says of each what became of it.
import { Check, CircleSlash, CircleX, Clock3, FileQuestion } from "lucide-react";
import { useEffect, useState, useSyncExternalStore } from "react";
import { explain, reasonOf, wasCancelled } from "../../api/errors";
import { workspace } from "../../api/workspace";
import { bytes, number } from "../../lib/format";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { Meter } from "../../ui/tag";
import type { Dropped } from "./dropped";
import { joined } from "./rows";
import { UploadJob, type Item, type Judge, type Put, type State } from "./upload-job";

export interface Uploading { folder: string; files: Dropped[] }

const LIMIT = 524_288;
const MOST_SHOWN = 200;
const icons = { waiting: Clock3, done: Check, taken: FileQuestion, failed: CircleX, cancelled: CircleSlash };
const tones = { waiting: "text-fg-3", done: "text-ok", taken: "text-warn", failed: "text-err", cancelled: "text-fg-3" };
/** What wants a decision stands first. */
const order: State[] = ["failed", "taken", "waiting", "cancelled", "done"];

const judge: Judge = (cause) => {
  if (wasCancelled(cause)) return { state: "cancelled", why: "" };
  if (reasonOf(cause) === "VERSION_CONFLICT") return { state: "taken", why: m.upload_taken() };
  const { title, action } = explain(cause);
  return { state: "failed", why: [title, action].filter(Boolean).join(" ") };
};

function jobOf({ folder, files }: Uploading): UploadJob {
  const workspaceId = here();
  const put: Put = async (path, content, replace, signal) => {
    if (content) await workspace.writeFile({ workspaceId, path, content: { case: "data", value: content }, ...(replace ? {} : { ifVersion: 0n }) }, { signal });
    else await workspace.makeFolder({ workspaceId, path }, { signal }).catch((cause: unknown) => { if (reasonOf(cause) !== "ALREADY_EXISTS") throw cause; });
  };
  return new UploadJob(files.map(({ path, file }) => ({ path: joined(folder, path), file })), LIMIT, (size) => m.err_size_title({ size: bytes(size), limit: bytes(LIMIT) }), put, judge);
}

export function Upload({ onClose, ...uploading }: Uploading & { onClose: () => void }) {
  const [job] = useState(() => jobOf(uploading));
  useSyncExternalStore(job.subscribe, job.snapshot);
  useEffect(() => {
    void job.start();
    return () => job.cancel();
  }, [job]);
  const all = job.items.length;
  const waiting = job.count("waiting");
  const failed = job.count("failed");
  const taken = job.items.filter((item) => item.state === "taken");
  const shown = job.items.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state)).slice(0, MOST_SHOWN);
  const { folder } = uploading;
  const sum = m.code_upload_sum({ count: all, done: number(job.count("done")), shown: number(all) });
  return (
    <Dialog open onClose={onClose} title={m.upload_title({ folder: folder || m.workspace_top() })}>
      <DialogBody>
        <p role="status" className="nums mb-2 text-sm">
          {sum}
          {failed > 0 && <span className="text-err"> · {m.code_upload_failed({ count: failed, shown: number(failed) })}</span>}
          {taken.length > 1 && <span className="text-warn"> · {m.code_upload_taken({ count: taken.length, shown: number(taken.length) })}</span>}
        </p>
        <Meter tone="signal" share={1 - waiting / all} label={m.upload_progress()} className="mb-3" />
        <ul aria-label={m.files()} className="flex flex-col">
          {shown.map((item) => <Line key={item.path} item={item} name={folder ? item.path.slice(folder.length + 1) : item.path} onReplace={() => void job.replace([item])} />)}
        </ul>
        {all > shown.length && <p className="pt-2 text-xs text-fg-3">{m.code_upload_more({ count: all - shown.length, shown: number(all - shown.length) })}</p>}
      </DialogBody>
      <DialogFoot>
        {!job.busy && taken.length > 1 && <Button onClick={() => void job.replace(taken)}>{m.code_upload_replace_all()}</Button>}
        {job.busy ? <Button onClick={() => job.cancel()}>{m.code_upload_stop()}</Button> : <Button tone="primary" onClick={onClose}>{m.done()}</Button>}
      </DialogFoot>
    </Dialog>
  );
}

function Line({ item: { file, state, why }, name, onReplace }: { item: Item; name: string; onReplace: () => void }) {
  const Icon = icons[state];
  return (
    <li className="flex min-h-9 items-center gap-2.5 border-b border-line text-sm">
      <Icon size={15} aria-hidden className={cx("shrink-0", tones[state])} />
      <span className="min-w-0 flex-1"><span className="block truncate text-fg">{name}</span>{why && <span className={cx("text-xs", tones[state])}>{why}</span>}</span>
      {file && <span className="nums text-xs text-fg-3">{bytes(file.size)}</span>}
      {state === "taken" && <Button small onClick={onReplace}>{m.replace()}</Button>}
      {state === "done" && <span className="sr-only">{m.done()}</span>}
      {state === "cancelled" && <span className="text-xs text-fg-3">{m.code_upload_cancelled()}</span>}
    </li>
  );
}
