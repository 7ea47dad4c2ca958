// A run's result: how it ended, its figures, its output, and what it changed.
import { Copy, Download, FilePen, FileX2, History, RotateCcw, ScrollText, Square } from "lucide-react";
import { useEffect, useState } from "react";
import type { Fault } from "../../api/errors";
import { RunStatus, type Isolation, type RunExecResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { isolationName, runEnd } from "../../lib/engines";
import { bytes, span } from "../../lib/format";
import { go } from "../../lib/nav";
import { stopRun, type Line } from "../../lib/runs";
import { showFile } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Output } from "../../ui/ansi";
import { Button, IconButton } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { saveText } from "../../ui/download";
import { FaultLine } from "../../ui/fault";
import { Tag } from "../../ui/tag";

interface Props { title: string; execId: string; traceId?: string; lines: Line[]; running: boolean; startedAt: number; isolation: Isolation; result: RunExecResponse | null; fault: Fault | null; memoryLimit: number; stored?: boolean; onAgain: () => void; onHistory?: () => void }

export function Result({ title, execId, traceId, lines, running, startedAt, isolation, result, fault, memoryLimit, stored, onAgain, onHistory }: Props) {
  const elapsed = useElapsed(startedAt, running);
  const end = runEnd(running ? RunStatus.UNSPECIFIED : (result?.status ?? RunStatus.CANCELLED), result?.exitCode ?? 0);
  const text = lines.map((line) => line.text).join("\n");
  const wallMs = result?.wallMs ?? elapsed;
  return (
    <>
      <div className="flex min-h-9 shrink-0 items-center gap-x-2.5 max-tab:flex-wrap max-tab:justify-end border-b border-line bg-panel py-1 pr-2 pl-4 text-sm">
        {!fault && <Tag tone={end.tone} dot={running}>{end.word}</Tag>}
        <h2 className="font-code min-w-0 flex-1 truncate text-code text-fg max-tab:basis-3/4">{title}</h2>
        {onHistory && <IconButton label={m.history()} icon={History} onClick={onHistory} />}
        {traceId && <IconButton label={m.logs_of_run()} icon={ScrollText} onClick={() => go("/logs", { trace: traceId, level: "debug" })} />}
        <IconButton label={m.copy_output()} icon={Copy} disabled={text === ""} onClick={() => copyText(text)} />
        <IconButton label={m.save_output()} icon={Download} disabled={text === ""} onClick={() => saveText(`run-${execId.slice(0, 8)}.txt`, text)} />
        {running ? <Button small icon={Square} onClick={() => void stopRun()}>{m.stop()}</Button> : <Button small icon={RotateCcw} onClick={onAgain}>{m.run_again()}</Button>}
      </div>
      {fault ? (
        <div className="p-4"><FaultLine fault={fault}><Button small icon={RotateCcw} onClick={onAgain}>{m.try_again()}</Button></FaultLine></div>
      ) : (
        <dl className="grid shrink-0 grid-cols-3 border-b border-line bg-panel tab:grid-cols-5">
          <Figure name={m.result()} value={running ? m.run_running() : end.word} tone={end.tone} />
          <Figure name={m.duration()} value={span(wallMs)} />
          <Figure name={m.memory()} value={result && result.maxRssBytes > 0n ? bytes(result.maxRssBytes) : "–"} most={memoryLimit > 0 ? bytes(memoryLimit) : ""} />
          <Figure name="CPU" value={result && result.cpuMs > 0 ? span(result.cpuMs) : "–"} phoneHidden />
          <Figure name={m.isolation()} value={isolationName(isolation)} phoneHidden />
        </dl>
      )}
      {result?.status === RunStatus.TIMEOUT && <p className="border-b border-line bg-warn-soft px-4 py-1.5 text-sm text-warn">{m.run_timeout_note({ time: span(result.wallMs) })}</p>}
      {result?.message && <p className="border-b border-line px-4 py-1.5 text-sm text-warn">{result.message}</p>}
      {result?.truncated && <p className="border-b border-line px-4 py-1.5 text-xs text-warn">{m.output_truncated()}</p>}
      {result && result.stdoutData.length > 0 && <p className="border-b border-line px-4 py-1.5 text-xs">{m.output_binary({ size: bytes(result.stdoutData.length) })}</p>}
      {!running && !fault && lines.length === 0 ? <p className="flex-1 p-4 text-sm">{m.output_empty()}</p> : <Output lines={lines} label={m.output()} times={!stored} />}
      {result && <Changes result={result} />}
    </>
  );
}

function Figure({ name, value, most, tone, phoneHidden }: { name: string; value: string; most?: string; tone?: string; phoneHidden?: boolean }) {
  return (
    <div className={cx("@container min-w-0 border-r border-line px-4 py-2.5 last:border-r-0 max-tab:nth-3:border-r-0", phoneHidden && "phone-hidden")}>
      <dt className="label truncate">{name}</dt>
      <dd className={cx("nums truncate text-lg font-semibold", tone === "err" ? "text-err" : tone === "warn" ? "text-warn" : tone === "live" ? "text-live" : "text-fg")}>{value}{most && <span className="hidden text-xs font-normal text-fg-3 @min-[120px]:inline"> / {most}</span>}</dd>
    </div>
  );
}

function Changes({ result }: { result: RunExecResponse }) {
  const rejected = Object.entries(result.rejectedPaths);
  const { layers, limits } = result.facts ?? { layers: [], limits: {} };
  return (
    <div className="max-h-48 shrink-0 overflow-y-auto border-t border-line bg-panel text-sm">
      {result.changedPaths.map((path) => (
        <button key={path} type="button" data-inset onClick={() => showFile(path)} className="flex min-h-7 w-full items-center gap-2 px-4 text-left hover:bg-hover max-tab:min-h-10">
          <FilePen size={14} aria-hidden className="text-ok" /><span className="font-code text-code text-fg">{path}</span><span className="text-xs text-fg-3">{m.path_changed()}</span>
        </button>
      ))}
      {rejected.map(([path, why]) => (
        <p key={path} className="flex min-h-7 items-center gap-2 px-4"><FileX2 size={14} aria-hidden className="text-err" /><span className="font-code text-code text-fg">{path}</span><span className="text-xs text-err">{m.path_rejected()}: {why}</span></p>
      ))}
      <p className="font-code px-4 py-1.5 text-2xs break-words text-fg-3">
        {[isolationName(result.isolation), ...layers].join(" · ")}
        <span className="block">{Object.entries(limits).map(([what, how]) => `${what}:\u00a0${how}`).join(" · ")}</span>
      </p>
    </div>
  );
}

function useElapsed(startedAt: number, running: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, [running]);
  return Math.max(0, now - startedAt);
}
