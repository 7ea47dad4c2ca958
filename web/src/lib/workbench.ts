// What is open in the editor, and what was typed but not saved; kept in this browser per person.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { flushKept, kept } from "./keep";
import { go } from "./nav";
import { setHere } from "./place";

/** Text that differs from the stored file, and what it began from. */
export interface Draft { text: string; baseVersion: string; baseText?: string }
/** What stands below the editor. */
export type Panel = "output" | "history" | "snapshots" | "search";
/** A place in a file that is to be shown; columns count from 1. */
export interface Spot { path: string; line: number; column: number; length: number }

interface Workbench {
  open: string[];
  active: string | null;
  preview: string | null;
  drafts: Record<string, Draft>;
  expanded: string[];
  panel: Panel | null;
  insertion: { path: string; text: string } | null;
  spot: Spot | null;
}

const empty: Workbench = { open: [], active: null, preview: null, drafts: {}, expanded: [], panel: null, insertion: null, spot: null };

export const useWorkbench = create<Workbench>()(
  persist(() => empty, {
    name: "devstudio.workbench",
    storage: kept<Partial<Workbench>>(),
    skipHydration: true,
    partialize: ({ open, active, preview, drafts, expanded, panel }) => ({ open, active, preview, drafts, expanded, panel }),
  }),
);

const leaving = new Set<() => void>();
let loaded = "";

/** Calls back before another workbench is taken up. */
export function onLeaveWorkbench(listener: () => void): () => void {
  leaving.add(listener);
  return () => leaving.delete(listener);
}

/** Takes up the person's own workbench of a workspace. */
export async function loadWorkbench(userId: string, workspaceId: string): Promise<void> {
  const name = ["devstudio.workbench", userId, workspaceId].filter(Boolean).join(".");
  if (name === loaded) return;
  for (const leave of leaving) leave();
  flushKept();
  loaded = name;
  setHere(workspaceId);
  useWorkbench.persist.setOptions({ name });
  useWorkbench.setState(empty);
  await useWorkbench.persist.rehydrate();
}

/** Opens a file; a preview gives way to the next one until it is edited or opened for good. */
export function openFile(path: string, keep = true): void {
  useWorkbench.setState((w) => {
    if (w.open.includes(path)) return { active: path, preview: keep && w.preview === path ? null : w.preview };
    const place = w.preview !== null && !keep ? w.open.map((p) => (p === w.preview ? path : p)) : [...w.open, path];
    return { open: place, active: path, preview: keep ? w.preview : path };
  });
}

/** Shows a file in the Code tab. */
export function showFile(path: string): void {
  openFile(path);
  go("/code", { path });
}

/** Shows a place in a file. */
export function showSpot(spot: Spot): void {
  openFile(spot.path);
  useWorkbench.setState({ spot });
  go("/code", { path: spot.path });
}

/** Closes a file; its draft goes with it. */
export function closeFile(path: string): void {
  useWorkbench.setState((w) => {
    const at = w.open.indexOf(path);
    const open = w.open.filter((p) => p !== path);
    const { [path]: _gone, ...drafts } = w.drafts;
    return { open, drafts, active: w.active === path ? (open[Math.min(at, open.length - 1)] ?? null) : w.active, preview: w.preview === path ? null : w.preview };
  });
}

/** Remembers, or with null forgets, what was typed and not saved. */
export function setDraft(path: string, draft: Draft | null): void {
  useWorkbench.setState((w) => {
    const { [path]: _old, ...drafts } = w.drafts;
    return { drafts: draft ? { ...drafts, [path]: draft } : drafts, preview: draft && w.preview === path ? null : w.preview };
  });
}

/** Follows a rename of a file or folder. */
export function renamePaths(from: string, to: string): void {
  const moved = (path: string) => (path === from ? to : path.startsWith(`${from}/`) ? to + path.slice(from.length) : path);
  useWorkbench.setState((w) => ({
    open: w.open.map(moved),
    active: w.active && moved(w.active),
    preview: w.preview && moved(w.preview),
    expanded: w.expanded.map(moved),
    drafts: Object.fromEntries(Object.entries(w.drafts).map(([path, draft]) => [moved(path), draft])),
  }));
}

/** Puts text into the open file at its cursor. False when no file is open. */
export function insertIntoEditor(text: string): boolean {
  const { active } = useWorkbench.getState();
  if (!active) return false;
  useWorkbench.setState({ insertion: { path: active, text } });
  go("/code", { path: active });
  return true;
}
