// All that is known of one line.
import { Copy, ListTree, X } from "lucide-react";
import { dateTime } from "../../lib/format";
import { go } from "../../lib/nav";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { copyText } from "../../ui/copy";
import type { Row } from "./buffer";
import { levelName, timeOf } from "./list";

export function Details({ row, onClose, onTrace }: { row: Row; onClose: () => void; onTrace: (trace: string) => void }) {
  const facts: [string, string][] = [
    [m.time(), `${dateTime(row.atMs).replace(/,?\s[^,\s]*$/, "")} ${timeOf(row.atMs)}`],
    [m.level(), levelName(row.level)],
    [m.service(), row.service],
    ["seq", String(row.seq)],
    ...(row.traceId ? ([["trace_id", row.traceId]] as [string, string][]) : []),
    ...(row.userId ? ([["user_id", row.userId]] as [string, string][]) : []),
    ...Object.entries(row.fields).sort(([a], [b]) => a.localeCompare(b)),
  ];
  return (
    <section aria-label={m.log_line()} data-pane className="flex min-h-0 flex-1 flex-col overflow-y-auto">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1 pl-4 max-tab:hidden"><h2 className="label flex-1">{m.log_line()}</h2><IconButton label={m.close()} icon={X} onClick={onClose} /></div>
      <p className="font-code text-code px-4 py-3 break-words whitespace-pre-wrap text-fg">{row.message}</p>
      <div className="flex flex-wrap gap-2 px-4 pb-3">
        {row.traceId && <Button small icon={ListTree} onClick={() => onTrace(row.traceId)}>{m.trace_filter()}</Button>}
        {row.fields["exec_id"] && <Button small onClick={() => go(`/run/${row.fields["exec_id"] ?? ""}`)}>{m.run_details()}</Button>}
        <Button small tone="quiet" icon={Copy} onClick={() => copyText(JSON.stringify(row, null, 2))}>{m.copy()}</Button>
      </div>
      <dl className="border-t border-line px-4 py-2 text-xs">
        {facts.map(([name, value]) => (
          <div key={name} className="grid grid-cols-[116px_1fr] gap-3 border-b border-line py-1.5 last:border-b-0"><dt className="font-code text-fg-3">{name}</dt><dd className="font-code break-all text-fg">{value}</dd></div>
        ))}
      </dl>
    </section>
  );
}
