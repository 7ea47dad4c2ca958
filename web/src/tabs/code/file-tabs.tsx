// The tabs of one side of the editor: previews in italics, dots for unsaved ones, a menu, and drag to the other side.
import { ClipboardCopy, Columns2, CopyX, Lock, PanelRight, X } from "lucide-react";
import { useState } from "react";
import { focusSide, splitEditor } from "../../lib/sides";
import { openFile, useWorkbench, type Side } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { copyText } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { MenuAt, MenuItem, MenuLine } from "../../ui/menu";
import { isUnsaved, useFiles } from "./files";
import type { TreeState } from "./live-tree";
import { lockInTheWay } from "./locks";
import { nameOf } from "./rows";

/** What a dragged tab carries: its path. */
export const DRAGGED_TAB = "application/x-devstudio-tab";

/** What a side's tabs can be told to do. */
export interface TabActions { close: (path: string) => void; closeOthers: (path: string) => void; moveAside: (path: string) => void; drag: (path: string | null) => void }

export function FileTabs({ side, right, split, focused, tree, userId, actions }: { side: Side; right: boolean; split: boolean; focused: boolean; tree: TreeState; userId: string; actions: TabActions }) {
  const { open, active, preview } = side;
  const drafts = useWorkbench((w) => w.drafts);
  const files = useFiles((s) => s.files);
  const [menu, setMenu] = useState<{ path: string; x: number; y: number } | null>(null);
  const show = (path: string, keep: boolean) => {
    focusSide(right);
    openFile(path, keep);
  };
  return (
    <div className="flex min-w-0 flex-1 overflow-x-auto [scrollbar-width:none]" role="group" aria-label={split ? (right ? m.split_files_right() : m.split_files_left()) : m.open_files()}>
      {open.map((path) => {
        const name = nameOf(path);
        const dirty = isUnsaved(path, files, drafts);
        const on = path === active;
        return (
          <div key={path} className={cx("group relative flex shrink-0 items-center border-r border-line", on ? "bg-editor" : "bg-panel")}>
            {on && <span aria-hidden className={cx("absolute inset-x-0 top-0 h-0.5", focused ? "bg-signal" : "bg-line-strong")} />}
            <button
              type="button"
              data-inset
              draggable
              title={path}
              aria-current={on || undefined}
              onClick={() => show(path, preview !== path)}
              onDoubleClick={() => show(path, true)}
              onAuxClick={(event) => { if (event.button === 1) { focusSide(right); actions.close(path); } }}
              onContextMenu={(event) => {
                event.preventDefault();
                focusSide(right);
                const box = event.currentTarget.getBoundingClientRect();
                setMenu({ path, x: event.clientX || box.left, y: event.clientY || box.bottom });
              }}
              onDragStart={(event) => {
                focusSide(right);
                event.dataTransfer.setData(DRAGGED_TAB, path);
                event.dataTransfer.effectAllowed = "move";
                // The page may change only when the drag has begun.
                setTimeout(() => actions.drag(path), 0);
              }}
              onDragEnd={() => actions.drag(null)}
              className={cx("h-full pr-1 pl-3.5 text-sm", on ? "text-fg" : "text-fg-3 hover:text-fg", path === preview && "italic")}
            >
              {name}
              {dirty && <span className="sr-only"> ({m.unsaved()})</span>}
              {lockInTheWay(tree.locks, path, userId) && <Lock size={12} role="img" aria-label={m.locked()} className="ml-1.5 inline text-warn" />}
            </button>
            <button type="button" data-inset aria-label={m.close_named({ name })} onClick={() => { focusSide(right); actions.close(path); }} className="mr-1 flex size-6 items-center justify-center rounded-ctl text-fg-3 hover:bg-hover hover:text-fg max-tab:size-9">
              {dirty && <span aria-hidden className="size-2 rounded-full bg-fg-2 group-hover:hidden" />}
              <X size={13} aria-hidden className={cx(dirty && "hidden group-hover:block", !dirty && !on && "opacity-0 group-hover:opacity-100 [@media(hover:none)]:opacity-100")} />
            </button>
          </div>
        );
      })}
      {menu && (
        <MenuAt x={menu.x} y={menu.y} label={m.actions_of({ name: nameOf(menu.path) })} onClose={() => setMenu(null)}>
          <MenuItem icon={X} keys="Alt+W" onSelect={() => actions.close(menu.path)}>{m.close_file()}</MenuItem>
          <MenuItem icon={CopyX} disabled={open.length < 2} onSelect={() => actions.closeOthers(menu.path)}>{m.split_close_others()}</MenuItem>
          <MenuLine />
          <MenuItem icon={Columns2} keys="Mod+\" onSelect={() => { openFile(menu.path, preview !== menu.path); splitEditor(); }}>{split ? m.split_show_other() : m.split_editor()}</MenuItem>
          <MenuItem icon={PanelRight} disabled={!split && open.length < 2} onSelect={() => actions.moveAside(menu.path)}>{m.split_move()}</MenuItem>
          <MenuLine />
          <MenuItem icon={ClipboardCopy} onSelect={() => copyText(menu.path)}>{m.copy_path()}</MenuItem>
        </MenuAt>
      )}
    </div>
  );
}
