// The states of the open file in the snapshots: each compared with now, and brought back.
import { useQuery } from "@connectrpc/connect-query";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Camera, FileDiff } from "lucide-react";
import { useState } from "react";
import { explain } from "../../api/errors";
import { SnapshotService, type FileState } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import type { Entry } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { ago, bytes, dateTime } from "../../lib/format";
import { here } from "../../lib/place";
import { useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Empty, Tag, Waiting } from "../../ui/tag";
import { FileDiffView } from "./file-diff";
import { nameOf } from "./rows";
import { restore, titleOf } from "./snapshot-actions";

export default function Timeline({ path, entry }: { path: string | null; entry: Entry | undefined }) {
  const states = useQuery(SnapshotService.method.listFileHistory, { workspaceId: here(), path: path ?? "" }, { enabled: path !== null, staleTime: 0 });
  const [shown, setShown] = useState<FileState | null>(null);
  if (path === null) return <Empty title={m.timeline_no_file()} />;
  if (states.isPending) return <Waiting rows={4} height={36} label={m.loading()} />;
  if (states.error && !states.data) return <div className="p-3"><FaultLine fault={explain(states.error)}><Button small onClick={() => void states.refetch()}>{m.try_again()}</Button></FaultLine></div>;
  const list = states.data?.states ?? [];
  if (list.length === 0) return <Empty title={m.timeline_none({ name: nameOf(path) })}><Button small icon={Camera} onClick={() => useWorkbench.setState({ panel: "snapshots" })}>{m.snapshot_make()}</Button></Empty>;
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <ol aria-label={m.timeline_of({ name: nameOf(path) })}>
        {list.map((state) => {
          const at = state.createdAt ? timestampMs(state.createdAt) : 0;
          const same = state.sha256 === entry?.sha256;
          return (
            <li key={state.snapshotId} className="flex min-h-9 items-center gap-3 border-b border-line px-4 py-1 text-sm">
              <time className="nums w-24 shrink-0 text-xs max-tab:w-auto text-fg-3" dateTime={new Date(at).toISOString()} title={dateTime(at)}>{ago(at)}</time>
              <span className="min-w-0 flex-1 truncate text-fg">{titleOf(state)}</span>
              <span className="nums text-xs text-fg-3 phone-hidden">{bytes(state.sizeBytes)}</span>
              {same ? <Tag tone="ok">{m.as_now()}</Tag> : <Button small tone="quiet" icon={FileDiff} onClick={() => setShown(state)}>{m.compare_now()}</Button>}
            </li>
          );
        })}
      </ol>
      {shown && (
        <Dialog open wide="full" onClose={() => setShown(null)} title={m.timeline_diff_title({ name: nameOf(path), at: shown.createdAt ? dateTime(timestampMs(shown.createdAt)) : "" })}>
          <FileDiffView path={path} snapshotId={shown.snapshotId} onLeave={() => setShown(null)} />
          <DialogFoot>
            <Button onClick={() => setShown(null)}>{m.close()}</Button>
            <Button tone="primary" onClick={() => void restore(shown.snapshotId, [path]).then((done) => { if (done) setShown(null); })}>{m.restore_version()}</Button>
          </DialogFoot>
        </Dialog>
      )}
    </div>
  );
}
