// What stands below the editor: output, the file's history, snapshots, search; each is loaded when it is first shown.
import { X } from "lucide-react";
import { lazy, Suspense, type KeyboardEvent } from "react";
import { useWorkbench, type Panel } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Waiting } from "../../ui/tag";
import type { TreeState } from "./live-tree";
import { OutputPanel } from "./output";

const Timeline = lazy(() => import("./timeline"));
const Snapshots = lazy(() => import("./snapshots"));
const Search = lazy(() => import("./search"));

const all: Panel[] = ["output", "history", "snapshots", "search"];

export function BottomPanel({ panel, path, tree, onRun }: { panel: Panel; path: string | null; tree: TreeState; onRun: () => void }) {
  const names: Record<Panel, string> = { output: m.output(), history: m.timeline(), snapshots: m.snapshots(), search: m.search() };
  const show = (next: Panel | undefined) => { if (next) useWorkbench.setState({ panel: next }); };
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const next = all[(all.indexOf(panel) + by + all.length) % all.length];
    show(next);
    event.currentTarget.querySelector<HTMLElement>(`#panel-tab-${next}`)?.focus();
  };
  return (
    <section aria-label={m.panel()} data-pane className="flex min-h-0 flex-1 flex-col bg-editor">
      <div className="flex h-9 shrink-0 items-stretch border-b border-line bg-panel pr-1 max-tab:h-11">
        <div role="tablist" tabIndex={-1} aria-label={m.panel()} onKeyDown={onKey} className="flex min-w-0 flex-1 overflow-x-auto pl-1.5 [scrollbar-width:none]">
          {all.map((id) => (
            <button key={id} id={`panel-tab-${id}`} type="button" role="tab" data-inset aria-selected={id === panel} aria-controls="panel-body" tabIndex={id === panel ? 0 : -1} onClick={() => show(id)} className={cx("relative px-2.5 text-sm whitespace-nowrap", id === panel ? "font-medium text-fg" : "text-fg-3 hover:text-fg")}>
              {names[id]}
              {id === panel && <span aria-hidden className="absolute inset-x-2 bottom-0 h-0.5 bg-signal" />}
            </button>
          ))}
        </div>
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
