// The editor in one or two sides, and the panel below it; loads Monaco.
import { Camera, Columns2, History, PanelRight, Play, Save, Search, X } from "lucide-react";
import { useEffect, useState } from "react";
import { toast } from "../../ui/toast";
import { useSession } from "../../api/session";
import { useCommands } from "../../lib/commands";
import { runnerOf } from "../../lib/engines";
import { number } from "../../lib/format";
import { here } from "../../lib/place";
import { startRun } from "../../lib/runs";
import { closeFile, focusSide, isOpen, joinSides, moveAside, setAutosave, sidesOf, splitEditor } from "../../lib/sides";
import { openFile, useWorkbench, type Panel } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Confirm } from "../../ui/dialog";
import { usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { Conflict } from "./conflict";
import { editorAction } from "./editor";
import { EditorSide } from "./editor-side";
import type { TabActions } from "./file-tabs";
import { dropFile, followChanges, isUnsaved, loadFile, saveFile, useFiles } from "./files";
import type { TreeState } from "./live-tree";
import { BottomPanel } from "./panel";
import { foldersAbove, nameOf } from "./rows";

export default function Workspace({ tree }: { tree: TreeState }) {
  const phone = usePhone();
  const workbench = useWorkbench();
  const { active, panel, autosave } = workbench;
  const other = workbench.other?.active ?? null;
  const userId = useSession((s) => s.user?.userId ?? "");
  const files = useFiles((s) => s.files);
  const [closing, setClosing] = useState<string | null>(null);
  const [dragged, setDragged] = useState<string | null>(null);
  const runner = active ? runnerOf(active) : null;
  const decided = [active, other].find((path) => path && files[path]?.conflict);
  const { entries } = tree;

  useEffect(() => {
    if (!active) return;
    void loadFile(active);
    const folders = foldersAbove(active);
    useWorkbench.setState(({ expanded }) => (folders.every((folder) => expanded.includes(folder)) ? {} : { expanded: [...new Set([...expanded, ...folders])] }));
  }, [active]);
  useEffect(() => { if (tree.synced) followChanges(entries); }, [entries, files, tree.synced]);
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => { if (Object.values(useFiles.getState().files).some((f) => f.saving)) event.preventDefault(); };
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, []);

  useEffect(() => { if (other) void loadFile(other); }, [other]);
  useEffect(() => { if (phone) joinSides(); }, [phone]);

  const shut = (path: string) => {
    closeFile(path);
    if (!isOpen(useWorkbench.getState(), path)) dropFile(path);
  };
  /** Closing would lose what was typed: it is not saved, and not open on the other side. */
  const loses = (path: string) => isUnsaved(path, useFiles.getState().files, useWorkbench.getState().drafts) && !useWorkbench.getState().other?.open.includes(path);
  const close = (path: string) => (loses(path) ? setClosing(path) : shut(path));
  const closeOthers = (path: string) => {
    const others = useWorkbench.getState().open.filter((p) => p !== path);
    const kept = others.filter(loses);
    for (const one of others) if (!kept.includes(one)) shut(one);
    openFile(path);
    if (kept.length > 0) toast.info(m.split_kept_unsaved({ count: kept.length, shown: number(kept.length) }));
  };
  const aside = (path: string) => moveAside(path, !useWorkbench.getState().right);
  const run = async () => {
    if (!active) return;
    if (!runner) return void toast.info(m.run_no_engine({ name: nameOf(active) }));
    if (useFiles.getState().files[active]?.dirty && !(await saveFile(active))) return;
    useWorkbench.setState({ panel: "output" });
    await startRun({ workspaceId: here(), engine: runner.engine, runtime: runner.runtime, path: active }, active);
  };
  const show = (wanted: Panel) => useWorkbench.setState(({ panel: now }) => ({ panel: now === wanted ? null : wanted }));
  const step = (by: number) => {
    const { open } = useWorkbench.getState();
    const next = open[(open.indexOf(active ?? "") + by + open.length) % open.length];
    if (next) openFile(next);
  };
  useCommands("code", [
    { id: "save", title: m.save_file(), group: "code", icon: Save, keys: "Mod+S", run: () => { if (active) void saveFile(active); } },
    { id: "run-file", title: m.run_file(), group: "code", icon: Play, keys: "F5 / Mod+Enter", run: () => void run() },
    { id: "close-file", title: m.close_file(), group: "code", icon: X, keys: "Alt+W", typing: true, run: () => { if (active) close(active); } },
    { id: "close-others", title: m.split_close_others(), group: "code", run: () => { if (active) closeOthers(active); } },
    ...(phone ? [] : [
      { id: "split-editor", title: workbench.other ? m.split_show_other() : m.split_editor(), group: "code" as const, icon: Columns2, keys: "Mod+\\", run: splitEditor },
      { id: "move-file-aside", title: m.split_move(), group: "code" as const, icon: PanelRight, run: () => { if (active && (workbench.other || workbench.open.length > 1)) aside(active); } },
      ...(workbench.other ? [{ id: "other-side", title: m.split_focus_other(), group: "code" as const, keys: "Mod+Alt+ArrowRight / Mod+Alt+ArrowLeft", run: () => focusSide(!useWorkbench.getState().right) }] : []),
    ]),
    { id: "autosave", title: autosave ? m.code_autosave_off() : m.code_autosave_on(), group: "code", icon: Save, run: () => setAutosave(!autosave) },
    { id: "next-file", title: m.next_file(), group: "code", keys: "Mod+PageDown", run: () => step(1) },
    { id: "previous-file", title: m.previous_file(), group: "code", keys: "Mod+PageUp", run: () => step(-1) },
    { id: "next-problem", title: m.next_problem(), group: "code", keys: "F8", run: () => editorAction("editor.action.marker.next") },
    { id: "goto-line", title: m.goto_line(), group: "code", keys: "Mod+G", run: () => editorAction("editor.action.gotoLine") },
    { id: "toggle-output", title: m.toggle_output(), group: "code", keys: "Mod+J", run: () => show("output") },
    { id: "show-history", title: m.timeline_show(), group: "code", icon: History, run: () => useWorkbench.setState({ panel: "history" }) },
    { id: "show-snapshots", title: m.snapshots_show(), group: "code", icon: Camera, run: () => useWorkbench.setState({ panel: "snapshots" }) },
    { id: "search-files", title: m.search_files(), group: "code", icon: Search, keys: "Mod+Shift+F", run: () => useWorkbench.setState({ panel: "search" }) },
  ]);

  const sides = sidesOf(workbench);
  const split = sides.length === 2;
  const actions: TabActions = { close, closeOthers, moveAside: aside, drag: setDragged };
  const editor = (
    <Panes
      id="code-split"
      panes={sides.map((side, i) => {
        const right = i === 1;
        return { id: right ? "right" : "left", min: split ? "160px" : "0px", content: <EditorSide side={side} right={right} split={split} focused={right === workbench.right} tree={tree} userId={userId} dragged={dragged} actions={actions} onRun={() => void run()} /> };
      })}
    />
  );
  return (
    <>
      <Panes id="code-main" vertical panes={[{ id: "editor", min: "120px", content: editor }, panel && { id: "output", size: phone ? "320px" : "260px", min: "80px", content: <BottomPanel panel={panel} path={active} tree={tree} onRun={() => void run()} /> }]} />
      {decided && files[decided]?.conflict && <Conflict key={decided} path={decided} conflict={files[decided].conflict} />}
      <Confirm
        open={closing !== null}
        onClose={() => setClosing(null)}
        title={m.close_unsaved_title({ name: nameOf(closing ?? "") })}
        about={m.close_unsaved_about()}
        verb={m.discard()}
        onConfirm={async () => {
          if (closing) shut(closing);
        }}
      />
    </>
  );
}
