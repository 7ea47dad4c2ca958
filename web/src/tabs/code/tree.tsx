// The file tree: arrows move, Enter opens, F2 renames, Delete asks and deletes.
import { hotkeysCoreFeature, renamingFeature, selectionFeature, syncDataLoaderFeature, type ItemInstance } from "@headless-tree/core";
import { useTree } from "@headless-tree/react";
import { ChevronDown, ChevronRight, Ellipsis, File, FileBraces, FileCode2, FilePlus2, FileText, Folder, FolderOpen, FolderPlus, Pencil, Trash2 } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import { toast } from "../../ui/toast";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { workspace } from "../../api/transport";
import { EntryKind, WorkspaceService, type Entry } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { useCommands } from "../../lib/commands";
import { go } from "../../lib/nav";
import { closeFile, openFile, renamePaths, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Confirm } from "../../ui/dialog";
import { Menu, MenuItem } from "../../ui/menu";
import type { Creating } from "./new-entry";

interface Node { path: string; name: string; folder: boolean; stored: boolean; children: string[] }
const ROOT = "";

/** The tree of a flat, sorted list; folders that are not stored yet are among it. */
export function treeOf(entries: Entry[], folders: string[]): Map<string, Node> {
  const nodes = new Map<string, Node>([[ROOT, { path: ROOT, name: "", folder: true, stored: true, children: [] }]]);
  const add = (path: string, folder: boolean, stored: boolean): void => {
    if (nodes.has(path)) return;
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ROOT;
    if (parent !== ROOT) add(parent, true, stored);
    nodes.set(path, { path, name: path.slice(parent === ROOT ? 0 : parent.length + 1), folder, stored, children: [] });
    nodes.get(parent)?.children.push(path);
  };
  for (const entry of entries) add(entry.path, entry.kind === EntryKind.FOLDER, true);
  for (const folder of folders) add(folder, true, false);
  const rank = (path: string) => (nodes.get(path)?.folder ? 0 : 1);
  for (const node of nodes.values()) node.children.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  return nodes;
}

