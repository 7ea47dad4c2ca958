// What is told beside a terminal's screen: a lost connection, files that were refused, its end.
import { CircleStop, FileX2, Plus, TriangleAlert, X } from "lucide-react";
import type { Tie } from "../../api/attach";
import { explain } from "../../api/errors";
import type { TerminalEnd } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { RunStatus } from "../../gen/devstudio/sandbox/v1/run_pb";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { useSecondsUntil } from "../../ui/seconds";

const bar = "flex min-h-10 shrink-0 items-center gap-2.5 border-line px-4 py-1 text-sm text-fg max-tab:px-3";

/** Counts down to the next try; the output stays where it is. */
export function LostBar({ tie, ended, onRetry }: { tie: Tie; ended: boolean; onRetry: () => void }) {
  const seconds = useSecondsUntil(tie.state === "lost" ? tie.retryAt : 0);
  if (ended || (tie.state !== "lost" && !(tie.state === "over" && tie.fault))) return null;
  const over = tie.state === "over" && tie.fault;
  return (
    <div role="status" className={cx(bar, "border-b bg-err-soft")}>
      <TriangleAlert size={16} aria-hidden className="shrink-0 text-err" />
      {over ? <p className="min-w-0 flex-1"><strong className="font-semibold text-err">{m.terminal_gone()}.</strong> {explain(over).action}</p> : (
        <>
          <p className="min-w-0 flex-1"><strong className="font-semibold text-err">{m.terminal_lost()}</strong> <span aria-live="off">{m.terminal_lost_retry({ seconds })}</span> <span className="phone-hidden">{m.terminal_lost_about()}</span></p>
          <Button small onClick={onRetry}>{m.try_now()}</Button>
        </>
      )}
    </div>
  );
}

/** Names what stays in the terminal alone. */
export function RejectedBar({ rejected, onClose }: { rejected: Record<string, string>; onClose: () => void }) {
  const all = Object.entries(rejected);
  if (all.length === 0) return null;
  return (
    <div role="status" className={cx(bar, "items-start border-b bg-warn-soft")}>
      <FileX2 size={16} aria-hidden className="mt-1.5 shrink-0 text-warn" />
      <div className="max-h-24 min-w-0 flex-1 overflow-y-auto py-1">
        <p className="font-semibold text-warn">{m.terminal_rejected()}</p>
        <ul>{all.map(([path, why]) => <li key={path} className="break-words"><span className="font-code text-code">{path}</span> <span className="text-fg-2">{why}</span></li>)}</ul>
      </div>
      <IconButton label={m.close()} icon={X} onClick={onClose} />
    </div>
  );
}

/** How the shell ended, and the way on. */
export function EndBar({ end, onNew, onClose }: { end: TerminalEnd; onNew: () => void; onClose: () => void }) {
  return (
    <div role="status" className={cx(bar, "border-t bg-panel max-tab:flex-wrap max-tab:justify-end max-tab:py-2")}>
      <CircleStop size={16} aria-hidden className={cx("shrink-0", end.status === RunStatus.SUCCEEDED ? "text-ok" : end.status === RunStatus.CANCELLED ? "text-fg-3" : "text-err")} />
      <p className="min-w-0 flex-1 max-tab:basis-3/4">{endWords(end)}</p>
      <Button small onClick={onClose}>{m.close()}</Button>
      <Button small tone="primary" icon={Plus} onClick={onNew}>{m.terminal_new()}</Button>
    </div>
  );
}

/** How a shell ended, in words. */
export function endWords(end: TerminalEnd): string {
  if (end.status === RunStatus.OUT_OF_MEMORY) return m.terminal_end_memory();
  if (end.status === RunStatus.CANCELLED) return m.terminal_end_cancelled();
  if (end.signal > 0) return m.terminal_end_signal({ signal: String(end.signal) });
  return m.terminal_end_code({ code: String(end.exitCode) });
}
