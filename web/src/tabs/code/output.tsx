// The output of the last run, below the editor.
import { ArrowUpRight, Play, Square } from "lucide-react";
import { go } from "../../lib/nav";
import { runEnd, isolationName } from "../../lib/engines";
import { span } from "../../lib/format";
import { binaryBytes, stopRun, useRuns } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { RunStatus } from "../../gen/devstudio/sandbox/v1/run_pb";
import { Output } from "../../ui/ansi";
import { Button } from "../../ui/button";
import { FaultLine } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import { OutputNotes } from "../../ui/output-notes";
import { Tag } from "../../ui/tag";
import { nameOf } from "./rows";

export function OutputPanel({ onRun }: { onRun: () => void }) {
  const phone = usePhone();
  const run = useRuns((s) => s.current);
  const end = run && runEnd(run.running ? RunStatus.UNSPECIFIED : (run.result?.status ?? RunStatus.CANCELLED), run.result?.exitCode ?? 0);
  return (
    <>
      {run && <div className="flex h-8 shrink-0 items-center gap-2.5 border-b border-line bg-panel pr-1 pl-4 text-sm max-tab:h-11">
        {run && end && !run.fault && <Tag tone={end.tone} dot={run.running}>{end.word}</Tag>}
        {run && <span className="font-code truncate text-xs text-fg-2" title={run.title}>{phone ? nameOf(run.title) : run.title}</span>}
        {run?.result && <span className="text-xs whitespace-nowrap text-fg-3 phone-hidden">{span(run.result.wallMs)} · {isolationName(run.result.isolation)}</span>}
        <span className="flex-1" />
        {run?.running
          ? <Button small icon={Square} onClick={() => void stopRun()}>{m.stop()}</Button>
          : run?.execId && <Button small tone="quiet" icon={ArrowUpRight} onClick={() => go(`/run/${run.execId}`)}>{m.run_details()}</Button>}
      </div>}
      {!run ? (
        <div className="flex flex-1 items-center justify-center gap-3 p-4 text-sm"><span>{m.output_none()}</span><Button small icon={Play} onClick={onRun}>{m.run_file()}</Button></div>
      ) : (
        <>
          {run.fault && <div className="p-2"><FaultLine fault={run.fault}><Button small onClick={onRun}>{m.try_again()}</Button></FaultLine></div>}
          {run.result?.message && <p className="border-b border-line px-4 py-1.5 text-xs text-warn">{run.result.message}</p>}
          <OutputNotes result={run.result} hidden={run.hidden} />
          {!run.running && !run.fault && run.lines.length === 0 && !(run.result && binaryBytes(run.result) > 0) ? <p className="p-4 text-sm">{m.output_empty()}</p> : <Output lines={run.lines} label={m.output()} />}
        </>
      )}
    </>
  );
}
