// What is open in the editor and its two sides, and what was typed but not saved; kept in this browser per person.
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

/** The files of one side of the editor. */
export interface Side { open: string[]; active: string | null; preview: string | null }

/** The side with the focus stands in the workbench itself, so that whoever opens a file need not know of sides. */
export interface Workbench extends Side {
  /** The side without the focus, where the editor is split. */
  other: Side | null;
  /** The focus is in the right one of two sides. */
  right: boolean;
  /** Files save themselves when nothing was typed for a moment. */
  autosave: boolean;
  /** Where cursor, scroll and folds stood in a file, by viewKey. */
  views: Record<string, unknown>;
  drafts: Record<string, Draft>;
  expanded: string[];
  panel: Panel | null;
  insertion: { path: string; text: string } | null;
  spot: Spot | null;
}

export const noFiles: Side = { open: [], active: null, preview: null };
const empty: Workbench = { ...noFiles, other: null, right: false, autosave: false, views: {}, drafts: {}, expanded: [], panel: null, insertion: null, spot: null };

export const useWorkbench = create<Workbench>()(
  persist(() => empty, {
    name: "devstudio.workbench",
    storage: kept<Partial<Workbench>>(),
    skipHydration: true,
    partialize: ({ insertion: _insertion, spot: _spot, ...rest }) => rest,
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

/** Remembers, or with null forgets, what was typed and not saved. */
export function setDraft(path: string, draft: Draft | null): void {
  useWorkbench.setState((w) => {
    const drafts = omit(w.drafts, [path]);
    if (!draft) return { drafts };
    const keep = <S extends Side>(side: S): S => (side.preview === path ? { ...side, preview: null } : side);
    return { drafts: { ...drafts, [path]: draft }, preview: keep(w).preview, other: w.other && keep(w.other) };
  });
}

/** A record without some keys. */
export const omit = <T>(record: Record<string, T>, keys: string[]): Record<string, T> => Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));

/** Puts text into the open file at its cursor. False when no file is open. */
export function insertIntoEditor(text: string): boolean {
  const { active } = useWorkbench.getState();
  if (!active) return false;
  useWorkbench.setState({ insertion: { path: active, text } });
  go("/code", { path: active });
  return true;
}
