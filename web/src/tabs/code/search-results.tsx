// What a search found: files, and in each the lines with the occurrences marked; only what is in view is drawn.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, type ReactNode } from "react";
import type { SearchFilesResponse, SearchMatch } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { number } from "../../lib/format";
import { showSpot } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { usePhone } from "../../ui/media";

type Line = { path: string; count: number } | { path: string; match: SearchMatch };

/** The text in pieces; every second one is an occurrence. Ranges are begin, end, begin, end, … */
export function pieces(text: string, ranges: number[]): string[] {
  const out: string[] = [];
  let at = 0;
  for (const end of ranges) {
    out.push(text.slice(at, end));
    at = end;
  }
  out.push(text.slice(at));
  return out;
}

export function SearchResults({ found, query }: { found: SearchFilesResponse | null; query: string }) {
  const scroller = useRef<HTMLDivElement>(null);
  const height = usePhone() ? 40 : 24;
  const lines = useMemo<Line[]>(() => (found?.files ?? []).flatMap(({ path, matches }) => [{ path, count: matches.length }, ...matches.map((match) => ({ path, match }))]), [found]);
  const list = useVirtualizer({ count: lines.length, getScrollElement: () => scroller.current, estimateSize: () => height, overscan: 15 });
  const files = found?.files.length ?? 0;
  const matches = lines.length - files;
  const sum = found && (files === 0 ? m.search_none({ query, files: number(found.searchedFiles) }) : m.search_sum({ matches: number(matches), files: number(files) }) + (found.truncated ? ` ${m.search_truncated()}` : ""));
  return (
    <>
      <p role="status" className="shrink-0 border-line px-4 py-1.5 text-xs text-fg-3 [&:not(:empty)]:border-b">{sum ?? (query === "" ? m.search_hint() : "")}</p>
      <div ref={scroller} className="min-h-0 flex-1 overflow-auto">
        <ul aria-label={m.search_results()} className="relative" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => {
            const line = lines[item.index];
            return line && <li key={item.key} className="absolute inset-x-0" style={{ top: item.start, height }}>{"match" in line ? <Match path={line.path} match={line.match} /> : <p className="flex h-full items-center gap-2 truncate px-4 text-sm"><span className="font-code truncate text-code font-medium text-fg">{line.path}</span><span className="text-xs text-fg-3">{number(line.count)}</span></p>}</li>;
          })}
        </ul>
      </div>
    </>
  );
}

function Match({ path, match }: { path: string; match: SearchMatch }) {
  const parts = useMemo(() => pieces(match.text, match.ranges), [match]);
  const length = (match.ranges[1] ?? 0) - (match.ranges[0] ?? 0);
  return (
    <button type="button" data-inset onClick={() => showSpot({ path, line: match.line, column: match.column, length })} aria-label={m.search_open({ path, line: number(match.line), text: match.text.trim() })} className="font-code flex h-full w-full items-center gap-3 px-4 text-left text-code hover:bg-hover">
      <span aria-hidden className="nums w-10 shrink-0 text-right text-xs text-fg-3">{match.line}</span>
      <span aria-hidden className="truncate whitespace-pre">{parts.map<ReactNode>((part, i) => (i % 2 === 1 ? <mark key={i} className="rounded-tag bg-warn-soft text-fg">{part}</mark> : i === 0 ? part.trimStart() : part))}</span>
    </button>
  );
}
