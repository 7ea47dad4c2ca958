// Snapshots of the workspace: made, compared with now, brought back, forked.
import { useInfiniteQuery, useMutation } from "@connectrpc/connect-query";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Camera, Download, FileDiff, GitFork, RotateCcw } from "lucide-react";
import { useState, type FormEvent } from "react";
import { explain } from "../../api/errors";
import { SnapshotService, type Snapshot } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import { ago, bytes, dateTime, number } from "../../lib/format";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { askExport } from "../../lib/archives";
import { Menu, MenuItem } from "../../ui/menu";
import { Confirm } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { inputClass } from "../../ui/field";
import { cx } from "../../ui/cx";
import { Waiting } from "../../ui/tag";
import { Fork } from "./fork";
import { SnapshotDiff } from "./snapshot-diff";
import { restoreNow, tell, titleOf } from "./snapshot-actions";

export default function Snapshots() {
  const list = useInfiniteQuery(SnapshotService.method.listSnapshots, { workspaceId: here(), pageSize: 50, pageToken: "" }, { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined, staleTime: 0 });
  const make = useMutation(SnapshotService.method.createSnapshot, { onSuccess: () => { setReason(""); tell(); } });
  const [reason, setReason] = useState("");
  const [compared, setCompared] = useState<Snapshot | null>(null);
  const [restoring, setRestoring] = useState<Snapshot | null>(null);
  const [forking, setForking] = useState<Snapshot | null>(null);
  const all = list.data?.pages.flatMap((page) => page.snapshots) ?? [];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate({ workspaceId: here(), reason: reason.trim() });
  };
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <form onSubmit={submit} className="flex items-center gap-2 border-b border-line px-4 py-2">
        <input aria-label={m.snapshot_reason()} placeholder={m.snapshot_reason()} value={reason} maxLength={200} onChange={(event) => setReason(event.target.value)} className={cx(inputClass, "h-7 max-w-90 min-w-0 max-tab:h-10")} />
        <Button type="submit" small tone="primary" icon={Camera} busy={make.isPending}>{m.snapshot_make()}</Button>
      </form>
      {make.error && <div className="p-3"><FaultLine fault={explain(make.error)} /></div>}
      {list.isPending && <Waiting rows={3} height={36} label={m.loading()} />}
      {list.error && !list.data && <div className="p-3"><FaultLine fault={explain(list.error)}><Button small onClick={() => void list.refetch()}>{m.try_again()}</Button></FaultLine></div>}
      {list.data && all.length === 0 && <p className="px-4 py-3 text-sm">{m.snapshots_none()}</p>}
      <ol aria-label={m.snapshots()}>
        {all.map((snapshot) => {
          const at = snapshot.createdAt ? timestampMs(snapshot.createdAt) : 0;
          const name = titleOf(snapshot);
          return (
            <li key={snapshot.snapshotId} className="flex min-h-9 items-center gap-3 border-b border-line px-4 py-1 text-sm max-tab:flex-wrap">
              <time className="nums w-24 shrink-0 text-xs max-tab:w-auto text-fg-3" dateTime={new Date(at).toISOString()} title={dateTime(at)}>{ago(at)}</time>
              <span className="min-w-0 flex-1 truncate text-fg">{name}</span>
              <span className="nums text-xs whitespace-nowrap text-fg-3">{m.files_count({ count: snapshot.fileCount, shown: number(snapshot.fileCount) })} · {bytes(snapshot.sizeBytes)}</span>
              <span className="flex items-center gap-1 max-tab:w-full max-tab:justify-end">
                <Button small tone="quiet" icon={FileDiff} onClick={() => setCompared(snapshot)} aria-label={m.snapshot_diff_of({ name })}>{m.differences()}</Button>
                <Button small tone="quiet" icon={RotateCcw} onClick={() => setRestoring(snapshot)} aria-label={m.snapshot_restore_of({ name })}>{m.restore()}</Button>
                <Menu label={m.archive_download_of({ name })} trigger={<button type="button" aria-label={m.archive_download_of({ name })} className="inline-flex size-7 shrink-0 items-center justify-center rounded-ctl text-fg-2 hover:bg-hover hover:text-fg max-tab:size-10"><Download size={16} strokeWidth={1.7} aria-hidden /></button>}>
                  <MenuItem onSelect={() => setTimeout(() => askExport("zip", name, "", snapshot.snapshotId), 0)}>{m.archive_zip()}</MenuItem>
                  <MenuItem onSelect={() => setTimeout(() => askExport("tar.gz", name, "", snapshot.snapshotId), 0)}>{m.archive_targz()}</MenuItem>
                </Menu>
                <IconButton label={m.snapshot_fork_of({ name })} icon={GitFork} onClick={() => setForking(snapshot)} />
              </span>
            </li>
          );
        })}
      </ol>
      {list.hasNextPage && <div className="p-3"><Button small busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>{m.more()}</Button></div>}
      {compared && <SnapshotDiff snapshot={compared} name={titleOf(compared)} onClose={() => setCompared(null)} onRestore={() => { setRestoring(compared); setCompared(null); }} />}
      {forking && <Fork snapshotId={forking.snapshotId} from={titleOf(forking)} onClose={() => setForking(null)} />}
      <Confirm
        open={restoring !== null}
        onClose={() => setRestoring(null)}
        title={m.restore_title({ name: restoring ? titleOf(restoring) : "" })}
        about={m.restore_about()}
        verb={m.restore()}
        onConfirm={async () => { if (restoring) await restoreNow(restoring.snapshotId); }}
      />
    </div>
  );
}
