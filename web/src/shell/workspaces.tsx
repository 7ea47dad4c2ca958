// The switcher of workspaces: the chosen one stands in the address.
import { useQuery } from "@connectrpc/connect-query";
import { ChevronsUpDown, Download, FileArchive, LayoutTemplate, Pencil, Plus, Trash2 } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { WorkspaceService, type Workspace } from "../gen/devstudio/sandbox/v1/workspace_pb";
import { ArchiveDialogs } from "../archives/dialogs";
import { askExport, askImport } from "../lib/archives";
import { useCommands } from "../lib/commands";
import { bytes } from "../lib/format";
import { go } from "../lib/nav";
import { m } from "../paraglide/messages";
import { cx } from "../ui/cx";
import { Menu, MenuChoice, MenuItem, MenuLine, MenuNote } from "../ui/menu";

const WorkspaceDialog = lazy(() => import("./workspace-dialogs"));

/** The name for people; the default workspace has none of its own until it is given one. */
const titleOf = (workspace: Workspace) => (workspace.isDefault && workspace.name === "default" ? m.workspace_default() : workspace.name);
const known = /^\/(code|run|chat|setup)/;
/** Goes on in another workspace: in the same tab where that has files to do with. */
const enter = (workspaceId: string) => go(known.exec(location.pathname)?.[0] ?? "/code", { ws: workspaceId });

export default function Workspaces({ place, below }: { place: string; below: string }) {
  const list = useQuery(WorkspaceService.method.listWorkspaces, {}, { staleTime: 30_000 });
  const [asking, setAsking] = useState<"create" | "rename" | "delete" | null>(null);
  const all = list.data?.workspaces ?? [];
  const current = all.find((w) => (place === "" ? w.isDefault : w.workspaceId === place));
  const title = current ? titleOf(current) : place === "" ? m.workspace_default() : m.workspace_unknown();
  useCommands("workspaces", [
    { id: "workspace-new", title: m.workspace_new(), group: "go", icon: Plus, run: () => setAsking("create") },
    { id: "workspace-setup", title: m.setup(), group: "code", icon: LayoutTemplate, run: () => go("/setup") },
    { id: "archive-import", title: m.archive_import(), group: "code", icon: FileArchive, run: () => askImport() },
    { id: "archive-zip", title: m.archive_zip(), group: "code", icon: Download, run: () => askExport("zip", title) },
    { id: "archive-targz", title: m.archive_targz(), group: "code", icon: Download, run: () => askExport("tar.gz", title) },
    ...all.filter((w) => w !== current).map((w) => ({ id: `workspace-${w.workspaceId}`, title: m.workspace_open({ name: titleOf(w) }), group: "go" as const, run: () => enter(w.isDefault ? "" : w.workspaceId) })),
  ]);
  return (
    <>
      <Menu
        align="start"
        label={m.workspaces()}
        trigger={
          <button type="button" aria-label={m.workspace_now({ name: title })} className={cx("flex min-w-0 rounded-ctl text-fg hover:bg-hover", below ? "-ml-1 h-11 flex-col justify-center px-1 text-left leading-tight" : "ml-1 h-8 max-w-60 items-center px-2 text-sm font-semibold")}>
            {below && <span className="max-w-full truncate text-base font-semibold">{below}</span>}
            <span className={cx("flex max-w-full items-center gap-1.5", below && "text-xs text-fg-3")}>
              <span className="truncate">{title}</span>
              <ChevronsUpDown size={below ? 12 : 14} aria-hidden className="shrink-0 text-fg-3" />
            </span>
          </button>
        }
      >
        <MenuChoice label={m.workspaces()} value={current?.workspaceId ?? ""} options={all.map((w) => ({ value: w.workspaceId, label: titleOf(w) }))} onChange={(id) => enter(all.find((w) => w.workspaceId === id)?.isDefault ? "" : id)} />
        {current && <MenuNote>{m.workspace_used({ used: bytes(current.usedBytes), quota: bytes(current.quotaBytes) })}</MenuNote>}
        <MenuLine />
        <MenuItem icon={Plus} onSelect={() => setTimeout(() => setAsking("create"), 0)}>{m.workspace_new()}</MenuItem>
        {current && <MenuItem icon={LayoutTemplate} onSelect={() => go("/setup")}>{m.setup()}</MenuItem>}
        {current && <MenuItem icon={Pencil} onSelect={() => setTimeout(() => setAsking("rename"), 0)}>{m.workspace_rename()}</MenuItem>}
        {current && <MenuLine />}
        {current && <MenuItem icon={FileArchive} onSelect={() => setTimeout(askImport, 0)}>{m.archive_import()}</MenuItem>}
        {current && <MenuItem icon={Download} onSelect={() => setTimeout(() => askExport("zip", title), 0)}>{m.archive_zip()}</MenuItem>}
        {current && <MenuItem icon={Download} onSelect={() => setTimeout(() => askExport("tar.gz", title), 0)}>{m.archive_targz()}</MenuItem>}
        {current && !current.isDefault && <MenuLine />}
        {current && !current.isDefault && <MenuItem icon={Trash2} danger onSelect={() => setTimeout(() => setAsking("delete"), 0)}>{m.workspace_delete()}</MenuItem>}
      </Menu>
      <Suspense>{asking && <WorkspaceDialog asking={asking} current={current} title={title} onEnter={enter} onSetUp={(id) => go("/setup", { ws: id })} onClose={() => setAsking(null)} />}</Suspense>
      <ArchiveDialogs />
    </>
  );
}
