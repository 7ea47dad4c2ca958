// A unified diff in colours, behind its path and how many lines came and went.
import { ChevronRight } from "lucide-react";
import { m } from "../paraglide/messages";
import { cx } from "./cx";

const MOST_LINES = 400;

/** Shows a unified diff of one file; folded where it is long, but not where all of it has to be seen before it is allowed. */
export function Patch({ path, diff, open = true, whole = false }: { path: string; diff: string; open?: boolean; whole?: boolean }) {
  const all = diff.replace(/\n$/, "").split("\n");
  // Only the head before the first place: below it a line may look like one.
  const head = all.findIndex((line) => line.startsWith("@@"));
  const lines = all.filter((line, at) => at >= head || !/^(---|\+\+\+) /.test(line));
  const most = whole ? lines.length : MOST_LINES;
  const count = (sign: string) => lines.filter((line) => line.startsWith(sign)).length;
  return (
    <details open={whole || (open && lines.length <= 60)} className="group min-w-0 rounded-ctl border border-line bg-editor">
      <summary className="flex min-h-8 cursor-pointer list-none items-center gap-1.5 rounded-ctl px-2 text-xs max-tab:min-h-10">
        <ChevronRight size={14} aria-hidden className="shrink-0 text-fg-3 transition-transform duration-90 group-open:rotate-90" />
        <span className="font-code min-w-0 flex-1 truncate text-fg">{path}</span>
        <span className="nums text-ok">+{count("+")}</span>
        <span className="nums text-err">−{count("-")}</span>
      </summary>
      <pre tabIndex={0} aria-label={m.task_changes({ path })} className="font-code text-code overflow-x-auto border-t border-line py-1">
        {lines.slice(0, most).map((line, index) => (
          <span key={index} className={cx("block px-2 whitespace-pre", line.startsWith("+") ? "bg-ok-soft text-fg" : line.startsWith("-") ? "bg-err-soft text-fg" : line.startsWith("@@") ? "text-fg-3" : "text-fg-2")}>{line || " "}</span>
        ))}
        {lines.length > most && <span className="block px-2 text-fg-3">{m.task_more_lines({ count: lines.length - most })}</span>}
      </pre>
    </details>
  );
}
