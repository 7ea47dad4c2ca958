// Cut, copy and paste of files and folders in the tree: what dragging does, by keys.
import { useState, type KeyboardEvent } from "react";
import { workspace } from "../../api/workspace";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { tried } from "../../ui/tried";
import { copyName, joined, nameOf } from "./rows";
import { moveInto, refused } from "./tree-actions";

/** What waits to be put somewhere. */
export interface Held { path: string; cut: boolean }
export interface TreeClip { held: Held | null; note: string; hold: (path: string, cut: boolean) => void; paste: (folder: string) => void; onKey: (event: KeyboardEvent, path: string, folder: string) => void }

export function useTreeClip(taken: (path: string) => boolean): TreeClip {
  const [held, setHeld] = useState<Held | null>(null);
  const hold = (path: string, cut: boolean) => setHeld({ path, cut });
  const paste = (folder: string) => {
    if (!held) return;
    if (held.cut) {
      setHeld(null);
      // What was refused is still marked, for another folder.
      return void moveInto(held.path, folder).then((done) => { if (!done) setHeld((now) => now ?? held); });
    }
    if (refused(held.path, folder)) return;
    const same = joined(folder, nameOf(held.path));
    void tried(() => workspace.copyPath({ workspaceId: here(), from: held.path, to: taken(same) ? copyName(same, m.copy_word(), taken) : same }));
  };
  const onKey = (event: KeyboardEvent, path: string, folder: string) => {
    const does: Record<string, () => void> = { x: () => hold(path, true), c: () => hold(path, false), v: () => paste(folder), Escape: () => setHeld(null) };
    const work = does[event.key];
    if (!work) return;
    event.preventDefault();
    event.stopPropagation();
    work();
  };
  const name = held ? nameOf(held.path) : "";
  return { held, note: held === null ? "" : held.cut ? m.code_cut_note({ name }) : m.code_copy_note({ name }), hold, paste, onKey };
}
