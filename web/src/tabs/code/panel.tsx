// What stands below the editor: output, the file's history, snapshots, search; each is loaded when it is first shown.
import { X } from "lucide-react";
import { lazy, Suspense } from "react";
import { useWorkbench, type Panel } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { TabList, type TabName } from "../../ui/tab-list";
import { Waiting } from "../../ui/tag";
import type { TreeState } from "./live-tree";
import { OutputPanel } from "./output";

const Timeline = lazy(() => import("./timeline"));
const Snapshots = lazy(() => import("./snapshots"));
const Search = lazy(() => import("./search"));

export function BottomPanel({ panel, path, tree, onRun }: { panel: Panel; path: string | null; tree: TreeState; onRun: () => void }) {
  const tabs: TabName<Panel>[] = [{ id: "output", name: m.output() }, { id: "history", name: m.timeline() }, { id: "snapshots", name: m.snapshots() }, { id: "search", name: m.search() }];
  return (
    <section aria-label={m.panel()} data-pane className="flex min-h-0 flex-1 flex-col bg-editor">
      <div className="flex h-9 shrink-0 items-stretch border-b border-line bg-panel pr-1 max-tab:h-11">
        <TabList label={m.panel()} tabs={tabs} value={panel} prefix="panel-tab-" panel="panel-body" className="min-w-0 flex-1" onChange={(next) => useWorkbench.setState({ panel: next })} />
        <span className="flex items-center"><IconButton label={m.close()} icon={X} onClick={() => useWorkbench.setState({ panel: null })} /></span>
      </div>
      <div role="tabpanel" id="panel-body" aria-labelledby={`panel-tab-${panel}`} className="flex min-h-0 flex-1 flex-col">
        <Suspense fallback={<Waiting rows={3} height={32} label={m.loading()} />}>
          {panel === "output" && <OutputPanel onRun={onRun} />}
          {panel === "history" && <Timeline path={path} entry={path ? tree.entries.get(path) : undefined} />}
          {panel === "snapshots" && <Snapshots />}
          {panel === "search" && <Search />}
        </Suspense>
      </div>
    </section>
  );
}
