// Below a run's output: what it complained about, the files it changed, and what kept it apart.
import { useQuery } from "@connectrpc/connect-query";
import { CircleX, FilePen, FileX2, TriangleAlert } from "lucide-react";
import { useState, type KeyboardEvent, type ReactNode } from "react";
import type { RunExecResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { EntryKind, WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { isolationName } from "../../lib/engines";
import { usePlace } from "../../lib/place";
import { fileOf, type Problem } from "../../lib/problems";
import { showFile, showSpot } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";

type Part = "problems" | "changed" | "isolation";
const parts: Part[] = ["problems", "changed", "isolation"];

export function Details({ problems, result }: { problems: Problem[]; result: RunExecResponse | null }) {
  const changes = (result?.changedPaths.length ?? 0) + Object.keys(result?.rejectedPaths ?? {}).length;
  const [chosen, setChosen] = useState<Part | null>(null);
  const part = chosen ?? (problems.length === 0 && changes > 0 ? "changed" : "problems");
  const names: Record<Part, [string, number]> = { problems: [m.run_problems(), problems.length], changed: [m.run_changed(), changes], isolation: [m.isolation(), 0] };
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = parts[(parts.indexOf(part) + by + parts.length) % parts.length];
    if (by === 0 || !next) return;
    event.preventDefault();
    setChosen(next);
    event.currentTarget.querySelector<HTMLElement>(`#run-part-${next}`)?.focus();
  };
  return (
    <div className="flex max-h-56 min-h-0 shrink-0 flex-col border-t border-line bg-panel text-sm">
      <div role="tablist" tabIndex={-1} aria-label={m.run_details_tabs()} onKeyDown={onKey} className="flex h-9 shrink-0 overflow-x-auto border-b border-line px-1.5 [scrollbar-width:none] max-tab:h-11">
        {parts.map((id) => (
          <button key={id} id={`run-part-${id}`} type="button" role="tab" data-inset aria-selected={id === part} aria-controls="run-part" tabIndex={id === part ? 0 : -1} onClick={() => setChosen(id)} className={cx("relative px-2.5 text-sm whitespace-nowrap", id === part ? "font-medium text-fg" : "text-fg-3 hover:text-fg")}>
            {names[id][0]}{names[id][1] > 0 && <span className="nums ml-1.5 text-xs font-normal">{names[id][1]}</span>}
            {id === part && <span aria-hidden className="absolute inset-x-2 bottom-0 h-0.5 bg-signal" />}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="run-part" aria-labelledby={`run-part-${part}`} tabIndex={0} data-inset className="min-h-10 flex-1 overflow-y-auto">
        {part === "problems" && <Problems problems={problems} />}
        {part === "changed" && <Changed result={result} />}
        {part === "isolation" && result && <Isolation result={result} />}
      </div>
    </div>
  );
}

const Nothing = ({ children }: { children: ReactNode }) => <p className="px-4 py-2.5 text-xs">{children}</p>;

function Problems({ problems }: { problems: Problem[] }) {
  const list = useQuery(WorkspaceService.method.listFiles, { workspaceId: usePlace() }, { enabled: problems.length > 0 });
  const files = (list.data?.entries ?? []).filter((entry) => entry.kind === EntryKind.FILE).map((entry) => entry.path);
  if (problems.length === 0) return <Nothing>{m.run_problems_none()}</Nothing>;
  return (
    <ul>
      {problems.map((problem) => {
        const file = fileOf(problem.path, files);
        const severity = problem.severity === "error" ? m.run_problem_error() : m.run_problem_warning();
        const Icon = problem.severity === "error" ? CircleX : TriangleAlert;
        const inside = (
          <>
            <Icon size={14} strokeWidth={1.8} aria-hidden className={cx("mt-[3px] shrink-0", problem.severity === "error" ? "text-err" : "text-warn")} />
            <span className="min-w-0 flex-1 break-words text-fg">{problem.message}</span>
            <span className="font-code shrink-0 text-xs leading-5 text-fg-3 max-tab:max-w-40 max-tab:truncate">{file ?? problem.path}:{problem.line}</span>
          </>
        );
        const row = "flex min-h-7 w-full items-start gap-2.5 px-4 py-1 text-left max-tab:min-h-10 max-tab:py-2.5";
        return (
          <li key={`${problem.path}:${problem.line}:${problem.column}:${problem.message}`}>
            {file
              ? <button type="button" data-inset aria-label={m.run_problem_at({ severity, path: file, line: String(problem.line), message: problem.message })} onClick={() => showSpot({ path: file, line: problem.line, column: problem.column, length: 0 })} className={cx(row, "hover:bg-hover")}>{inside}</button>
              : <div className={row}><span className="sr-only">{severity}</span>{inside}</div>}
          </li>
        );
      })}
    </ul>
  );
}

function Changed({ result }: { result: RunExecResponse | null }) {
  const rejected = Object.entries(result?.rejectedPaths ?? {});
  if (!result || (result.changedPaths.length === 0 && rejected.length === 0)) return <Nothing>{m.run_changed_none()}</Nothing>;
  return (
    <>
      {result.changedPaths.map((path) => (
        <button key={path} type="button" data-inset onClick={() => showFile(path)} className="flex min-h-7 w-full items-center gap-2.5 px-4 text-left hover:bg-hover max-tab:min-h-10">
          <FilePen size={14} aria-hidden className="shrink-0 text-ok" /><span className="font-code truncate text-code text-fg">{path}</span><span className="text-xs text-fg-3">{m.path_changed()}</span>
        </button>
      ))}
      {rejected.map(([path, why]) => (
        <p key={path} className="flex min-h-7 items-center gap-2.5 px-4"><FileX2 size={14} aria-hidden className="shrink-0 text-err" /><span className="font-code text-code break-all text-fg">{path}</span><span className="text-xs text-err">{m.path_rejected()}: {why}</span></p>
      ))}
    </>
  );
}

function Isolation({ result }: { result: RunExecResponse }) {
  const { layers, limits } = result.facts ?? { layers: [], limits: {} };
  return (
    <p className="font-code px-4 py-2 text-2xs break-words text-fg-3">
      {[isolationName(result.isolation), ...layers].join(" · ")}
      <span className="block">{Object.entries(limits).map(([what, how]) => `${what}:\u00a0${how}`).join(" · ")}</span>
    </p>
  );
}
