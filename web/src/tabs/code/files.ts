// The open files: one Monaco model each, the version it stands on, saving, and what others change meanwhile.
import { create } from "zustand";
import { toast } from "../../ui/toast";
import { explain, reasonOf, type Fault } from "../../api/errors";
import { workspace } from "../../api/workspace";
import type { Entry } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { number } from "../../lib/format";
import { flushKept } from "../../lib/keep";
import { here } from "../../lib/place";
import { viewKey, isOpen, keepViewOf, renamePaths } from "../../lib/sides";
import { onLeaveWorkbench, openFile, setDraft, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { monaco } from "./monaco";
import { patchOf } from "./patch";
import { within } from "./rows";

/** What the person decides between. Version 0: the file is gone. */
export interface Conflict { version: bigint; theirs: string; merged: string; overlaps: boolean }

/** What is known of an open file. */
export interface FileState {
  status: "loading" | "ready" | "binary" | "failed";
  version: bigint;
  size: number;
  dirty: boolean;
  saving: boolean;
  fault: Fault | null;
  conflict: Conflict | null;
  /** The stored version that an unsaved text does not stand on; 0 when the file is gone. */
  remote: bigint | null;
}

interface Opened { model: monaco.editor.ITextModel; savedAt: number; base: string; listed: boolean }

const fresh: FileState = { status: "loading", version: 0n, size: 0, dirty: false, saving: false, fault: null, conflict: null, remote: null };
const opened = new Map<string, Opened>();
const drafting = new Map<string, ReturnType<typeof setTimeout>>();
const saving = new Map<string, ReturnType<typeof setTimeout>>();
const DRAFT_MS = 300;
const SAVE_MS = 300;
export const useFiles = create<{ files: Record<string, FileState> }>(() => ({ files: {} }));

onLeaveWorkbench(() => {
  for (const path of opened.keys()) keepDraft(path);
  for (const path of Object.keys(useFiles.getState().files)) dropFile(path);
});

// What was typed in the last moment is kept too when the page goes.
addEventListener("pagehide", () => {
  for (const path of opened.keys()) keepDraft(path);
  flushKept();
});

/** Something of a file is not saved: typed into it, or kept as a draft of one that is not loaded. */
export const isUnsaved = (path: string, files: Record<string, FileState>, drafts: Record<string, unknown>): boolean => files[path]?.dirty ?? path in drafts;

export const modelOf = (path: string) => opened.get(path)?.model;
/** Where one was in a file on this side, or else on the other. */
export function viewOf(path: string, right: boolean): monaco.editor.ICodeEditorViewState | null {
  const { views } = useWorkbench.getState();
  return (views[viewKey(path, right)] ?? views[viewKey(path, !right)] ?? null) as monaco.editor.ICodeEditorViewState | null;
}
/** Remembers that; a file that was closed meanwhile is forgotten. */
export function keepView(path: string, right: boolean, view: monaco.editor.ICodeEditorViewState | null): void {
  if (view && isOpen(useWorkbench.getState(), path)) keepViewOf(path, right, view);
}

/** Reads a file into a model; a draft of this browser lies on top of it. */
export async function loadFile(path: string): Promise<void> {
  const known = useFiles.getState().files[path];
  if (known && known.status !== "failed") return;
  set(path, { ...fresh });
  const workspaceId = here();
  try {
    const file = await workspace.readFile({ workspaceId, path });
    if (workspaceId !== here()) return;
    if (file.content.case === "data") return set(path, { status: "binary", version: file.version, size: file.sizeBytes });
    const text = file.content.value ?? "";
    const uri = monaco.Uri.from({ scheme: "file", path: `/ws/${path}` });
    const model = monaco.editor.getModel(uri) ?? monaco.editor.createModel(text, undefined, uri);
    if (model.getValue() !== text) model.setValue(text);
    const entry: Opened = { model, savedAt: model.getAlternativeVersionId(), base: text, listed: false };
    opened.set(path, entry);
    model.onDidChangeContent(() => changed(path, entry));
    set(path, { status: "ready", version: file.version, size: file.sizeBytes });
    const draft = useWorkbench.getState().drafts[path];
    if (draft && draft.text !== text) {
      const version = BigInt(draft.baseVersion);
      set(path, { version, remote: version < file.version ? file.version : null });
      if (draft.baseText !== undefined) entry.base = draft.baseText;
      model.pushEditOperations([], [{ range: model.getFullModelRange(), text: draft.text }], () => null);
    }
  } catch (cause) {
    set(path, { status: "failed", fault: explain(cause) });
  }
}

/** Tries a file again that could not be read. */
export function retryFile(path: string): void {
  void loadFile(path);
}

/** Saves a file on the version it stands on. False when it was not saved. By itself, a save tells of no success and asks nothing. */
export async function saveFile(path: string, byItself = false): Promise<boolean> {
  const entry = opened.get(path);
  const state = useFiles.getState().files[path];
  if (!entry || !state || state.saving) return false;
  clearTimeout(saving.get(path));
  const at = entry.model.getAlternativeVersionId();
  const text = entry.model.getValue();
  set(path, { saving: true, fault: null });
  try {
    const written = await storeText(path, entry.base, text, state.version);
    entry.savedAt = at;
    entry.base = text;
    const dirty = entry.model.getAlternativeVersionId() !== at;
    set(path, { saving: false, version: written.version, size: written.sizeBytes, dirty, conflict: null, remote: null });
    keepDraft(path);
    if (!byItself) toast.success(m.saved_version({ version: number(written.version) }), { id: `saved-${path}`, duration: 2_000 });
    if (dirty) saveSoon(path);
    return true;
  } catch (cause) {
    set(path, { saving: false });
    // The person learns of another's change from the banner, which comes with the change itself.
    if (byItself && reasonOf(cause) === "VERSION_CONFLICT") return false;
    if (reasonOf(cause) === "VERSION_CONFLICT" || (reasonOf(cause) === "NOT_FOUND" && state.version > 0n)) await compare(path);
    else set(path, { fault: explain(cause) });
    return false;
  }
}

/** Stores a text over a version; sends what changed where that is less than the whole. */
export async function storeText(path: string, base: string, text: string, ifVersion: bigint): Promise<{ version: bigint; sizeBytes: number }> {
  const workspaceId = here();
  const unifiedDiff = ifVersion > 0n ? patchOf(base, text) : null;
  if (unifiedDiff !== null) {
    try {
      return await workspace.editFile({ workspaceId, path, ifVersion, unifiedDiff });
    } catch (cause) {
      // Where the diff does not fit the stored text, the whole goes instead: still only over the same version.
      if (reasonOf(cause) !== "HUNK_MISMATCH") throw cause;
    }
  }
  return workspace.writeFile({ workspaceId, path, content: { case: "text", value: text }, ifVersion });
}

/** Asks for the stored text and the merge of both, so that the person can decide. */
export async function compare(path: string): Promise<void> {
  const entry = opened.get(path);
  if (!entry) return;
  try {
    const merge = await workspace.mergeFile({ workspaceId: here(), path, baseText: entry.base, text: entry.model.getValue() });
    set(path, { conflict: { version: merge.currentVersion, theirs: merge.currentText, merged: merge.text, overlaps: merge.conflicts } });
  } catch (cause) {
    if (reasonOf(cause) === "NOT_FOUND") set(path, { conflict: { version: 0n, theirs: "", merged: "", overlaps: false } });
    else set(path, { fault: explain(cause) });
  }
}

/** Puts a text that was not stored into the editor, on the version it was made from, and has the person decide. */
export async function offerText(path: string, base: string, text: string, version: bigint): Promise<void> {
  openFile(path);
  await loadFile(path);
  const entry = opened.get(path);
  if (!entry) return;
  entry.base = base;
  set(path, { version });
  entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
  await compare(path);
}

/** Ends a conflict with a text, and saves it over the version that it was decided against. */
export async function settle(path: string, text: string): Promise<boolean> {
  const entry = opened.get(path);
  const conflict = useFiles.getState().files[path]?.conflict;
  if (!entry || !conflict) return false;
  entry.base = conflict.theirs;
  if (entry.model.getValue() !== text) entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
  set(path, { version: conflict.version, conflict: null, remote: null });
  return saveFile(path);
}

/** Gives up what was typed and takes the stored text. */
export function takeTheirs(path: string): void {
  const entry = opened.get(path);
  const conflict = useFiles.getState().files[path]?.conflict;
  if (entry && conflict) replaceText(path, entry, conflict.theirs, conflict.version);
}

export const keepEditing = (path: string) => set(path, { conflict: null });
export const dismissFault = (path: string) => set(path, { fault: null });

/** Forgets a closed or deleted file. */
export function dropFile(path: string): void {
  clearTimeout(drafting.get(path));
  clearTimeout(saving.get(path));
  opened.get(path)?.model.dispose();
  opened.delete(path);
  useFiles.setState(({ files }) => ({ files: Object.fromEntries(Object.entries(files).filter(([key]) => key !== path)) }));
}

/** Moves a file or folder; what is open and not saved moves along as a draft. */
export async function movePath(from: string, to: string): Promise<void> {
  await workspace.movePath({ workspaceId: here(), from, to });
  for (const path of [...opened.keys()].filter((p) => within(p, from))) {
    keepDraft(path);
    dropFile(path);
  }
  renamePaths(from, to);
}

/** Shows what a program, an agent or another page has changed; what was typed here stays, and the person is told. */
export function followChanges(entries: Map<string, Entry>): void {
  for (const [path, state] of Object.entries(useFiles.getState().files)) {
    const entry = opened.get(path);
    if (!entry || state.saving || state.status !== "ready" || state.version === 0n) continue;
    const version = entries.get(path)?.version ?? 0n;
    // A file that was just made may be open before the tree tells of it; only one that was in the tree can be gone.
    if (version === 0n && !entry.listed) continue;
    entry.listed = true;
    if (version !== 0n && version <= state.version) {
      if (state.remote !== null) set(path, { remote: null });
    } else if (state.dirty || version === 0n) {
      if (state.remote !== version) set(path, { remote: version });
    } else void reload(path, entry);
  }
}

async function reload(path: string, entry: Opened): Promise<void> {
  // What cannot be read now is met by the next change, or by the save, which is refused.
  const file = await workspace.readFile({ workspaceId: here(), path }).catch(() => null);
  const state = useFiles.getState().files[path];
  if (!file || !state || opened.get(path) !== entry || file.version <= state.version) return;
  if (state.dirty) set(path, { remote: file.version });
  else if (file.content.case === "text") replaceText(path, entry, file.content.value, file.version);
}

function replaceText(path: string, entry: Opened, text: string, version: bigint): void {
  entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
  entry.savedAt = entry.model.getAlternativeVersionId();
  entry.base = text;
  set(path, { version, dirty: false, conflict: null, fault: null, remote: null });
  keepDraft(path);
}

function changed(path: string, entry: Opened): void {
  const dirty = entry.model.getAlternativeVersionId() !== entry.savedAt;
  const state = useFiles.getState().files[path];
  if (state && state.dirty !== dirty) set(path, { dirty });
  clearTimeout(drafting.get(path));
  drafting.set(path, setTimeout(() => keepDraft(path), DRAFT_MS));
  if (dirty) saveSoon(path);
}

/** Where files save themselves: saves when nothing was typed for a moment, once for all that was typed before. */
function saveSoon(path: string): void {
  clearTimeout(saving.get(path));
  if (!useWorkbench.getState().autosave) return;
  saving.set(path, setTimeout(() => {
    const state = useFiles.getState().files[path];
    if (state?.dirty && state.remote === null && state.conflict === null) void saveFile(path, true);
  }, SAVE_MS));
}

function keepDraft(path: string): void {
  clearTimeout(drafting.get(path));
  const entry = opened.get(path);
  const state = useFiles.getState().files[path];
  if (entry && state) setDraft(path, state.dirty ? { text: entry.model.getValue(), baseVersion: String(state.version), baseText: entry.base } : null);
}

function set(path: string, change: Partial<FileState>): void {
  useFiles.setState(({ files }) => ({ files: { ...files, [path]: { ...fresh, ...files[path], ...change } } }));
}
