// A run's result: how it ended, its figures, its output, and what came of it.
import { useQuery } from "@connectrpc/connect-query";
import { Copy, Download, History, RotateCcw, ScrollText, Square } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Fault } from "../../api/errors";
import { RunStatus, type Isolation, type RunExecResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { PortService } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { isolationName, runEnd } from "../../lib/engines";
import { bytes, span } from "../../lib/format";
import { go } from "../../lib/nav";
import { LINES_READ, MOST_PROBLEMS, parseProblems, type Problem } from "../../lib/problems";
import { binaryBytes, stopRun, type Line } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { Output } from "../../ui/ansi";
import { Button, IconButton } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { saveText } from "../../ui/download";
import { FaultLine } from "../../ui/fault";
import { OutputNotes } from "../../ui/output-notes";
import { PortChips } from "../../ui/port-chips";
import { Tag } from "../../ui/tag";
import { Details } from "./details";
import { InputLine } from "./input-line";

interface Props { title: string; execId: string; traceId?: string; lines: Line[]; hidden: number; running: boolean; startedAt: number; isolation: Isolation; result: RunExecResponse | null; fault: Fault | null; memoryLimit: number; inputOpen?: boolean; stored?: boolean; onAgain: () => void; onHistory?: () => void }

export function Result({ title, execId, traceId, lines, hidden, running, startedAt, isolation, result, fault, memoryLimit, inputOpen, stored, onAgain, onHistory }: Props) {
  const elapsed = useElapsed(startedAt, running);
  const end = runEnd(running ? RunStatus.UNSPECIFIED : (result?.status ?? RunStatus.CANCELLED), result?.exitCode ?? 0);
  const { problems, cut } = useProblems(lines, running);
  const open = useRunPorts(execId, running);
  // What is not shown any more is still in the result.
  const text = hidden > 0 && result ? result.stdout + result.stderr : lines.filter((line) => line.stream !== "in").map((line) => line.text).join("\n");
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
      <OutputNotes result={result} hidden={hidden} />
      <PortChips workspaceId={open.workspaceId} ports={open.ports} />
      {!running && !fault && lines.length === 0 && !(result && binaryBytes(result) > 0) ? <p className="flex-1 p-4 text-sm">{m.output_empty()}</p> : <Output lines={lines} label={m.output()} times={!stored} />}
      {inputOpen && <InputLine />}
      {!fault && (result || problems.length > 0) && <Details problems={problems} cut={cut} result={result} />}
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

/** What the output complains about, and whether there may be more; while the program runs it is looked at once a second. */
function useProblems(lines: Line[], running: boolean): { problems: Problem[]; cut: boolean } {
  const [now, setNow] = useState(lines);
  const latest = useRef(lines);
  useEffect(() => { latest.current = lines; });
  useEffect(() => {
    if (!running) return setNow(latest.current);
    const timer = setInterval(() => setNow(latest.current), 1_000);
    return () => clearInterval(timer);
  }, [running, running ? null : lines]); // oxlint-disable-line react-hooks/exhaustive-deps
  return useMemo(() => {
    const outputs = (["err", "out"] as const).map((stream) => now.filter((line) => line.stream === stream));
    const found = outputs.map((output) => parseProblems(output.slice(-LINES_READ).map((line) => line.text).join("\n")));
    return { problems: found.flat(), cut: outputs.some((output) => output.length > LINES_READ) || found.some((some) => some.length >= MOST_PROBLEMS) };
  }, [now]);
}

/** Ports that the running program listens on. */
function useRunPorts(execId: string, running: boolean): { workspaceId: string; ports: number[] } {
  const list = useQuery(PortService.method.listPorts, {}, { enabled: running && execId !== "", refetchInterval: 2_000 });
  const own = running ? (list.data?.ports ?? []).filter((port) => port.execId === execId) : [];
  return { workspaceId: own[0]?.workspaceId ?? "", ports: own.map((port) => port.port) };
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
