// The lines, newest at the bottom; only those in sight are in the page.
import { memo, useCallback, useEffect, useLayoutEffect, useRef, type KeyboardEvent } from "react";
import { Level } from "../../gen/devstudio/auth/v1/log_pb";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";
import { usePhone } from "../../ui/media";
import { useRowsInView } from "../../ui/rows-in-view";
import type { Row } from "./buffer";
import { ServiceDot } from "./service-dot";

const names: Record<Level, string> = { [Level.UNSPECIFIED]: "", [Level.DEBUG]: "DEBUG", [Level.INFO]: "INFO", [Level.WARN]: "WARN", [Level.ERROR]: "ERROR" };
export const levelName = (level: Level) => names[level];
const levelClass = (level: Level) => (level === Level.ERROR ? "text-err font-semibold" : level === Level.WARN ? "text-warn font-semibold" : "text-fg-3");

/** The time of a row, to the millisecond. */
export function timeOf(ms: number): string {
  const at = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** What a line says beside its message. Ids stand in its details. */
export function factsOf({ message, fields }: Row): string {
  const told = ([key, value]: [string, string]) => key === "stream" || key.endsWith("_id") || (/^[A-Z_]+$/.test(value) && message.includes(value));
  return Object.entries(fields).filter((field) => !told(field)).map(([key, value]) => `${key}=${value}`).join(" ");
}

/** So many rows from the first one, older ones are asked for. */
const NEAR_TOP = 40;

/** `above` counts the rows that were put before the others since the list began: what is in sight stays where it is. */
interface Props { rows: Row[]; version: number; above: number; follow: boolean; onFollow: (follow: boolean) => void; onTop: () => void; chosen: Row | null; onChoose: (row: Row) => void }

export function LogList({ rows, version, above, follow, onFollow, onTop, chosen, onChoose }: Props) {
  const phone = usePhone();
  const height = phone ? 52 : 30;
  const scroller = useRef<HTMLDivElement>(null);
  const { from, to } = useRowsInView(scroller, height, rows.length);
  useEffect(() => {
    if (follow && scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
  }, [follow, version]);
  const put = useRef(above);
  useLayoutEffect(() => {
    if (scroller.current && above > put.current) scroller.current.scrollTop += (above - put.current) * height;
    put.current = above;
  }, [above, height]);
  const choose = useCallback((row: Row) => {
    onFollow(false);
    onChoose(row);
  }, [onFollow, onChoose]);
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Home" || event.key === "PageUp") onFollow(false);
    const by = event.key === "j" || event.key === "ArrowDown" ? 1 : event.key === "k" || event.key === "ArrowUp" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const at = chosen ? rows.indexOf(chosen) : rows.length;
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    if (!next) return;
    choose(next);
    const box = scroller.current;
    const top = rows.indexOf(next) * height;
    if (box) box.scrollTop = Math.min(top, Math.max(box.scrollTop, top + height - box.clientHeight));
  };
  return (
    <>
      <div aria-hidden className="label flex h-8 shrink-0 items-center gap-4 border-b border-line px-3 phone-hidden">
        <span className="w-24">{m.time()}</span><span className="w-12">{m.level()}</span><span className="w-20">{m.service()}</span><span className="flex-1">{m.log_message()}</span><span className="w-16">Trace</span>
      </div>
      <div
        ref={scroller}
        role="log"
        aria-live="off"
        aria-label={m.log_lines()}
        tabIndex={0}
        data-inset
        onKeyDown={onKey}
        onWheel={(event) => { if (event.deltaY < 0) onFollow(false); }}
        onTouchMove={() => onFollow(false)}
        onScroll={(event) => {
          const box = event.currentTarget;
          if (box.scrollHeight - box.scrollTop - box.clientHeight < 4) onFollow(true);
          else if (box.scrollTop < NEAR_TOP * height) onTop();
        }}
        className="min-h-0 flex-1 overflow-y-auto bg-editor [contain:strict] [overflow-anchor:none]"
      >
        <div className="relative" style={{ height: rows.length * height }}>
          {rows.slice(from, to).map((row, i) => {
            const at = from + i;
            return <Line key={at} row={row} top={at * height} height={height} phone={phone} chosen={row === chosen} onChoose={choose} />;
          })}
        </div>
      </div>
    </>
  );
}

const Line = memo(function Line({ row, top, height, phone, chosen, onChoose }: { row: Row; top: number; height: number; phone: boolean; chosen: boolean; onChoose: (row: Row) => void }) {
  if (row.dropped > 0) {
    return <p className="absolute inset-x-0 flex items-center justify-center border-b border-dashed border-line-2 text-xs text-warn" style={{ transform: `translateY(${top}px)`, height }}>{m.lines_dropped({ count: row.dropped, shown: number(row.dropped) })}</p>;
  }
  const ground = chosen ? "bg-selected shadow-[inset_2px_0_0_var(--signal)]" : row.level === Level.ERROR ? "bg-err-soft" : "hover:bg-hover";
  return (
    <button type="button" tabIndex={-1} onClick={() => onChoose(row)} style={{ transform: `translateY(${top}px)`, height }} className={cx("font-code absolute inset-x-0 border-b border-line px-3 text-left text-xs", ground, phone ? "flex flex-col justify-center" : "flex items-center gap-4")}>
      {phone ? (
        <>
          <span className="flex w-full items-center gap-2 text-2xs text-fg-3"><span>{timeOf(row.atMs)}</span><span className={levelClass(row.level)}>{levelName(row.level)}</span><ServiceDot service={row.service} /><span>{row.service}</span></span>
          <span className="w-full truncate font-sans text-sm text-fg">{row.message}</span>
        </>
      ) : (
        <>
          <span className="w-24 shrink-0 text-fg-3">{timeOf(row.atMs)}</span>
          <span className={cx("w-12 shrink-0", levelClass(row.level))}>{levelName(row.level)}</span>
          <span className="flex w-20 shrink-0 items-center gap-1.5 text-fg-2"><ServiceDot service={row.service} />{row.service}</span>
          <span className="min-w-0 flex-1 truncate whitespace-pre! text-fg">{row.message}<span className="ml-3 text-fg-3">{factsOf(row)}</span></span>
          <span className="w-16 shrink-0 truncate text-accent-text">{row.traceId.slice(0, 8)}</span>
        </>
      )}
    </button>
  );
});
