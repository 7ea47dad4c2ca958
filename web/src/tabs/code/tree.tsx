// The file tree: follows the workspace, shows only the rows in view, and is worked by keys, menu and drag.
import { FilePlus2, FolderPlus, FolderUp, Upload as UploadIcon } from "lucide-react";
import { useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useConnection } from "../../api/stream";
import { useSession } from "../../api/session";
import { useCommands } from "../../lib/commands";
import { number } from "../../lib/format";
import { go } from "../../lib/nav";
import { openFile, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { usePhone } from "../../ui/media";
import { useRowsInView } from "../../ui/rows-in-view";
import type { TreeState } from "./live-tree";
import { lockAt } from "./locks";
import type { Creating } from "./new-entry";
import { childrenOf, filesIn, parentOf, typedRow, visibleRows, within, type Row } from "./rows";
import { remove, rename } from "./tree-actions";
import { TreeMenu, type Place } from "./tree-menu";
import { filesOfInput } from "./dropped";
import { useTreeClip } from "./tree-clip";
import { useTreeDrag } from "./tree-drag";
import { ROW, TreeRow } from "./tree-row";
import { Upload, type Uploading } from "./upload";

const TYPING_MS = 700;
const ROW_PHONE = 40;

export function FileTree({ tree, onNew, onOpened }: { tree: TreeState; onNew: (creating: Creating) => void; onOpened: () => void }) {
  const { entries, locks } = tree;
  const phone = usePhone();
  const userId = useSession((s) => s.user?.userId ?? "");
  const connected = useConnection((s) => s.state === "open");
  const { expanded, active, drafts } = useWorkbench();
  const scroller = useRef<HTMLDivElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const folderPicker = useRef<HTMLInputElement>(null);
  const typed = useRef({ text: "", at: 0 });
  const prefix = useId();
  const [focusPath, setFocusPath] = useState<string | null>(null);
  const [renaming, setRenaming] = useState<string | null>(null);
  const [deleting, setDeleting] = useState<Row | null>(null);
  const [menu, setMenu] = useState<Place | null>(null);
  const [uploading, setUploading] = useState<Uploading | null>(null);
  const children = useMemo(() => childrenOf(entries), [entries]);
  const rows = useMemo(() => visibleRows(children, entries, new Set(expanded)), [children, entries, expanded]);
  const focusAt = Math.max(0, rows.findIndex((row) => row.path === (focusPath ?? active)));
  const height = phone ? ROW_PHONE : ROW;
  const { from, to } = useRowsInView(scroller, height, rows.length);
  // The row with the focus stays in the page, so that keys go on working after scrolling.
  const drawn = rows.slice(from, to).map((row, i) => ({ row, at: from + i }));
  const focused = rows[focusAt];
  if (focused && (focusAt < from || focusAt >= to)) drawn.push({ row: focused, at: focusAt });

  const open = (path: string, keep: boolean) => {
    openFile(path, keep);
    go("/code", { path });
    onOpened();
  };
  const toggle = (path: string, to?: boolean) => useWorkbench.setState(({ expanded: now }) => ({ expanded: to ?? !now.includes(path) ? [...new Set([...now, path])] : now.filter((p) => p !== path) }));
  const focusRow = (at: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, at))];
    if (!row) return;
    setFocusPath(row.path);
    const box = scroller.current;
    const top = rows.indexOf(row) * height;
    if (box) box.scrollTop = Math.min(top, Math.max(box.scrollTop, top + height + 8 - box.clientHeight));
    requestAnimationFrame(() => document.getElementById(prefix + row.path)?.focus({ preventScroll: true }));
  };
  const menuOf = (row: Row, x: number, y: number) => {
    setFocusPath(row.path);
    setMenu({ row, x, y });
  };
  const onKey = (event: KeyboardEvent) => {
    const row = rows[focusAt];
    if (!row || event.target instanceof HTMLInputElement || event.altKey) return;
    if (event.ctrlKey || event.metaKey || (event.key === "Escape" && clip.held)) return clip.onKey(event, row.path, row.folder ? row.path : parentOf(row.path));
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 1);
    const keys: Record<string, () => void> = {
      ArrowDown: () => focusRow(focusAt + 1),
      ArrowUp: () => focusRow(focusAt - 1),
      ArrowRight: () => (row.folder && !row.open ? toggle(row.path, true) : row.folder && focusRow(focusAt + 1)),
      ArrowLeft: () => (row.folder && row.open ? toggle(row.path, false) : parentOf(row.path) && focusRow(rows.findIndex((r) => r.path === parentOf(row.path)))),
      Home: () => focusRow(0),
      End: () => focusRow(rows.length - 1),
      PageDown: () => focusRow(focusAt + page),
      PageUp: () => focusRow(focusAt - page),
      Enter: () => (row.folder ? toggle(row.path) : open(row.path, true)),
      " ": () => (row.folder ? toggle(row.path) : open(row.path, false)),
      F2: () => setRenaming(row.path),
      Delete: () => setDeleting(row),
      ContextMenu: () => menuAtRow(row),
      "*": () => { for (const sibling of rows.filter((r) => r.folder && parentOf(r.path) === parentOf(row.path))) toggle(sibling.path, true); },
    };
    const known = event.key === "F10" && event.shiftKey ? keys["ContextMenu"] : keys[event.key];
    if (!known && (event.key.length !== 1 || event.key === " ")) return;
    event.preventDefault();
    event.stopPropagation();
    if (known) return known();
    const now = event.timeStamp;
    typed.current = { text: (now - typed.current.at > TYPING_MS ? "" : typed.current.text) + event.key, at: now };
    const found = typedRow(rows, focusAt, typed.current.text);
    if (found >= 0) focusRow(found);
  };
  const menuAtRow = (row: Row) => {
    const box = document.getElementById(prefix + row.path)?.getBoundingClientRect();
    if (box) menuOf(row, box.left + 32, box.bottom);
  };
  const drag = useTreeDrag({ onUpload: setUploading, onOpen: (folder) => toggle(folder, true) });
  const clip = useTreeClip((path) => entries.has(path));
  const folderNow = () => (rows[focusAt]?.folder ? rows[focusAt]?.path : parentOf(rows[focusAt]?.path ?? "")) ?? "";
  const pick = (folder: string, whole = false) => {
    const input = whole ? folderPicker.current : picker.current;
    if (!input) return;
    input.dataset["folder"] = folder;
    input.click();
  };
  const picked = (input: HTMLInputElement) => {
    if (input.files?.length) setUploading({ folder: input.dataset["folder"] ?? "", files: filesOfInput(input.files) });
    input.value = "";
  };
  useCommands("tree", [
    { id: "new-file", title: m.file_new(), group: "code", icon: FilePlus2, keys: "Mod+Alt+N", run: () => onNew({ kind: "file", folder: "" }) },
    { id: "new-folder", title: m.folder_new(), group: "code", icon: FolderPlus, run: () => onNew({ kind: "folder", folder: "" }) },
    { id: "upload", title: m.upload(), group: "code", icon: UploadIcon, run: () => pick("") },
    { id: "upload-folder", title: m.code_upload_folder(), group: "code", icon: FolderUp, run: () => pick("", true) },
  ]);
  const behind = !connected || !tree.synced;
  const count = deleting?.folder ? filesIn(entries, deleting.path) : 0;
  return (
    <section aria-label={m.files()} data-pane className="relative flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1 pl-3">
        <h2 className="label flex-1">{m.files()}</h2>
        <IconButton label={m.file_new()} icon={FilePlus2} keys="Mod+Alt+N" onClick={() => onNew({ kind: "file", folder: folderNow() })} />
        <IconButton label={m.folder_new()} icon={FolderPlus} onClick={() => onNew({ kind: "folder", folder: folderNow() })} />
        <IconButton label={m.upload()} icon={UploadIcon} onClick={() => pick(folderNow())} />
      </div>
      <p role="status" className="text-xs text-warn empty:hidden [&:not(:empty)]:border-b [&:not(:empty)]:border-line [&:not(:empty)]:bg-warn-soft [&:not(:empty)]:px-3 [&:not(:empty)]:py-1">{behind ? m.tree_behind() : ""}</p>
      <p role="status" className="text-xs empty:hidden [&:not(:empty)]:border-b [&:not(:empty)]:border-line [&:not(:empty)]:bg-accent-soft [&:not(:empty)]:px-3 [&:not(:empty)]:py-1">{clip.note}</p>
      {rows.length === 0 && <p className="px-4 py-3 text-xs">{m.files_none()}</p>}
      <div ref={scroller} data-drop={drag.target === "" || undefined} className="min-h-0 flex-1 overflow-auto [contain:strict] data-drop:shadow-[inset_0_0_0_2px_var(--signal)]" onDragOver={drag.over("")} onDrop={drag.drop("")} onDragLeave={drag.leave}>
        <div role="tree" aria-label={m.files()} className="relative my-1" style={{ height: rows.length * height }} tabIndex={rows.length === 0 ? 0 : undefined}>
          {drawn.map(({ row, at }) => {
            if (row.path === renaming) return <Rename key={row.path} row={row} top={at * height} height={height} onDone={(name) => { setRenaming(null); if (name !== null) void rename(row.path, name); requestAnimationFrame(() => focusRow(at)); }} />;
            const folder = row.folder ? row.path : parentOf(row.path);
            return (
              <TreeRow
                key={row.path}
                row={row}
                id={prefix + row.path}
                top={at * height}
                height={height}
                focused={at === focusAt}
                active={row.path === active}
                dirty={row.path in drafts}
                drop={drag.target === null || drag.target === "" ? "none" : drag.target === row.path ? "into" : within(row.path, drag.target) ? "inside" : "none"}
                cut={clip.held?.path === row.path && clip.held.cut}
                lock={lockAt(locks, row.path, userId)}
                userId={userId}
                onFocus={() => setFocusPath(row.path)}
                onKey={onKey}
                onClick={() => (row.folder ? toggle(row.path) : open(row.path, false))}
                onKeep={() => { if (!row.folder) open(row.path, true); }}
                onMenu={(x, y) => menuOf(row, x, y)}
                onDragStart={drag.start(row.path)}
                onDragOver={drag.over(folder)}
                onDrop={drag.drop(folder)}
                onDragEnd={drag.ended}
              />
            );
          })}
        </div>
      </div>
      {drag.target !== null && <p aria-hidden className="pointer-events-none absolute inset-x-3 bottom-3 z-10 truncate rounded-ctl bg-overlay px-3 py-1.5 text-center text-xs text-fg shadow-over">{m.code_drop_here({ folder: drag.target || m.workspace_top() })}</p>}
      {menu && (
        <TreeMenu
          at={menu}
          lock={lockAt(locks, menu.row.path, userId)}
          taken={(path) => entries.has(path)}
          onClose={() => { setMenu(null); document.getElementById(prefix + menu.row.path)?.focus({ preventScroll: true }); }}
          onNew={onNew}
          onRename={() => setRenaming(menu.row.path)}
          onDelete={() => setDeleting(menu.row)}
          onUpload={pick}
          clip={clip}
        />
      )}
      <input ref={picker} type="file" multiple hidden aria-label={m.upload()} onChange={({ target }) => picked(target)} />
      <input ref={folderPicker} type="file" multiple hidden aria-label={m.code_upload_folder()} {...{ webkitdirectory: "" }} onChange={({ target }) => picked(target)} />
      {uploading && <Upload {...uploading} onClose={() => setUploading(null)} />}
      <Confirm
        open={deleting !== null}
        onClose={() => setDeleting(null)}
        title={m.delete_title({ name: deleting?.name ?? "" })}
        about={deleting?.folder ? m.delete_folder_about({ count, shown: number(count) }) : m.delete_file_about()}
        verb={m.delete_verb({ name: deleting?.name ?? "" })}
        onConfirm={async () => { if (deleting) await remove(deleting.path); }}
      />
    </section>
  );
}

function Rename({ row, top, height, onDone }: { row: Row; top: number; height: number; onDone: (name: string | null) => void }) {
  const end = row.name.lastIndexOf(".");
  return (
    <div role="treeitem" aria-level={row.level + 1} aria-selected={false} className="absolute inset-x-0 flex items-center pr-2" style={{ top, height, paddingLeft: 30 + row.level * 16 }}>
      <input
        autoFocus
        aria-label={m.rename_to({ name: row.name })}
        defaultValue={row.name}
        spellCheck={false}
        onFocus={({ target }) => target.setSelectionRange(0, end > 0 && !row.folder ? end : row.name.length)}
        onBlur={({ target }) => onDone(target.value)}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") event.currentTarget.blur();
          if (event.key === "Escape") {
            event.currentTarget.value = row.name;
            event.currentTarget.blur();
          }
        }}
        className="h-6 w-full rounded-tag border border-focus bg-raised px-1.5 text-sm text-fg outline-none max-tab:h-9"
      />
    </div>
  );
}
