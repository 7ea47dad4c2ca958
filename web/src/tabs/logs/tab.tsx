// The Logs tab: what happens now, with filters, a histogram, and the details of a line.
import { ArrowDown, Download, ListFilter, Pause, Play } from "lucide-react";
import { createClient } from "@connectrpc/connect";
import { useDeferredValue, useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import { readEdgeJson } from "../../api/edgejson";
import { explain, type Fault } from "../../api/errors";
import { useConnection, watch } from "../../api/stream";
import { transport } from "../../api/transport";
import { LogFilterSchema, LogService, WatchLogsResponseSchema } from "../../gen/devstudio/auth/v1/log_pb";
import { useCommands } from "../../lib/commands";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { saveText } from "../../ui/download";
import { FaultPane } from "../../ui/fault";
import { SearchInput } from "../../ui/field";
import { Dialog } from "../../ui/dialog";
import { useNarrow, usePhone } from "../../ui/media";
import { Menu, MenuCheck } from "../../ui/menu";
import { Panes } from "../../ui/panes";
import { Segmented } from "../../ui/segmented";
import { Waiting } from "../../ui/tag";
import { Tip } from "../../ui/tip";
import { LogBuffer, MOST_ROWS, type Row } from "./buffer";
import { Details } from "./details";
import { levels, paramsOf, parseQuery, queryOf, services, setFilter, useFilter, type Filter } from "./filter";
import { Histogram } from "./histogram";
import { LogList } from "./list";
import { ServiceDot } from "./service-dot";

const BACKLOG = 2_000;
const OLDER_PAGE = 1_000;
const logs = createClient(LogService, transport);

export default function LogsTab() {
  const filter = useFilter();
  const phone = usePhone();
  const narrow = useNarrow();
  const [buffer] = useState(() => new LogBuffer());
  const version = useSyncExternalStore(buffer.subscribe, buffer.snapshot);
  const [paused, setPaused] = useState(false);
  const [follow, setFollow] = useState(true);
  const [chosen, setChosen] = useState<Row | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [arrived, setArrived] = useState(false);
  const connection = useConnection((s) => s.state);
  const key = JSON.stringify(filter);

  useEffect(() => {
    buffer.clear();
    setArrived(false);
    setFault(null);
    const timer = setTimeout(() => setArrived(true), 1_500);
    const end = watch({
      method: "logs.watch",
      params: () => ({ filter: paramsOf(JSON.parse(key) as Filter), ...(buffer.lastSeq > 0n ? { afterSeq: String(buffer.lastSeq) } : { backlog: BACKLOG }) }),
      onMessage: (message) => {
        setArrived(true);
        buffer.push(readEdgeJson(WatchLogsResponseSchema, message));
      },
      onFault: (cause) => setFault(explain(cause)),
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [buffer, key, attempt]);

  const pause = (now: boolean) => {
    buffer.pause(now);
    setPaused(now);
  };
  const toEnd = () => {
    if (paused) pause(false);
    setFollow(true);
  };
  useCommands("logs", [
    { id: "pause-logs", title: paused ? m.logs_go_on() : m.logs_pause(), group: "logs", icon: paused ? Play : Pause, keys: "Space", run: () => pause(!paused) },
    { id: "logs-end", title: m.to_end(), group: "logs", icon: ArrowDown, keys: "End", run: toEnd },
    { id: "logs-search", title: m.logs_search(), group: "logs", keys: "/", run: () => document.querySelector<HTMLInputElement>("input[data-logs-search]")?.focus() },
    { id: "logs-clear", title: m.filter_clear(), group: "logs", run: () => setFilter({ level: "debug", services: [], text: "", trace: "" }) },
  ]);
  const rows = buffer.rows;
  const seen = useNewCount(rows.length - buffer.above, follow);
  const older = useOlder(buffer, key, attempt);
  const bars = useDeferredValue(version);
  const rate = useMemo(() => buffer.rate(), [buffer, bars]); // oxlint-disable-line react-hooks/exhaustive-deps
  const filtered = filter.text !== "" || filter.trace !== "" || filter.services.length > 0 || filter.level !== "debug";
  const list = (
    <div className="relative flex min-h-0 flex-1 flex-col">
      {fault ? <FaultPane fault={fault} onRetry={() => setAttempt(attempt + 1)} />
      : rows.length === 0 && (!arrived || connection !== "open") ? <Waiting rows={12} height={30} label={m.loading()} />
      : rows.length === 0 ? (
        <div className="flex flex-1 flex-col items-center justify-center gap-3 p-8 text-center">
          <p className="text-base">{filtered ? m.logs_none_filtered({ filter: describe(filter) }) : m.logs_none()}</p>
          {filtered && <Button onClick={() => setFilter({ level: "debug", services: [], text: "", trace: "" })}>{m.filter_clear()}</Button>}
        </div>
      ) : (
        <>
          <LogList key={key} rows={rows} version={version} above={buffer.above} follow={follow && !paused} onFollow={setFollow} onTop={older.more} chosen={chosen} onChoose={setChosen} />
          <OlderNote older={older} />
        </>
      )}
      {rows.length > 0 && (!follow || (paused && buffer.waiting > 0)) && (
        <Button small icon={ArrowDown} onClick={toEnd} className="absolute bottom-4 left-1/2 h-8 -translate-x-1/2 rounded-full px-4 shadow-over">
          {seen + buffer.waiting > 0 ? m.new_lines({ count: seen + buffer.waiting, shown: number(seen + buffer.waiting) }) : m.to_end()}
        </Button>
      )}
    </div>
  );
  const details = chosen && <Details row={chosen} onClose={() => setChosen(null)} onTrace={(trace) => setFilter({ ...filter, trace, level: "debug" })} />;
  return (
    <section aria-label={m.tab_logs()} data-pane className="flex min-h-0 flex-1 flex-col">
      <Bar key={queryOf(filter)} filter={filter} paused={paused} onPause={() => pause(!paused)} onSave={() => saveText("logs.ndjson", rows.map((row) => JSON.stringify(row)).join("\n"), "application/x-ndjson")}>
        <p className="flex items-center gap-1.5 text-xs whitespace-nowrap text-fg-2 max-wide:hidden">
          <span aria-hidden className={cx("size-1.5 rounded-full", paused || connection !== "open" ? "bg-fg-3" : "live-dot bg-signal")} />
          <span className="nums">{paused ? m.logs_paused() : connection === "open" ? m.logs_live({ rate: number(rate, rate < 10 ? 1 : 0) }) : m.disconnected()} <Tip text={m.logs_held_about({ backlog: number(BACKLOG), most: number(MOST_ROWS) })}><span className="text-fg-3">· {m.logs_held({ count: number(rows.length) })}</span></Tip></span>
        </p>
      </Bar>
      <Histogram seconds={buffer.seconds} count={rows.length} version={bars} />
      <Panes id="logs" panes={[{ id: "list", min: narrow ? "0px" : "420px", content: list }, details && !narrow && { id: "details", size: "420px", min: "280px", max: "640px", content: details }]} />
      {narrow && <Dialog open={chosen !== null} onClose={() => setChosen(null)} title={m.log_line()}><div className={cx("flex min-h-0 flex-col", phone ? "h-[60dvh]" : "h-[50dvh]")}>{details}</div></Dialog>}
    </section>
  );
}

function Bar({ filter, paused, onPause, onSave, children }: { filter: Filter; paused: boolean; onPause: () => void; onSave: () => void; children: ReactNode }) {
  const [query, setQuery] = useState(queryOf(filter));
  const apply = (text: string) => setFilter({ ...filter, ...parseQuery(text) });
  const phone = usePhone();
  const chosenServices = filter.services.length === 0 ? m.services_all() : filter.services.join(", ");
  const toggle = (service: string) => setFilter({ ...filter, services: filter.services.includes(service) ? filter.services.filter((s) => s !== service) : [...filter.services, service] });
  return (
    <div className="flex shrink-0 flex-wrap items-center gap-2 border-b border-line px-3 py-2">
      <form role="search" className="min-w-0 flex-1 max-tab:basis-[calc(100%-56px)] tab:max-w-90" onSubmit={(event) => { event.preventDefault(); apply(query); }}>
        <SearchInput data-logs-search label={m.logs_filter_hint()} value={query} maxLength={200} onChange={(event) => { setQuery(event.target.value); if (event.target.value === "") apply(""); }} onBlur={() => { if (query !== queryOf(filter)) apply(query); }} />
      </form>
      {phone && <IconButton tone="plain" label={paused ? m.logs_go_on() : m.logs_pause()} icon={paused ? Play : Pause} onClick={onPause} />}
      <Segmented label={m.level()} value={filter.level} onChange={(level) => setFilter({ ...filter, level })} options={levels.map((level) => ({ value: level, label: level.toUpperCase(), className: cx("font-code", level === "warn" && "text-warn!", level === "error" && "text-err!") }))} />
      <Menu
        align="start"
        label={m.services()}
        trigger={<Button aria-label={`${m.services()}: ${chosenServices}`}><ListFilter size={15} aria-hidden /><span className="phone-hidden">{chosenServices}</span></Button>}
      >
        {services.map((service) => <MenuCheck key={service} checked={filter.services.includes(service)} onChange={() => toggle(service)}><ServiceDot service={service} /> {service}</MenuCheck>)}
      </Menu>
      <span className="flex-1" />
      {children}
      {!phone && <Button icon={paused ? Play : Pause} onClick={onPause} aria-pressed={paused}>{paused ? m.logs_go_on() : m.logs_pause()}</Button>}
      {!phone && <IconButton tone="plain" label={m.logs_save()} icon={Download} onClick={onSave} className="size-8" />}
    </div>
  );
}

interface Older { state: "idle" | "loading" | "begun" | "failed"; more: () => void; retry: () => void }

/** What was written before the lines that are held: a page of it whenever one looks at the first of them. */
function useOlder(buffer: LogBuffer, key: string, attempt: number): Older {
  const [state, setState] = useState<Older["state"]>("idle");
  const asking = useRef<AbortController | null>(null);
  useEffect(() => () => {
    asking.current?.abort();
    asking.current = null;
    setState("idle");
  }, [key, attempt]);
  const ask = async () => {
    const beforeSeq = buffer.firstSeq;
    if (asking.current || beforeSeq === 0n) return;
    const mine = new AbortController();
    asking.current = mine;
    setState("loading");
    try {
      const { entries } = await logs.listLogs({ filter: readEdgeJson(LogFilterSchema, paramsOf(JSON.parse(key) as Filter)), pageSize: OLDER_PAGE, beforeSeq }, { signal: mine.signal });
      const room = buffer.putBefore(entries);
      setState(room && entries.length === OLDER_PAGE ? "idle" : "begun");
    } catch {
      if (!mine.signal.aborted) setState("failed");
    }
    if (asking.current === mine) asking.current = null;
  };
  return { state, more: () => { if (state === "idle") void ask(); }, retry: () => void ask() };
}

/** Says over the list that older lines come, or that they did not. */
function OlderNote({ older }: { older: Older }) {
  if (older.state !== "loading" && older.state !== "failed") return null;
  return (
    <p role="status" className="absolute top-10 left-1/2 flex h-8 -translate-x-1/2 items-center gap-2 rounded-full bg-panel px-4 text-xs text-fg-2 shadow-over">
      {older.state === "loading" ? m.logs_older() : <>{m.logs_older_failed()}<Button small onClick={older.retry}>{m.try_again()}</Button></>}
    </p>
  );
}

/** How many rows came below while one looks further up. */
function useNewCount(count: number, follow: boolean): number {
  const [at, setAt] = useState(0);
  useEffect(() => { if (follow) setAt(count); }, [count, follow]);
  return follow ? 0 : Math.max(0, count - at);
}

function describe(filter: Filter): string {
  return [`${m.level()} ≥ ${filter.level.toUpperCase()}`, filter.services.join(", "), filter.text && m.quoted({ text: filter.text }), filter.trace && `trace:${filter.trace.slice(0, 8)}`].filter(Boolean).join(" · ");
}
