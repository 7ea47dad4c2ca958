// Below a run's output: what it complained about, the files it changed, and what kept it apart.
import { useQuery } from "@connectrpc/connect-query";
import { CircleX, FilePen, FileX2, TriangleAlert } from "lucide-react";
import { useMemo, useState, type ReactNode } from "react";
import type { RunExecResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { EntryKind, WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { isolationName } from "../../lib/engines";
import { number } from "../../lib/format";
import { usePlace } from "../../lib/place";
import { fileOf, LINES_READ, MOST_PROBLEMS, type Problem } from "../../lib/problems";
import { showFile, showSpot } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";
import { TabList } from "../../ui/tab-list";

type Part = "problems" | "changed" | "isolation";

/** `cut`: there may be more problems than these. */
export function Details({ problems, cut, result }: { problems: Problem[]; cut: boolean; result: RunExecResponse | null }) {
  const changes = (result?.changedPaths.length ?? 0) + Object.keys(result?.rejectedPaths ?? {}).length;
  const [chosen, setChosen] = useState<Part | null>(null);
  const part = chosen ?? (problems.length === 0 && changes > 0 ? "changed" : "problems");
  return (
    <div className="flex max-h-56 min-h-0 shrink-0 flex-col border-t border-line bg-panel text-sm">
      <TabList
        label={m.run_details_tabs()}
        tabs={[{ id: "problems", name: m.run_problems(), count: problems.length }, { id: "changed", name: m.run_changed(), count: changes }, { id: "isolation", name: m.isolation() }]}
        value={part}
        prefix="run-part-"
        panel="run-part"
        className="h-9 shrink-0 border-b border-line max-tab:h-11"
        onChange={setChosen}
      />
      <div role="tabpanel" id="run-part" aria-labelledby={`run-part-${part}`} tabIndex={0} data-inset className="min-h-10 flex-1 overflow-y-auto">
        {part === "problems" && <Problems problems={problems} cut={cut} />}
        {part === "changed" && <Changed result={result} />}
        {part === "isolation" && result && <Isolation result={result} />}
      </div>
    </div>
  );
}

const Nothing = ({ children }: { children: ReactNode }) => <p className="px-4 py-2.5 text-xs">{children}</p>;

function Problems({ problems, cut }: { problems: Problem[]; cut: boolean }) {
  const list = useQuery(WorkspaceService.method.listFiles, { workspaceId: usePlace() }, { enabled: problems.length > 0 });
  const places = useMemo(() => {
    const files = new Set(list.data?.entries.filter((entry) => entry.kind === EntryKind.FILE).map((entry) => entry.path));
    return problems.map((problem) => ({ problem, file: fileOf(problem.path, files) }));
  }, [problems, list.data]);
  const note = cut && <Nothing>{m.run_problems_cut({ lines: number(LINES_READ), problems: number(MOST_PROBLEMS) })}</Nothing>;
  if (problems.length === 0) return <><Nothing>{m.run_problems_none()}</Nothing>{note}</>;
  return (
    <>
      <ul>
        {places.map(({ problem, file }) => {
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
      {note}
    </>
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
