// Brings a snapshot back, and offers to undo that: the state before is a snapshot too.
import { refetch } from "../../api/query";
import { snapshots } from "../../api/workspace";
import { SnapshotService } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import { number } from "../../lib/format";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { toast } from "../../ui/toast";
import { tried } from "../../ui/tried";

const UNDO_MS = 8_000;

/** Makes the workspace, or some paths of it, what they were. */
export function restore(snapshotId: string, paths: string[] = []): Promise<boolean> {
  return tried(() => restoreNow(snapshotId, paths));
}

/** The same, but throws, so that a question can show why it failed; in another workspace, if one is named. */
export async function restoreNow(snapshotId: string, paths: string[] = [], workspaceId = here()): Promise<void> {
  const { before, changedPaths } = await snapshots.restoreSnapshot({ workspaceId, snapshotId, paths });
  tell();
  const text = m.restored({ count: changedPaths.length, shown: number(changedPaths.length) });
  if (!before) return toast.success(text);
  toast.success(text, { duration: UNDO_MS, action: { label: m.undo(), onClick: () => void tried(() => undo(before.snapshotId, paths, workspaceId)) } });
}

async function undo(snapshotId: string, paths: string[], workspaceId: string): Promise<void> {
  await snapshots.restoreSnapshot({ workspaceId, snapshotId, paths });
  tell();
  toast.success(m.restore_undone());
}

/** How a snapshot is called. */
export const titleOf = ({ reason }: { reason: string }) => reason || m.snapshot_unnamed();

/** Lists of snapshots and states are asked for again. */
export const tell = () => refetch(SnapshotService.method.listSnapshots, SnapshotService.method.listFileHistory, SnapshotService.method.diffSnapshots);
