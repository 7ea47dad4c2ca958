// The Code tab: files, editor, and below it the output of the file that runs.
import { useQuery } from "@connectrpc/connect-query";
import { useSearch } from "@tanstack/react-router";
import { Files } from "lucide-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { EntryKind, WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { go } from "../../lib/nav";
import { onRunEnd } from "../../lib/runs";
import { useStatus } from "../../lib/status";
import { openFile, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { Waiting } from "../../ui/tag";
import { EmptyWorkspace } from "./empty";
import { NewEntry, type Creating } from "./new-entry";
import { FileTree } from "./tree";

const Workspace = lazy(() => import("./workspace"));

export default function CodeTab() {
  const phone = usePhone();
  const search = useSearch({ strict: false }) as { path?: string };
  const list = useQuery(WorkspaceService.method.listFiles, {}, { refetchInterval: 20_000 });
  const { active, open, folders } = useWorkbench();
  const [sheet, setSheet] = useState(false);
  const [creating, setCreating] = useState<Creating | null>(null);
  const entries = list.data?.entries ?? [];
  const files = entries.filter((entry) => entry.kind === EntryKind.FILE);

  useEffect(() => {
    if (search.path) openFile(search.path, useWorkbench.getState().preview !== search.path);
  }, [search.path]);
  useEffect(() => {
    if ((active ?? undefined) !== search.path) go("/code", { path: active ?? undefined }, true);
    useStatus.setState({ object: active?.split("/").at(-1) ?? "" });
    return () => useStatus.setState({ object: "" });
  // The address follows the open file; the other way round is the effect above.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [active]);
  useEffect(() => onRunEnd(() => refetch(WorkspaceService.method.listFiles)), []);

  const tree = <FileTree entries={entries} onNew={setCreating} onOpened={() => setSheet(false)} />;
  const body =
    list.isPending ? <Waiting rows={8} height={26} label={m.loading()} />
    : list.error && !list.data ? <FaultPane fault={explain(list.error)} onRetry={() => void list.refetch()} />
    : files.length === 0 && open.length === 0 ? <EmptyWorkspace onNew={() => setCreating({ kind: "file", folder: "" })} />
    : <Suspense fallback={<Waiting rows={10} height={20} label={m.editor_loading()} />}><Workspace entries={files} /></Suspense>;

  return (
    <>
      {phone ? (
        <div className="flex min-h-0 flex-1 flex-col">
          {(files.length > 0 || folders.length > 0) && (
            <div className="flex h-11 shrink-0 items-center border-b border-line px-2">
              <Button tone="quiet" icon={Files} onClick={() => setSheet(true)}>{m.files()}</Button>
            </div>
          )}
          {body}
          <Dialog open={sheet} onClose={() => setSheet(false)} title={m.files()}><div className="flex h-[60dvh] flex-col">{tree}</div></Dialog>
        </div>
      ) : (
        <Panes id="code" panes={[{ id: "tree", size: "244px", min: "160px", max: "480px", content: tree }, { id: "main", min: "320px", content: body }]} />
      )}
      {creating && <NewEntry creating={creating} taken={entries.map((e) => e.path)} onClose={() => setCreating(null)} onCreated={() => setSheet(false)} />}
    </>
  );
}
