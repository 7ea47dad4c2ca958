// One side of the editor: its tabs, what is to be said about the shown file, and the file itself.
import { Play, Save, Square } from "lucide-react";
import { useState, type DragEvent } from "react";
import { runnerOf } from "../../lib/engines";
import { bytes } from "../../lib/format";
import { stopRun, useRuns } from "../../lib/runs";
import { focusSide, moveAside, splitEditor } from "../../lib/sides";
import { useWorkbench, type Side } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine, FaultPane } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import { Waiting } from "../../ui/tag";
import { LockBanner, RemoteBanner } from "./banners";
import { Editor } from "./editor";
import { dismissFault, retryFile, saveFile, useFiles } from "./files";
import { FileTabs, type TabActions } from "./file-tabs";
import type { TreeState } from "./live-tree";
import { lockInTheWay } from "./locks";

interface Props { side: Side; right: boolean; split: boolean; focused: boolean; tree: TreeState; userId: string; dragged: string | null; actions: TabActions; onRun: () => void }

export function EditorSide({ side, right, split, focused, tree, userId, dragged, actions, onRun }: Props) {
  const phone = usePhone();
  const files = useFiles((s) => s.files);
  const running = useRuns((s) => s.current?.running ?? false);
  const { active } = side;
  const file = active ? files[active] : undefined;
  const runner = active ? runnerOf(active) : null;
  const lock = active ? lockInTheWay(tree.locks, active, userId) : null;
  return (
    <section aria-label={split ? (right ? m.split_right() : m.split_left()) : m.editor()} data-pane onFocusCapture={() => focusSide(right)} className="flex min-h-0 min-w-0 flex-1 flex-col bg-editor">
      <div className="flex h-9 shrink-0 items-stretch border-b border-line bg-panel max-tab:h-12">
        <FileTabs side={side} right={right} split={split} focused={focused} tree={tree} userId={userId} actions={actions} />
        {active && (
          <div className="flex items-center gap-0.5 px-1.5">
            <IconButton label={m.save_file()} keys="Mod+S" icon={Save} disabled={!file?.dirty || file.saving || lock !== null} onClick={() => void saveFile(active)} />
            {running
              ? phone ? <Button small icon={Square} onClick={() => void stopRun()}>{m.stop()}</Button> : <IconButton label={m.stop()} icon={Square} onClick={() => void stopRun()} />
              : phone ? <Button small tone="primary" icon={Play} disabled={!runner} onClick={onRun}>{m.run()}</Button> : <IconButton label={runner ? m.run_file() : m.run_no_engine_short()} keys="F5" icon={Play} disabled={!runner} onClick={onRun} className="text-ok" />}
          </div>
        )}
      </div>
      {active && file?.fault && file.status !== "failed" && (
        <div className="p-2"><FaultLine fault={file.fault}><Button small onClick={() => void saveFile(active)}>{m.try_again()}</Button><Button small tone="quiet" onClick={() => dismissFault(active)}>{m.close()}</Button></FaultLine></div>
      )}
      {lock && <LockBanner key={lock.lockId} lock={lock} userId={userId} />}
      {active && file && file.remote !== null && !file.conflict && <RemoteBanner path={active} gone={file.remote === 0n} />}
      <div className="relative flex min-h-0 flex-1 flex-col">
        {!active ? <p className="flex flex-1 items-center justify-center p-6 text-center text-sm">{m.no_file_open()}</p>
        : !file || file.status === "loading" ? <Waiting rows={10} height={20} label={m.loading()} />
        : file.status === "failed" && file.fault ? <FaultPane fault={file.fault} onRetry={() => retryFile(active)} />
        : file.status === "binary" ? <p className="flex flex-1 items-center justify-center p-6 text-center text-sm">{m.file_binary({ size: bytes(file.size) })}</p>
        : <Editor path={active} right={right} focused={focused} locked={lock !== null} />}
        {dragged !== null && !(split && focused) && <DropZone path={dragged} right={right} split={split} alone={side.open.length === 1} onDone={() => actions.drag(null)} />}
      </div>
    </section>
  );
}

/** Takes a dragged tab: the other side, or where there is none yet, the right half. */
function DropZone({ path, right, split, alone, onDone }: { path: string; right: boolean; split: boolean; alone: boolean; onDone: () => void }) {
  const [over, setOver] = useState(false);
  const enter = (event: DragEvent) => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <div
      data-testid="tab-drop"
      aria-hidden
      onDragEnter={enter}
      onDragOver={enter}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        onDone();
        if (!split && alone) splitEditor();
        else moveAside(path, split ? right : !useWorkbench.getState().right);
      }}
      className={cx("absolute inset-y-0 right-0 z-10", split ? "left-0" : "left-1/2", over && "bg-accent-soft shadow-[inset_0_0_0_2px_var(--signal)]")}
    />
  );
}
