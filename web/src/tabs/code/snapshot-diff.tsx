// What differs between a snapshot and the workspace as it is: the files, and the chosen one side by side.
import { useQuery } from "@connectrpc/connect-query";
import { useEffect, useState } from "react";
import { explain } from "../../api/errors";
import { DiffKind, SnapshotService, type FileDiff, type Snapshot } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import { number } from "../../lib/format";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Waiting } from "../../ui/tag";
import { FileDiffView } from "./file-diff";
import { LineCounts } from "./line-counts";
import { nameOf } from "./rows";
import { restore } from "./snapshot-actions";

export function SnapshotDiff({ snapshot, name, onClose, onRestore }: { snapshot: Snapshot; name: string; onClose: () => void; onRestore: () => void }) {
  const diff = useQuery(SnapshotService.method.diffSnapshots, { workspaceId: here(), fromSnapshotId: snapshot.snapshotId }, { staleTime: 0 });
  const [chosen, setChosen] = useState<string | null>(null);
  const files = diff.data?.files ?? [];
  // What is shown stays, also when all of it was put back and the list no longer has it: a decision can be undone.
  const first = files[0]?.path ?? null;
  useEffect(() => { if (chosen === null && first !== null) setChosen(first); }, [chosen, first]);
  const path = chosen ?? first;
  // What came or went as a whole has no places to decide about.
  const whole = files.some((file) => file.path === path && file.kind !== DiffKind.CHANGED);
  const takeBack = async (taken: string) => {
    // Nothing differs any more; the way to undo it stands below.
    if (!(await restore(snapshot.snapshotId, [taken]))) return;
    const next = files.find((file) => file.path !== taken);
    if (next) setChosen(next.path);
    else onClose();
  };
  return (
    <Dialog open wide="full" onClose={onClose} title={m.snapshot_diff_title({ name })} {...(diff.data ? { about: m.files_differ({ count: files.length, shown: number(files.length) }) } : {})}>
      {diff.isPending && <Waiting rows={4} height={32} label={m.loading()} />}
      {diff.error && !diff.data && <div className="px-5 pb-4"><FaultLine fault={explain(diff.error)}><Button small onClick={() => void diff.refetch()}>{m.try_again()}</Button></FaultLine></div>}
      {files.length > 0 && (
        <ul aria-label={m.differences()} className="max-h-[18vh] shrink-0 overflow-y-auto border-t border-line">
          {files.map((file) => (
            <li key={file.path}>
              <button type="button" data-inset aria-pressed={file.path === path} onClick={() => setChosen(file.path)} className={cx("flex min-h-8 w-full items-center gap-3 px-5 text-left text-sm max-tab:min-h-10", file.path === path ? "bg-selected text-fg" : "hover:bg-hover")}>
                <span className="w-20 shrink-0 text-xs text-fg-3">{kindName(file)}</span>
                <span className="font-code min-w-0 flex-1 truncate text-code">{file.path}</span>
                <span className="nums font-code text-xs"><LineCounts added={file.linesAdded} removed={file.linesRemoved} /></span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {path && <FileDiffView key={path} path={path} snapshotId={snapshot.snapshotId} onLeave={onClose} />}
      <DialogFoot>
        {path && whole && <Button className="mr-auto" onClick={() => void takeBack(path)}>{m.diff_take_back({ name: nameOf(path) })}</Button>}
        <Button onClick={onClose}>{m.close()}</Button>
        {files.length > 0 && <Button tone="primary" onClick={onRestore}>{m.restore()}</Button>}
      </DialogFoot>
    </Dialog>
  );
}

function kindName({ kind }: FileDiff): string {
  if (kind === DiffKind.ADDED) return m.diff_added();
  return kind === DiffKind.REMOVED ? m.diff_removed() : m.diff_changed();
}
