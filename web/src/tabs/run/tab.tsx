// The Run tab: what to run, the result as it comes, and the runs before.
import { useParams } from "@tanstack/react-router";
import { useQuery } from "@connectrpc/connect-query";
import { History } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { SandboxService } from "../../gen/devstudio/sandbox/v1/run_pb";
import { useCommands } from "../../lib/commands";
import { go } from "../../lib/nav";
import { linesOf, onRunEnd, startRun, stopRun, useRuns } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { useNarrow, usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { Empty, Waiting } from "../../ui/tag";
import { formOf, RunForm, useRunForm } from "./form";
import { RunHistory } from "./history";
import { Result } from "./result";

export default function RunTab() {
  const phone = usePhone();
  const narrow = useNarrow();
  const { execId = "" } = useParams({ strict: false }) as { execId?: string };
  const live = useRuns((s) => s.current);
  const [history, setHistory] = useState(false);
  const shown = useRef<HTMLElement>(null);
  const showsLive = live !== null && (execId === "" || live.execId === execId);
  const stored = useQuery(SandboxService.method.getRun, { execId }, { enabled: execId !== "" && !showsLive, refetchInterval: (query) => (query.state.data && !query.state.data.result ? 1_000 : false) });
  const kept = useMemo(() => (stored.data?.result ? linesOf(stored.data.result) : { lines: [], hidden: 0 }), [stored.data]);
  const again = () => {
    const request = showsLive ? live?.request : stored.data?.run?.request;
    if (!request) return;
    void startRun(request, (showsLive ? live?.title : stored.data?.run?.title) ?? "");
    go("/run");
  };
  useEffect(() => { if (phone && live?.running) shown.current?.scrollIntoView({ behavior: "smooth" }); }, [phone, live?.key, live?.running]);
  useEffect(() => onRunEnd(() => refetch(SandboxService.method.listRuns)), []);
  useEffect(() => { if (live?.execId) refetch(SandboxService.method.listRuns); }, [live?.execId]);
  useEffect(() => {
    const request = showsLive ? live?.request : stored.data?.run?.request;
    if (request) useRunForm.setState(formOf(request));
  // Only another run fills the form, not each piece of its output.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [showsLive ? live?.key : stored.data?.run?.execId]);
  useCommands("run", [
    ...(live?.running ? [{ id: "stop-run", title: m.run_stop(), group: "run" as const, keys: "Escape", run: () => void stopRun() }] : []),
    { id: "run-history", title: m.history(), group: "run", icon: History, hidden: !narrow, run: () => setHistory(true) },
  ]);

  const form = <RunForm running={live?.running ?? false} />;
  const list = <RunHistory current={showsLive ? (live?.execId ?? "") : execId} onPick={() => setHistory(false)} />;
  const result = (
    <section ref={shown} aria-label={m.result()} data-pane className="flex min-h-0 flex-1 flex-col bg-editor">
      {showsLive && live ? (
        <Result key={live.key} title={live.title} execId={live.execId} traceId={live.traceId} lines={live.lines} hidden={live.hidden} running={live.running} startedAt={live.startedAt} isolation={live.isolation} result={live.result} fault={live.fault} memoryLimit={Number(live.request.memoryBytes)} inputOpen={live.running && live.inputOpen && live.execId !== ""} onAgain={again} {...(narrow ? { onHistory: () => setHistory(true) } : {})} />
      ) : execId === "" ? (
        <Empty title={m.run_none()}>{narrow && <Button icon={History} onClick={() => setHistory(true)}>{m.history()}</Button>}</Empty>
      ) : stored.isPending ? (
        <Waiting rows={8} height={20} label={m.loading()} />
      ) : stored.error ? (
        <FaultPane fault={explain(stored.error)} onRetry={() => void stored.refetch()} />
      ) : (
        <Result
          key={execId}
          title={stored.data.run?.title ?? ""}
          execId={execId}
          {...kept}
          running={!stored.data.result}
          startedAt={Number(stored.data.run?.startedAt?.seconds ?? 0n) * 1000}
          isolation={stored.data.run?.isolation ?? 0}
          result={stored.data.result ?? null}
          fault={null}
          memoryLimit={Number(stored.data.run?.request?.memoryBytes ?? 0n)}
          stored
          onAgain={again}
          {...(narrow ? { onHistory: () => setHistory(true) } : {})}
        />
      )}
    </section>
  );
  const drawer = <Dialog open={history} onClose={() => setHistory(false)} title={m.history()}><div className="flex h-[60dvh] flex-col">{list}</div></Dialog>;
  if (phone) return <div className="flex min-h-0 flex-1 flex-col overflow-y-auto"><div className="shrink-0">{form}</div><div className="flex min-h-120 flex-1 flex-col border-t border-line">{result}</div>{drawer}</div>;
  return (
    <>
      <Panes id="run" panes={[{ id: "form", size: "300px", min: "260px", max: "520px", content: form }, { id: "result", min: "320px", content: result }, !narrow && { id: "history", size: "280px", min: "200px", max: "480px", content: list }]} />
      {narrow && drawer}
    </>
  );
}
