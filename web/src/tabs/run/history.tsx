// The person's runs, newest first; two of them can be compared.
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Check, GitCompareArrows, X } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { explain } from "../../api/errors";
import { SandboxService } from "../../gen/devstudio/sandbox/v1/run_pb";
import { runEnd } from "../../lib/engines";
import { here, inPlace } from "../../lib/place";
import { ago, span } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { Waiting } from "../../ui/tag";

const Compare = lazy(() => import("./compare"));
const dots = { ok: "bg-ok", err: "bg-err", warn: "bg-warn", live: "bg-signal live-dot", plain: "bg-fg-3" };

export function RunHistory({ current, onPick }: { current: string; onPick: () => void }) {
  const runs = useInfiniteQuery(SandboxService.method.listRuns, { pageSize: 50, pageToken: "" }, { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined });
  const [chosen, setChosen] = useState<string[] | null>(null);
  const [compared, setCompared] = useState<[string, string] | null>(null);
  // A third one takes the place of the older choice.
  const choose = (id: string) => setChosen((now) => ((now ?? []).includes(id) ? (now ?? []).filter((other) => other !== id) : [...(now ?? []), id].slice(-2)));
  const compare = () => {
    const [a, b] = chosen ?? [];
    if (a && b) setCompared([a, b]);
    else setChosen(chosen ?? []);
  };
  const all = runs.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <nav aria-label={m.history()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1.5 pl-4 max-tab:h-12">
        <h2 className="label mr-auto">{m.history()}</h2>
        {all.length > 1 && <Button small tone={chosen?.length === 2 ? "primary" : "quiet"} icon={GitCompareArrows} disabled={chosen !== null && chosen.length < 2} onClick={compare}>{m.run_compare()}{chosen && ` (${chosen.length}/2)`}</Button>}
        {chosen && <IconButton label={m.cancel()} icon={X} size={15} onClick={() => setChosen(null)} />}
      </div>
      {chosen && chosen.length < 2 && <p role="status" className="border-b border-line px-4 py-1.5 text-xs">{m.run_compare_choose()}</p>}
      <div className="min-h-0 flex-1 overflow-y-auto">
        {runs.isPending && <Waiting rows={6} height={50} label={m.loading()} />}
        {runs.error && !runs.data && <div className="p-2"><FaultLine fault={explain(runs.error)}><Button small onClick={() => void runs.refetch()}>{m.try_again()}</Button></FaultLine></div>}
        {runs.data && all.length === 0 && <p className="px-4 py-3 text-xs">{m.history_none()}</p>}
        <ul>
          {all.map((run) => {
            const end = runEnd(run.status, run.exitCode);
            return (
              <li key={run.execId} className={cx("flex border-b border-line", run.execId === current ? "bg-selected shadow-[inset_2px_0_0_var(--signal)]" : "hover:bg-hover")}>
                {chosen && (
                  <button type="button" role="checkbox" data-inset aria-checked={chosen.includes(run.execId)} aria-label={m.run_choose({ title: run.title })} onClick={() => choose(run.execId)} className="flex w-9 shrink-0 items-center justify-center max-tab:w-11">
                    <span aria-hidden className={cx("flex size-4 items-center justify-center rounded-tag border", chosen.includes(run.execId) ? "border-accent bg-accent text-on-accent" : "border-line-strong bg-raised")}>{chosen.includes(run.execId) && <Check size={12} strokeWidth={2.4} />}</span>
                  </button>
                )}
                <Link to={`/run/${run.execId}`} search={inPlace(here())} onClick={onPick} onKeyDown={(event) => { if (event.key === " ") { event.preventDefault(); choose(run.execId); } }} data-inset aria-current={run.execId === current || undefined} className={cx("flex min-w-0 flex-1 gap-2.5 py-1.5 pr-3", chosen ? "pl-0" : "pl-3")}>
                  <span aria-hidden className={cx("mt-[7px] size-1.5 shrink-0 rounded-full", dots[end.tone])} />
                  <span className="min-w-0 flex-1">
                    <span className="font-code block truncate text-code text-fg">{run.title}</span>
                    <span className="block truncate text-xs text-fg-3">{[run.engine, run.runtime, end.word].filter(Boolean).join(" · ")}</span>
                  </span>
                  <span className="nums shrink-0 text-right text-xs text-fg-3"><span className="block text-fg-2">{run.status ? span(run.wallMs) : ""}</span>{run.startedAt && ago(timestampMs(run.startedAt))}</span>
                </Link>
              </li>
            );
          })}
        </ul>
        {runs.hasNextPage && <div className="p-2"><Button small busy={runs.isFetchingNextPage} onClick={() => void runs.fetchNextPage()}>{m.more()}</Button></div>}
      </div>
      {compared && <Suspense><Compare ids={compared} onClose={() => setCompared(null)} /></Suspense>}
    </nav>
  );
}
