// The person's runs, newest first.
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { explain } from "../../api/errors";
import { SandboxService } from "../../gen/devstudio/sandbox/v1/run_pb";
import { runEnd } from "../../lib/engines";
import { here, inPlace } from "../../lib/place";
import { ago, span } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { Waiting } from "../../ui/tag";

const dots = { ok: "bg-ok", err: "bg-err", warn: "bg-warn", live: "bg-signal live-dot", plain: "bg-fg-3" };

export function RunHistory({ current, onPick }: { current: string; onPick: () => void }) {
  const runs = useInfiniteQuery(SandboxService.method.listRuns, { pageSize: 50, pageToken: "" }, { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined });
  const all = runs.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <nav aria-label={m.history()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line px-4"><h2 className="label">{m.history()}</h2></div>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {runs.isPending && <Waiting rows={6} height={50} label={m.loading()} />}
        {runs.error && !runs.data && <div className="p-2"><FaultLine fault={explain(runs.error)}><Button small onClick={() => void runs.refetch()}>{m.try_again()}</Button></FaultLine></div>}
        {runs.data && all.length === 0 && <p className="px-4 py-3 text-xs">{m.history_none()}</p>}
        <ul>
          {all.map((run) => {
            const end = runEnd(run.status, run.exitCode);
            return (
              <li key={run.execId}>
                <Link to={`/run/${run.execId}`} search={inPlace(here())} onClick={onPick} data-inset aria-current={run.execId === current || undefined} className={cx("flex gap-2.5 border-b border-line px-3 py-1.5", run.execId === current ? "bg-selected shadow-[inset_2px_0_0_var(--signal)]" : "hover:bg-hover")}>
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
    </nav>
  );
}
