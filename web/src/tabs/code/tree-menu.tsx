// The context menu of the tree, at the pointer or at the row.
import { ClipboardCopy, ClipboardPaste, CopyPlus, Download, FileArchive, FilePlus2, FolderPlus, FolderUp, History, Lock as LockIcon, LockOpen, Pencil, Scissors, Trash2, Upload } from "lucide-react";
import type { Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { openFile, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { askExport, askImport } from "../../lib/archives";
import { copyText } from "../../ui/copy";
import { usePhone } from "../../ui/media";
import { MenuAt, MenuItem, MenuLine } from "../../ui/menu";
import type { Creating } from "./new-entry";
import { parentOf, type Row } from "./rows";
import type { TreeClip } from "./tree-clip";
import { duplicate, lock as lockPath, unlock } from "./tree-actions";

export interface Place { row: Row; x: number; y: number }

interface Props { at: Place; lock: Lock | null; taken: (path: string) => boolean; onClose: () => void; onNew: (creating: Creating) => void; onRename: () => void; onDelete: () => void; onUpload: (folder: string, whole?: boolean) => void; clip: TreeClip }

export function TreeMenu({ at: { row, x, y }, lock, taken, onClose, onNew, onRename, onDelete, onUpload, clip }: Props) {
  // On the phone the menu stays as short as the screen; folders cannot be chosen there, and the workspace's menu imports.
  const phone = usePhone();
  const folder = row.folder ? row.path : parentOf(row.path);
  // What takes the focus for itself begins when the menu has given it back.
  const after = (work: () => void) => () => setTimeout(work, 0);
  return (
    <MenuAt x={x} y={y} label={m.actions_of({ name: row.name })} onClose={onClose}>
      <MenuItem icon={FilePlus2} onSelect={after(() => onNew({ kind: "file", folder }))}>{m.file_new()}</MenuItem>
      <MenuItem icon={FolderPlus} onSelect={after(() => onNew({ kind: "folder", folder }))}>{m.folder_new()}</MenuItem>
      <MenuItem icon={Upload} onSelect={after(() => onUpload(folder))}>{m.upload()}</MenuItem>
      {!phone && <MenuItem icon={FolderUp} onSelect={after(() => onUpload(folder, true))}>{m.code_upload_folder()}</MenuItem>}
      {!phone && <MenuItem icon={FileArchive} onSelect={after(() => askImport(folder))}>{m.archive_import()}</MenuItem>}
      {row.folder && <MenuItem icon={Download} onSelect={after(() => askExport("zip", row.name, row.path))}>{m.archive_zip()}</MenuItem>}
      {row.folder && <MenuItem icon={Download} onSelect={after(() => askExport("tar.gz", row.name, row.path))}>{m.archive_targz()}</MenuItem>}
      <MenuLine />
      <MenuItem icon={Pencil} keys="F2" onSelect={after(onRename)}>{m.rename()}</MenuItem>
      <MenuItem icon={Scissors} keys="Mod+X" onSelect={() => clip.hold(row.path, true)}>{m.code_cut()}</MenuItem>
      {clip.held && <MenuItem icon={ClipboardPaste} keys="Mod+V" onSelect={() => clip.paste(folder)}>{m.code_paste()}</MenuItem>}
      <MenuItem icon={CopyPlus} onSelect={() => void duplicate(row.path, taken)}>{m.duplicate()}</MenuItem>
      {!phone && <MenuItem icon={ClipboardCopy} onSelect={() => copyText(row.path)}>{m.copy_path()}</MenuItem>}
      {!row.folder && <MenuItem icon={History} onSelect={() => { openFile(row.path, false); useWorkbench.setState({ panel: "history" }); }}>{m.timeline()}</MenuItem>}
      <MenuLine />
      {lock
        ? <MenuItem icon={LockOpen} onSelect={() => void unlock(lock.lockId)}>{m.unlock()}</MenuItem>
        : <MenuItem icon={LockIcon} onSelect={() => void lockPath(row)}>{m.lock()}</MenuItem>}
      <MenuItem icon={Trash2} keys="Delete" danger onSelect={after(onDelete)}>{m.delete_it()}</MenuItem>
    </MenuAt>
  );
}
