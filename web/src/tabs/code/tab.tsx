// The Code tab: files, editor, and below it output, history, snapshots and search.
import { useSearch } from "@tanstack/react-router";
import { Files } from "lucide-react";
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { useSession } from "../../api/session";
import { EntryKind } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { go } from "../../lib/nav";
import { usePlace } from "../../lib/place";
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
import { treeOf, type LiveTree } from "./live-tree";
import { NewEntry, type Creating } from "./new-entry";
import { nameOf } from "./rows";
import { FileTree } from "./tree";

const Workspace = lazy(() => import("./workspace"));

export default function CodeTab() {
  const userId = useSession((s) => s.user?.userId ?? "");
  const place = usePlace();
  return <Code key={place} live={treeOf(userId, place)} />;
}

function Code({ live }: { live: LiveTree }) {
  const phone = usePhone();
  const search = useSearch({ strict: false }) as { path?: string };
  const tree = useSyncExternalStore(live.subscribe, live.snapshot);
  const { active, open, panel } = useWorkbench();
  const [sheet, setSheet] = useState(false);
  const [creating, setCreating] = useState<Creating | null>(null);
  const [attempt, setAttempt] = useState(0);
  const some = [...tree.entries.values()].some((entry) => entry.kind !== EntryKind.FOLDER);

  useEffect(() => live.follow(), [live, attempt]);
  useEffect(() => {
    if (search.path) openFile(search.path, useWorkbench.getState().preview !== search.path);
  }, [search.path]);
  useEffect(() => {
    // Of now: the effect above may just have opened what the address names.
    const shown = useWorkbench.getState().active;
    if ((shown ?? undefined) !== search.path) go("/code", { path: shown ?? undefined }, true);
    useStatus.setState({ object: nameOf(shown ?? "") });
    return () => useStatus.setState({ object: "" });
  // The address follows the open file; the other way round is the effect above.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [active]);

  if (tree.fault) return <FaultPane fault={tree.fault} onRetry={() => setAttempt(attempt + 1)}>{tree.fault.reason === "NOT_FOUND" && live.workspaceId !== "" && <Button onClick={() => go("/code", { ws: "" })}>{m.workspace_to_default()}</Button>}</FaultPane>;
  const files = <FileTree tree={tree} onNew={setCreating} onOpened={() => setSheet(false)} />;
  const body =
    !tree.loaded ? <Waiting rows={8} height={26} label={m.loading()} />
    : !some && open.length === 0 && panel === null ? <EmptyWorkspace onNew={() => setCreating({ kind: "file", folder: "" })} />
    : <Suspense fallback={<Waiting rows={10} height={20} label={m.editor_loading()} />}><Workspace tree={tree} /></Suspense>;

  return (
    <>
      {phone ? (
        <div className="flex min-h-0 flex-1 flex-col">
          <div className="flex h-11 shrink-0 items-center border-b border-line px-2">
            <Button tone="quiet" icon={Files} onClick={() => setSheet(true)}>{m.files()}</Button>
          </div>
          {body}
          <Dialog open={sheet} onClose={() => setSheet(false)} title={m.files()}><div className="flex h-[60dvh] flex-col">{files}</div></Dialog>
        </div>
      ) : (
        <Panes id="code" panes={[{ id: "tree", size: "244px", min: "160px", max: "480px", content: files }, { id: "main", min: "320px", content: body }]} />
      )}
      {creating && <NewEntry creating={creating} taken={(path) => tree.entries.has(path)} onClose={() => setCreating(null)} onCreated={() => setSheet(false)} />}
    </>
  );
}
