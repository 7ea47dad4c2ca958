// Errors in three sizes: a line, a pane, and a bar across the top.
import { CircleX, Copy, RefreshCw, ScrollText } from "lucide-react";
import type { ReactNode } from "react";
import type { Fault } from "../api/errors";
import { nowText } from "../lib/format";
import { go } from "../lib/nav";
import { m } from "../paraglide/messages";
import { Button } from "./button";
import { copyText } from "./copy";

/** What happened, what it means and what to do, in one block inside a form or thread. */
export function FaultLine({ fault, children }: { fault: Fault; children?: ReactNode }) {
  return (
    <div role="alert" className="flex items-start gap-2.5 rounded-ctl bg-err-soft px-3 py-2.5 text-sm text-fg">
      <CircleX size={16} strokeWidth={1.7} aria-hidden className="mt-0.5 shrink-0 text-err" />
      <div className="min-w-0 flex-1">
        <p className="font-medium break-words">{fault.title}</p>
        {fault.meaning && <p className="mt-0.5 break-words text-fg-2">{fault.meaning}</p>}
        {fault.action && <p className="mt-0.5 text-fg-2">{fault.action}</p>}
        {fault.requestId && <RequestId id={fault.requestId} />}
        {children && <div className="mt-2 flex flex-wrap gap-2">{children}</div>}
      </div>
    </div>
  );
}

/** The same for a whole pane, with a way on. */
export function FaultPane({ fault, onRetry, children }: { fault: Fault; onRetry?: () => void; children?: ReactNode }) {
  return (
    <div role="alert" className="flex min-h-0 flex-1 items-center justify-center overflow-auto p-6">
      <div className="w-full max-w-130">
        <div className="flex items-start gap-3">
          <span className="flex size-10 shrink-0 items-center justify-center rounded-ctl bg-err-soft text-err"><CircleX size={20} strokeWidth={1.7} aria-hidden /></span>
          <div className="min-w-0">
            <p className="font-code text-2xs text-fg-3">{fault.status} · {fault.reason}</p>
            <h2 className="text-xl font-semibold text-fg">{fault.title}</h2>
          </div>
        </div>
        {(fault.meaning || fault.action) && <p className="mt-3 text-base break-words">{[fault.meaning, fault.action].filter(Boolean).join(" ")}</p>}
        <div className="mt-4 flex flex-wrap gap-2">
          {onRetry && <Button tone="primary" icon={RefreshCw} onClick={onRetry} autoFocus>{m.try_again()}</Button>}
          {fault.traceId && <Button icon={ScrollText} onClick={() => go("/logs", { trace: fault.traceId, level: "debug" })}>{m.logs_of_request()}</Button>}
          {children}
        </div>
        <dl className="mt-5 grid grid-cols-[110px_1fr] gap-y-1 border-t border-line pt-4 text-xs">
          {fault.requestId && <><dt className="text-fg-3">{m.request()}</dt><dd className="font-code break-all text-fg">{fault.requestId}</dd></>}
          <dt className="text-fg-3">{m.time()}</dt><dd className="font-code text-fg">{nowText()}</dd>
        </dl>
      </div>
    </div>
  );
}

/** The request id with a way to copy it. */
export function RequestId({ id }: { id: string }) {
  return (
    <button type="button" onClick={() => copyText(id)} className="font-code mt-1 inline-flex max-w-full items-center gap-1.5 rounded-tag text-2xs text-fg-3 hover:text-fg" aria-label={m.copy_request_id({ id })}>
      <span className="truncate">{m.request()} {id}</span>
      <Copy size={12} aria-hidden />
    </button>
  );
}
