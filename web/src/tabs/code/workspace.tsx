// The editor with its tabs, and the panel below it; loads Monaco.
import { Camera, History, Lock, Play, Save, Search, Square, X } from "lucide-react";
import { useEffect, useState } from "react";
import { toast } from "../../ui/toast";
import { useSession } from "../../api/session";
import { useCommands } from "../../lib/commands";
import { runnerOf } from "../../lib/engines";
import { bytes } from "../../lib/format";
import { here } from "../../lib/place";
import { startRun, stopRun, useRuns } from "../../lib/runs";
import { closeFile, openFile, useWorkbench, type Panel } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Confirm } from "../../ui/dialog";
import { FaultLine, FaultPane } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { Waiting } from "../../ui/tag";
import { LockBanner, RemoteBanner } from "./banners";
import { Conflict } from "./conflict";
import { Editor, editorAction } from "./editor";
import { dismissFault, dropFile, followChanges, loadFile, retryFile, saveFile, useFiles } from "./files";
import type { TreeState } from "./live-tree";
import { lockInTheWay } from "./locks";
import { BottomPanel } from "./panel";
import { foldersAbove, nameOf } from "./rows";

export default function Workspace({ tree }: { tree: TreeState }) {
  const phone = usePhone();
  const { active, panel } = useWorkbench();
  const userId = useSession((s) => s.user?.userId ?? "");
  const files = useFiles((s) => s.files);
  const running = useRuns((s) => s.current?.running ?? false);
  const [closing, setClosing] = useState<string | null>(null);
  const file = active ? files[active] : undefined;
  const runner = active ? runnerOf(active) : null;
  const lock = active ? lockInTheWay(tree.locks, active, userId) : null;
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

  const close = (path: string) => {
    if (useFiles.getState().files[path]?.dirty) return setClosing(path);
    closeFile(path);
    dropFile(path);
  };
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
    { id: "next-file", title: m.next_file(), group: "code", keys: "Mod+PageDown", run: () => step(1) },
    { id: "previous-file", title: m.previous_file(), group: "code", keys: "Mod+PageUp", run: () => step(-1) },
    { id: "next-problem", title: m.next_problem(), group: "code", keys: "F8", run: () => editorAction("editor.action.marker.next") },
    { id: "goto-line", title: m.goto_line(), group: "code", keys: "Mod+G", run: () => editorAction("editor.action.gotoLine") },
    { id: "toggle-output", title: m.toggle_output(), group: "code", keys: "Mod+J", run: () => show("output") },
    { id: "show-history", title: m.timeline_show(), group: "code", icon: History, run: () => useWorkbench.setState({ panel: "history" }) },
    { id: "show-snapshots", title: m.snapshots_show(), group: "code", icon: Camera, run: () => useWorkbench.setState({ panel: "snapshots" }) },
    { id: "search-files", title: m.search_files(), group: "code", icon: Search, keys: "Mod+Shift+F", run: () => useWorkbench.setState({ panel: "search" }) },
  ]);

  const editor = (
    <section aria-label={m.editor()} data-pane className="flex min-h-0 flex-1 flex-col bg-editor">
      <div className="flex h-9 shrink-0 items-stretch border-b border-line bg-panel max-tab:h-12">
        <FileTabs onClose={close} tree={tree} userId={userId} />
        {active && (
          <div className="flex items-center gap-0.5 px-1.5">
            <IconButton label={m.save_file()} keys="Mod+S" icon={Save} disabled={!file?.dirty || file.saving || lock !== null} onClick={() => void saveFile(active)} />
            {running
              ? phone ? <Button small icon={Square} onClick={() => void stopRun()}>{m.stop()}</Button> : <IconButton label={m.stop()} icon={Square} onClick={() => void stopRun()} />
              : phone ? <Button small tone="primary" icon={Play} disabled={!runner} onClick={() => void run()}>{m.run()}</Button> : <IconButton label={runner ? m.run_file() : m.run_no_engine_short()} keys="F5" icon={Play} disabled={!runner} onClick={() => void run()} className="text-ok" />}
          </div>
        )}
      </div>
      {active && file?.fault && file.status !== "failed" && (
        <div className="p-2"><FaultLine fault={file.fault}><Button small onClick={() => void saveFile(active)}>{m.try_again()}</Button><Button small tone="quiet" onClick={() => dismissFault(active)}>{m.close()}</Button></FaultLine></div>
      )}
      {lock && <LockBanner key={lock.lockId} lock={lock} userId={userId} />}
      {active && file && file.remote !== null && !file.conflict && <RemoteBanner path={active} gone={file.remote === 0n} />}
      {!active ? <p className="flex flex-1 items-center justify-center p-6 text-center text-sm">{m.no_file_open()}</p>
      : !file || file.status === "loading" ? <Waiting rows={10} height={20} label={m.loading()} />
      : file.status === "failed" && file.fault ? <FaultPane fault={file.fault} onRetry={() => retryFile(active)} />
      : file.status === "binary" ? <p className="flex flex-1 items-center justify-center p-6 text-center text-sm">{m.file_binary({ size: bytes(file.size) })}</p>
      : <Editor path={active} locked={lock !== null} />}
    </section>
  );
  return (
    <>
      <Panes id="code-main" vertical panes={[{ id: "editor", min: "120px", content: editor }, panel && { id: "output", size: phone ? "320px" : "260px", min: "80px", content: <BottomPanel panel={panel} path={active} tree={tree} onRun={() => void run()} /> }]} />
      {active && file?.conflict && <Conflict path={active} conflict={file.conflict} />}
      <Confirm
        open={closing !== null}
        onClose={() => setClosing(null)}
        title={m.close_unsaved_title({ name: nameOf(closing ?? "") })}
        about={m.close_unsaved_about()}
        verb={m.discard()}
        onConfirm={async () => {
          if (!closing) return;
          closeFile(closing);
          dropFile(closing);
        }}
      />
    </>
  );
}

