// What the tree does to files: rename, move, copy, delete, lock. Failures are told in a note; what is open follows.
import { locks, workspace } from "../../api/workspace";
import { LockScope } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { go } from "../../lib/nav";
import { here } from "../../lib/place";
import { closeFile, sidesOf } from "../../lib/sides";
import { useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { toast } from "../../ui/toast";
import { tried } from "../../ui/tried";
import { copyName, dropTarget, intoItself, joined, nameOf, parentOf, within, type Row } from "./rows";

export async function move(from: string, to: string): Promise<boolean> {
  return tried(async () => {
    const { movePath } = await import("./files");
    await movePath(from, to);
    const { active } = useWorkbench.getState();
    if (active) go("/code", { path: active }, true);
  });
}

export async function rename(path: string, name: string): Promise<void> {
  const clean = name.trim();
  if (clean !== "" && joined(parentOf(path), clean) !== path) await move(path, joined(parentOf(path), clean));
}

/** Tells that something cannot be put into itself, where that is what was tried. */
export function refused(path: string, folder: string): boolean {
  const itself = intoItself(path, folder);
  if (itself) toast.info(m.code_into_itself({ name: nameOf(path) }));
  return itself;
}

/** False where it stays where it was though it should have gone. */
export async function moveInto(path: string, folder: string): Promise<boolean> {
  if (refused(path, folder)) return false;
  const to = dropTarget(path, folder);
  if (to === null) return true;
  useWorkbench.setState(({ expanded }) => ({ expanded: [...new Set([...expanded, folder].filter(Boolean))] }));
  return move(path, to);
}

export const duplicate = (path: string, taken: (path: string) => boolean) => tried(() => workspace.copyPath({ workspaceId: here(), from: path, to: copyName(path, m.copy_word(), taken) }));

/** Deletes a file or folder; throws, so that the question can show why it failed. */
export async function remove(path: string): Promise<void> {
  await workspace.deletePath({ workspaceId: here(), path });
  const { dropFile } = await import("./files");
  for (const open of sidesOf(useWorkbench.getState()).flatMap((side) => side.open).filter((p) => within(p, path))) {
    closeFile(open, true);
    dropFile(open);
  }
}

export const lock = ({ path, folder }: Row) => tried(() => locks.acquireLock({ workspaceId: here(), path, scope: folder ? LockScope.SUBTREE : LockScope.FILE, pinned: true }));
export const unlock = (lockId: string) => tried(() => locks.releaseLock({ lockId }));
