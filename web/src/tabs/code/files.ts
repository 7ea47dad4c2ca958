// The open files: one Monaco model each, the version it stands on, saving, and conflicts.
import { create } from "zustand";
import { toast } from "../../ui/toast";
import { explain, reasonOf, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { workspace } from "../../api/transport";
import { WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { number } from "../../lib/format";
import { renamePaths, setDraft, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { monaco } from "./monaco";

/** What is known of an open file. */
export interface FileState {
  status: "loading" | "ready" | "binary" | "failed";
  version: bigint;
  size: number;
  dirty: boolean;
  saving: boolean;
  fault: Fault | null;
  conflict: { version: bigint; text: string } | null;
}

interface Opened { model: monaco.editor.ITextModel; savedAt: number; view: monaco.editor.ICodeEditorViewState | null }

const fresh: FileState = { status: "loading", version: 0n, size: 0, dirty: false, saving: false, fault: null, conflict: null };
const opened = new Map<string, Opened>();
const drafting = new Map<string, ReturnType<typeof setTimeout>>();
export const useFiles = create<{ files: Record<string, FileState> }>(() => ({ files: {} }));

export const modelOf = (path: string) => opened.get(path)?.model;
export const viewOf = (path: string) => opened.get(path)?.view ?? null;
export function keepView(path: string, view: monaco.editor.ICodeEditorViewState | null): void {
  const file = opened.get(path);
  if (file) file.view = view;
}

/** Reads a file into a model; a draft of this browser lies on top of it. */
export async function loadFile(path: string): Promise<void> {
  const known = useFiles.getState().files[path];
  if (known && known.status !== "failed") return;
  set(path, { ...fresh });
  try {
    const file = await workspace.readFile({ path });
    if (file.content.case === "data") return set(path, { status: "binary", version: file.version, size: file.sizeBytes });
    const text = file.content.value ?? "";
    const uri = monaco.Uri.from({ scheme: "file", path: `/ws/${path}` });
    const model = monaco.editor.getModel(uri) ?? monaco.editor.createModel(text, undefined, uri);
    if (model.getValue() !== text) model.setValue(text);
    const entry: Opened = { model, savedAt: model.getAlternativeVersionId(), view: null };
    opened.set(path, entry);
    model.onDidChangeContent(() => changed(path, entry));
    set(path, { status: "ready", version: file.version, size: file.sizeBytes });
    const draft = useWorkbench.getState().drafts[path];
    if (draft && draft.text !== text) {
      set(path, { version: BigInt(draft.baseVersion) });
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

/** Saves a file on the version it stands on. False when it was not saved. */
export async function saveFile(path: string, overwrite = false): Promise<boolean> {
  const entry = opened.get(path);
  const state = useFiles.getState().files[path];
  if (!entry || !state || state.saving) return false;
  const at = entry.model.getAlternativeVersionId();
  set(path, { saving: true, fault: null });
  try {
    const base = overwrite && state.conflict ? state.conflict.version : state.version;
    const written = await workspace.writeFile({ path, content: { case: "text", value: entry.model.getValue() }, ifVersion: base });
    entry.savedAt = at;
    const dirty = entry.model.getAlternativeVersionId() !== at;
    set(path, { saving: false, version: written.version, size: written.sizeBytes, dirty, conflict: null });
    clearTimeout(drafting.get(path));
    setDraft(path, dirty ? { text: entry.model.getValue(), baseVersion: String(written.version) } : null);
    refetch(WorkspaceService.method.listFiles);
    toast.success(m.saved_version({ version: number(written.version) }), { id: `saved-${path}`, duration: 2_000 });
    return true;
  } catch (cause) {
    set(path, { saving: false });
    if (reasonOf(cause) === "VERSION_CONFLICT") await meetConflict(path);
    else set(path, { fault: explain(cause) });
    return false;
  }
}

/** Gives up what was typed and takes the stored text. */
export function takeTheirs(path: string): void {
  const entry = opened.get(path);
  const conflict = useFiles.getState().files[path]?.conflict;
  if (!entry || !conflict) return;
  replaceText(path, entry, conflict.text, conflict.version);
}

/** Closes the conflict and goes on with what was typed. */
export const keepEditing = (path: string) => set(path, { conflict: null });
export const dismissFault = (path: string) => set(path, { fault: null });

/** Forgets a closed or deleted file. */
export function dropFile(path: string): void {
  clearTimeout(drafting.get(path));
  opened.get(path)?.model.dispose();
  opened.delete(path);
  useFiles.setState(({ files }) => ({ files: Object.fromEntries(Object.entries(files).filter(([key]) => key !== path)) }));
}

/** Moves a file or folder; what is open and not saved moves along as a draft. */
export async function movePath(from: string, to: string): Promise<void> {
  await workspace.movePath({ from, to });
  for (const path of [...opened.keys()].filter((p) => p === from || p.startsWith(`${from}/`))) dropFile(path);
  renamePaths(from, to);
  refetch(WorkspaceService.method.listFiles);
}

/** Reads open files again that a program or another page has changed. */
export async function followChanges(entries: { path: string; version: bigint }[]): Promise<void> {
  for (const { path, version } of entries) {
    const state = useFiles.getState().files[path];
    const entry = opened.get(path);
    if (!state || !entry || state.dirty || state.saving || state.status !== "ready" || version <= state.version) continue;
    const file = await workspace.readFile({ path }).catch(() => null);
    if (file?.content.case === "text") replaceText(path, entry, file.content.value, file.version);
  }
}

function replaceText(path: string, entry: Opened, text: string, version: bigint): void {
  entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
  entry.savedAt = entry.model.getAlternativeVersionId();
  clearTimeout(drafting.get(path));
  setDraft(path, null);
  set(path, { version, dirty: false, conflict: null, fault: null });
}

async function meetConflict(path: string): Promise<void> {
  try {
    const theirs = await workspace.readFile({ path });
    set(path, { conflict: { version: theirs.version, text: theirs.content.case === "text" ? theirs.content.value : "" } });
  } catch (cause) {
    if (reasonOf(cause) === "NOT_FOUND") set(path, { conflict: { version: 0n, text: "" } });
    else set(path, { fault: explain(cause) });
  }
}

function changed(path: string, entry: Opened): void {
  const dirty = entry.model.getAlternativeVersionId() !== entry.savedAt;
  const state = useFiles.getState().files[path];
  if (state && state.dirty !== dirty) set(path, { dirty });
  clearTimeout(drafting.get(path));
  drafting.set(path, setTimeout(() => {
    const now = useFiles.getState().files[path];
    if (now) setDraft(path, now.dirty ? { text: entry.model.getValue(), baseVersion: String(now.version) } : null);
  }, 300));
}

function set(path: string, change: Partial<FileState>): void {
  useFiles.setState(({ files }) => ({ files: { ...files, [path]: { ...fresh, ...files[path], ...change } } }));
}