function FileTabs({ onClose, tree, userId }: { onClose: (path: string) => void; tree: TreeState; userId: string }) {
  const { open, active, preview, drafts } = useWorkbench();
  const files = useFiles((s) => s.files);
  return (
    <div className="flex min-w-0 flex-1 overflow-x-auto [scrollbar-width:none]" role="group" aria-label={m.open_files()}>
      {open.map((path) => {
        const name = nameOf(path);
        const dirty = files[path]?.dirty ?? path in drafts;
        const on = path === active;
        return (
          <div key={path} className={cx("group relative flex shrink-0 items-center border-r border-line", on ? "bg-editor" : "bg-panel")}>
            {on && <span aria-hidden className="absolute inset-x-0 top-0 h-0.5 bg-signal" />}
            <button type="button" data-inset title={path} aria-current={on || undefined} onClick={() => openFile(path, preview !== path)} onDoubleClick={() => openFile(path)} className={cx("h-full pr-1 pl-3.5 text-sm", on ? "text-fg" : "text-fg-3 hover:text-fg", path === preview && "italic")}>
              {name}
              {dirty && <span className="sr-only"> ({m.unsaved()})</span>}
              {lockInTheWay(tree.locks, path, userId) && <Lock size={12} role="img" aria-label={m.locked()} className="ml-1.5 inline text-warn" />}
            </button>
            <button type="button" data-inset aria-label={m.close_named({ name })} onClick={() => onClose(path)} className="mr-1 flex size-6 items-center justify-center rounded-ctl text-fg-3 hover:bg-hover hover:text-fg max-tab:size-9">
              {dirty && <span aria-hidden className="size-2 rounded-full bg-fg-2 group-hover:hidden" />}
              <X size={13} aria-hidden className={cx(dirty && "hidden group-hover:block", !dirty && !on && "opacity-0 group-hover:opacity-100 [@media(hover:none)]:opacity-100")} />
            </button>
          </div>
        );
      })}
    </div>
  );
}
