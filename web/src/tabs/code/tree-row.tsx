// A row of the file tree: name, what changed last, locks, and what is not saved.
import { Binary, ChevronDown, ChevronRight, Ellipsis, File, FileBraces, FileCode2, FileText, Folder, FolderOpen, Lock as LockIcon } from "lucide-react";
import type { DragEvent, KeyboardEvent } from "react";
import type { Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";
import { LineCounts } from "./line-counts";
import { holderName, isOwn } from "./locks";
import type { Row } from "./rows";

export const ROW = 26;

interface Props {
  row: Row;
  height: number;
  top: number;
  id: string;
  focused: boolean;
  active: boolean;
  dirty: boolean;
  /** A drop would go into this folder, or into one that it is in. */
  drop: "none" | "into" | "inside";
  /** It waits to be put elsewhere. */
  cut: boolean | undefined;
  lock: Lock | null;
  userId: string;
  onFocus: () => void;
  onKey: (event: KeyboardEvent) => void;
  onClick: () => void;
  onKeep: () => void;
  onMenu: (x: number, y: number) => void;
  onDragStart: (event: DragEvent) => void;
  onDragOver: (event: DragEvent) => void;
  onDrop: (event: DragEvent) => void;
  onDragEnd: () => void;
}

export function TreeRow({ row, height, top, id, focused, active, dirty, drop, cut, lock, userId, onFocus, onKey, onClick, onKeep, onMenu, onDragStart, onDragOver, onDrop, onDragEnd }: Props) {
  const { entry } = row;
  const Icon = row.folder ? (row.open ? FolderOpen : Folder) : entry?.binary ? Binary : iconOf(row.name);
  const Chevron = row.open ? ChevronDown : ChevronRight;
  const change = entry && entry.version > 1n && entry.linesAdded + entry.linesRemoved > 0;
  return (
    <div
      id={id}
      role="treeitem"
      data-inset
      data-path={row.path}
      aria-level={row.level + 1}
      aria-posinset={row.at}
      aria-setsize={row.of}
      aria-selected={active}
      aria-expanded={row.folder ? row.open : undefined}
      tabIndex={focused ? 0 : -1}
      draggable
      onFocus={onFocus}
      onKeyDown={onKey}
      onClick={onClick}
      onDoubleClick={onKeep}
      onContextMenu={(event) => {
        event.preventDefault();
        onMenu(event.clientX, event.clientY);
      }}
      onDragStart={onDragStart}
      onDragOver={onDragOver}
      onDrop={onDrop}
      onDragEnd={onDragEnd}
      style={{ top, height, paddingLeft: 10 + row.level * 16 }}
      className={cx("group absolute inset-x-0 flex cursor-pointer items-center gap-1.5 pr-8 text-sm select-none max-tab:pr-11", cut && "italic outline-1 -outline-offset-3 outline-dashed outline-line-strong", drop === "into" ? "bg-accent-soft text-fg shadow-[inset_0_0_0_2px_var(--signal)]" : drop === "inside" ? "bg-accent-soft" : active ? "bg-selected text-fg shadow-[inset_2px_0_0_var(--signal)]" : "text-fg-2 hover:bg-hover")}
    >
      {row.folder ? <Chevron size={14} aria-hidden className="shrink-0 text-fg-3" /> : <span className="w-3.5 shrink-0" />}
      <Icon size={15} strokeWidth={1.6} className="shrink-0 text-fg-3" {...(entry?.binary ? { role: "img", "aria-label": m.binary() } : { "aria-hidden": true })} />
      <span className="min-w-0 flex-1 truncate">{row.name}</span>
      {change && (
        <span className="nums font-code shrink-0 text-2xs" title={m.last_change({ agent: entry.changedByAgent || m.lock_you() })}>
          <span className="sr-only">{m.last_change_lines({ added: number(entry.linesAdded), removed: number(entry.linesRemoved) })}</span>
          <span aria-hidden><LineCounts added={entry.linesAdded} removed={entry.linesRemoved} /></span>
        </span>
      )}
      {dirty && <span className="size-1.5 shrink-0 rounded-full bg-fg-2" role="img" aria-label={m.unsaved()} />}
      {lock && <LockMark lock={lock} userId={userId} />}
      <button
        type="button"
        aria-hidden
        tabIndex={-1}
        onClick={(event) => {
          event.stopPropagation();
          const box = event.currentTarget.getBoundingClientRect();
          onMenu(box.left, box.bottom);
        }}
        onDoubleClick={(event) => event.stopPropagation()}
        className="absolute top-0 right-1 flex h-full w-6.5 items-center justify-center rounded-ctl opacity-0 group-hover:opacity-100 group-focus:opacity-100 hover:bg-hover max-tab:w-10 [@media(hover:none)]:opacity-100"
      >
        <Ellipsis size={15} aria-hidden />
      </button>
    </div>
  );
}

function LockMark({ lock, userId }: { lock: Lock; userId: string }) {
  const name = holderName(lock, userId);
  const own = isOwn(lock, userId);
  return (
    <span role="img" aria-label={m.lock_by({ name })} title={m.lock_by({ name })} className="flex shrink-0 items-center gap-1 text-warn">
      <LockIcon size={13} strokeWidth={1.8} aria-hidden />
      {!own && <span aria-hidden className={cx("font-code flex size-4 items-center justify-center border text-[8.5px] font-semibold text-fg", lock.holder?.agentId ? "rounded-tag border-c1 bg-accent-soft" : "rounded-full border-line-strong bg-hover")}>{name.slice(0, 2).toUpperCase()}</span>}
    </span>
  );
}

function iconOf(name: string) {
  if (/\.(py|js|mjs|cjs|ts|tsx|jsx|rs|go|c|cpp|h|java|sh|wasm|html|css|sql)$/.test(name)) return FileCode2;
  if (/\.(json|toml|yaml|yml|ini|lock)$/.test(name)) return FileBraces;
  if (/\.(md|txt|csv|log)$/.test(name)) return FileText;
  return File;
}