export function FileTree({ entries, onNew, onOpened }: { entries: Entry[]; onNew: (creating: Creating) => void; onOpened: () => void }) {
  const { expanded, active, drafts, folders } = useWorkbench();
  const [deleting, setDeleting] = useState<Node | null>(null);
  const nodes = useMemo(() => treeOf(entries, folders), [entries, folders]);
  const get = (id: string): Node => nodes.get(id) ?? { path: id, name: id.split("/").at(-1) ?? id, folder: false, stored: true, children: [] };
  const open = (path: string, keep: boolean) => {
    openFile(path, keep);
    go("/code", { path });
    onOpened();
  };
  const tree = useTree<Node>({
    rootItemId: ROOT,
    state: { expandedItems: expanded },
    setExpandedItems: (next) => useWorkbench.setState((w) => ({ expanded: typeof next === "function" ? next(w.expanded) : next })),
    getItemName: (item) => item.getItemData().name,
    isItemFolder: (item) => item.getItemData().folder,
    dataLoader: { getItem: get, getChildren: (id) => get(id).children },
    onPrimaryAction: (item) => { if (!item.isFolder()) open(item.getId(), false); },
    onRename: (item, name) => void rename(item.getItemData(), name),
    hotkeys: { customDelete: { hotkey: "Delete", handler: (_event, t) => setDeleting(t.getFocusedItem().getItemData()) } },
    features: [syncDataLoaderFeature, selectionFeature, hotkeysCoreFeature, renamingFeature],
  });
  useEffect(() => { tree.rebuildTree(); }, [nodes, tree]);
  useCommands("tree", [
    { id: "new-file", title: m.file_new(), group: "code", icon: FilePlus2, keys: "Mod+Alt+N", run: () => onNew({ kind: "file", folder: "" }) },
    { id: "new-folder", title: m.folder_new(), group: "code", icon: FolderPlus, run: () => onNew({ kind: "folder", folder: "" }) },
  ]);
  const folderOf = () => {
    const focused = get(active ?? ROOT);
    return focused.folder ? focused.path : focused.path.split("/").slice(0, -1).join("/");
  };
  return (
    <section aria-label={m.files()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1 pl-3">
        <h2 className="label flex-1">{m.files()}</h2>
        <IconButton label={m.file_new()} icon={FilePlus2} keys="Mod+Alt+N" onClick={() => onNew({ kind: "file", folder: folderOf() })} />
        <IconButton label={m.folder_new()} icon={FolderPlus} onClick={() => onNew({ kind: "folder", folder: folderOf() })} />
      </div>
      {nodes.size === 1 && <p className="px-4 py-3 text-xs">{m.files_none()}</p>}
      <div {...tree.getContainerProps(m.files())} className="min-h-0 flex-1 overflow-auto py-1 focus:outline-none">
        {tree.getItems().filter((item) => nodes.has(item.getId())).map((item) => (
          <Row key={item.getKey()} item={item} active={item.getId() === active} dirty={item.getId() in drafts} onKeep={() => { if (!item.isFolder()) open(item.getId(), true); }} onNew={onNew} onDelete={setDeleting} />
        ))}
      </div>
      <Confirm
        open={deleting !== null}
        onClose={() => setDeleting(null)}
        title={m.delete_title({ name: deleting?.name ?? "" })}
        about={deleting?.folder ? m.delete_folder_about() : m.delete_file_about()}
        verb={m.delete_verb({ name: deleting?.name ?? "" })}
        onConfirm={() => remove(deleting)}
      />
    </section>
  );
}

function Row({ item, active, dirty, onKeep, onNew, onDelete }: { item: ItemInstance<Node>; active: boolean; dirty: boolean; onKeep: () => void; onNew: (creating: Creating) => void; onDelete: (node: Node) => void }) {
  const node = item.getItemData();
  const level = item.getItemMeta().level;
  const Icon = node.folder ? (item.isExpanded() ? FolderOpen : Folder) : iconOf(node.name);
  const Chevron = item.isExpanded() ? ChevronDown : ChevronRight;
  const indent = { paddingLeft: 10 + level * 16 };
  if (item.isRenaming()) {
    return <div className="flex h-[26px] items-center pr-2" style={{ paddingLeft: 30 + level * 16 }}><input {...item.getRenameInputProps()} aria-label={m.rename_to({ name: node.name })} className="h-6 w-full rounded-tag border border-focus bg-raised px-1.5 text-sm text-fg outline-none" /></div>;
  }
  return (
    <div className="group relative">
      <button type="button" {...item.getProps()} data-inset onFocus={() => item.setFocused()} onDoubleClick={onKeep} style={indent} className={cx("flex h-[26px] w-full items-center gap-1.5 pr-8 text-left text-sm max-tab:h-10", active ? "bg-selected text-fg shadow-[inset_2px_0_0_var(--signal)]" : "text-fg-2 hover:bg-hover")}>
        {node.folder ? <Chevron size={14} aria-hidden className="shrink-0 text-fg-3" /> : <span className="w-3.5 shrink-0" />}
        <Icon size={15} strokeWidth={1.6} aria-hidden className="shrink-0 text-fg-3" />
        <span className={cx("truncate", !node.stored && "italic")}>{node.name}</span>
        {dirty && <span className="ml-auto size-1.5 shrink-0 rounded-full bg-fg-2" role="img" aria-label={m.unsaved()} />}
        {!node.stored && <span className="ml-auto text-2xs text-fg-3">{m.folder_empty()}</span>}
      </button>
      <div aria-hidden className="absolute top-0 right-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 [@media(hover:none)]:opacity-100">
        <Menu
          label={node.name}
          trigger={<button type="button" tabIndex={-1} aria-label={m.actions_of({ name: node.name })} className="flex size-[26px] items-center justify-center rounded-ctl bg-inherit hover:bg-hover max-tab:size-10"><Ellipsis size={15} aria-hidden /></button>}
        >
          {node.folder && <MenuItem icon={FilePlus2} onSelect={() => onNew({ kind: "file", folder: node.path })}>{m.file_new()}</MenuItem>}
          {node.folder && <MenuItem icon={FolderPlus} onSelect={() => onNew({ kind: "folder", folder: node.path })}>{m.folder_new()}</MenuItem>}
          <MenuItem icon={Pencil} keys="F2" onSelect={() => setTimeout(() => item.startRenaming(), 0)}>{m.rename()}</MenuItem>
          <MenuItem icon={Trash2} keys="Delete" danger onSelect={() => onDelete(node)}>{m.delete_it()}</MenuItem>
        </Menu>
      </div>
    </div>
  );
}

async function rename(node: Node, name: string): Promise<void> {
  const clean = name.trim();
  const parent = node.path.includes("/") ? `${node.path.slice(0, node.path.lastIndexOf("/"))}/` : "";
  if (clean === "" || clean === node.name) return;
  if (!node.stored) return renamePaths(node.path, parent + clean);
  try {
    const { movePath } = await import("./files");
    await movePath(node.path, parent + clean);
    const { active } = useWorkbench.getState();
    if (active) go("/code", { path: active }, true);
  } catch (cause) {
    const fault = explain(cause);
    toast.error(fault.title, { description: [fault.meaning, fault.action].filter(Boolean).join(" ") });
  }
}

async function remove(node: Node | null): Promise<void> {
  if (!node) return;
  if (node.stored) await workspace.deletePath({ path: node.path });
  useWorkbench.setState(({ folders }) => ({ folders: folders.filter((f) => f !== node.path && !f.startsWith(`${node.path}/`)) }));
  const { dropFile } = await import("./files");
  for (const path of useWorkbench.getState().open.filter((p) => p === node.path || p.startsWith(`${node.path}/`))) {
    closeFile(path);
    dropFile(path);
  }
  refetch(WorkspaceService.method.listFiles);
}

function iconOf(name: string) {
  if (/\.(py|js|mjs|cjs|ts|tsx|jsx|rs|go|c|cpp|h|java|sh|wasm|html|css|sql)$/.test(name)) return FileCode2;
  if (/\.(json|toml|yaml|yml|ini|lock)$/.test(name)) return FileBraces;
  if (/\.(md|txt|csv|log)$/.test(name)) return FileText;
  return File;
}
