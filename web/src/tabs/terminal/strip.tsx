// The strip above a terminal: one tab for each, a new one, and what is true of the chosen one.
import { Plus, Search, ShieldCheck, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { useStore } from "zustand";
import type { Terminal } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { isolationName } from "../../lib/engines";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Tag } from "../../ui/tag";
import { Tip } from "../../ui/tip";
import { sessionOf } from "./sessions";

interface Props { terminals: Terminal[]; active: Terminal | undefined; names: (terminal: Terminal) => string; opening: boolean; onShow: (id: string) => void; onClose: (terminal: Terminal) => void; onNew: () => void; onSearch: () => void }

export function Strip({ terminals, active, names, opening, onShow, onClose, onNew, onSearch }: Props) {
  return (
    <section aria-label={m.terminals()} data-pane className="flex h-10 shrink-0 items-stretch border-b border-line bg-panel max-tab:h-12">
      <div role="group" aria-label={m.terminals()} className="flex min-w-0 overflow-x-auto [scrollbar-width:none]">
        {terminals.map((terminal) => <StripTab key={terminal.terminalId} terminal={terminal} name={names(terminal)} on={terminal === active} onShow={() => onShow(terminal.terminalId)} onClose={() => onClose(terminal)} />)}
      </div>
      <span className="flex items-center px-1"><IconButton label={m.terminal_new()} keys="Mod+Alt+N" icon={Plus} disabled={opening} onClick={onNew} /></span>
      <span className="flex-1" />
      {active && <Facts terminal={active} onSearch={onSearch} />}
    </section>
  );
}

function StripTab({ terminal, name, on, onShow, onClose }: { terminal: Terminal; name: string; on: boolean; onShow: () => void; onClose: () => void }) {
  const { tie, end, title } = useStore(sessionOf(terminal).view);
  const over = end ?? terminal.end;
  const lost = tie.state === "lost" || tie.state === "connecting";
  const shown = title || name;
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => { if (on) box.current?.scrollIntoView({ block: "nearest", inline: "nearest" }); }, [on, over]);
  return (
    <div ref={box} className={cx("group relative flex shrink-0 items-center border-r border-line", on ? "bg-editor" : "bg-panel")}>
      {on && <span aria-hidden className="absolute inset-x-0 top-0 h-0.5 bg-signal" />}
      <Tip text={title ? `${name} · ${terminal.program}` : terminal.program || name}>
        <button type="button" data-inset aria-current={on || undefined} onClick={onShow} className={cx("flex h-full max-w-56 items-center gap-2 pr-1 pl-3.5 text-sm", on ? "text-fg" : "text-fg-3 hover:text-fg")}>
          <span aria-hidden className={cx("size-1.5 shrink-0 rounded-full", over ? "bg-fg-3" : lost ? "bg-warn" : "bg-ok")} />
          <span className="truncate">{shown}</span>
          {over ? <span className="shrink-0 text-xs text-fg-3">{over.exitCode >= 0 ? m.terminal_ended_code({ code: String(over.exitCode) }) : m.terminal_ended()}</span>
          : <span className="sr-only">({lost ? m.terminal_waiting() : m.terminal_running()})</span>}
        </button>
      </Tip>
      <button type="button" data-inset aria-label={m.close_named({ name: shown })} onClick={onClose} className="mr-1 flex size-6 items-center justify-center rounded-ctl text-fg-3 hover:bg-hover hover:text-fg max-tab:size-10"><X size={13} aria-hidden /></button>
    </div>
  );
}

function Facts({ terminal, onSearch }: { terminal: Terminal; onSearch: () => void }) {
  const { info, throttled, size } = useStore(sessionOf(terminal).view);
  const facts = [...(info.facts?.layers ?? []), ...Object.entries(info.facts?.limits ?? {}).map(([what, how]) => `${what}: ${how}`)].join(" · ");
  return (
    <div className="flex shrink-0 items-center gap-2.5 pr-2 pl-3">
      {throttled && <Tip text={m.terminal_throttled_about()}><span role="status" className="flex"><Tag tone="warn">{m.terminal_throttled()}</Tag></span></Tip>}
      <Tip text={facts || isolationName(info.isolation)}><span className="flex phone-hidden"><Tag><ShieldCheck size={12} strokeWidth={1.8} aria-hidden />{isolationName(info.isolation)}</Tag></span></Tip>
      <span className="font-code nums text-xs text-fg-3 phone-hidden" aria-label={m.terminal_size({ columns: String(size.columns), rows: String(size.rows) })} role="img">{size.columns} × {size.rows}</span>
      <IconButton label={m.terminal_search()} keys="Mod+Shift+F" icon={Search} onClick={onSearch} />
    </div>
  );
}
