// Output of programs with its ANSI colours; lines carry their time in grey.
import Anser from "anser";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useRef } from "react";
import { number } from "../lib/format";
import type { Line } from "../lib/runs";
import { m } from "../paraglide/messages";
import { cx } from "./cx";

const ROW = 20;

/** Shows lines; follows the end until one scrolls up. */
export function Output({ lines, label, times = true, follow = true }: { lines: Line[]; label: string; times?: boolean; follow?: boolean }) {
  const scroller = useRef<HTMLDivElement>(null);
  const end = useRef({ held: true, top: 0 });
  const shown = lines.length > 0 && lines.at(-1)?.text === "" ? lines.length - 1 : lines.length;
  const rows = useVirtualizer({ count: shown, getScrollElement: () => scroller.current, estimateSize: () => ROW, overscan: 30, paddingStart: 10, paddingEnd: 10 });
  const toEnd = useCallback(() => {
    const box = scroller.current;
    if (!box || !follow || !end.current.held) return;
    box.scrollTo({ top: box.scrollHeight });
    end.current.top = box.scrollTop;
  }, [follow]);
  useEffect(toEnd, [toEnd, shown]);
  // What appears above or below it makes it lower; its end stays in view.
  useEffect(() => {
    if (!scroller.current) return;
    const sizes = new ResizeObserver(toEnd);
    sizes.observe(scroller.current);
    return () => sizes.disconnect();
  }, [toEnd]);
  return (
    <div
      ref={scroller}
      role="log"
      aria-label={label}
      aria-live="off"
      tabIndex={0}
      data-inset
      onScroll={(event) => {
        // Lines that came since, or a lower box, are no scrolling up: only who goes up lets the end go.
        const { scrollTop: top, scrollHeight, clientHeight } = event.currentTarget;
        if (scrollHeight - top - clientHeight < 24) end.current.held = true;
        else if (top < end.current.top) end.current.held = false;
        end.current.top = top;
      }}
      className="font-code text-code min-h-0 flex-1 overflow-auto bg-editor text-fg"
    >
      <div className="relative min-w-max" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((row) => {
          const line = lines[row.index];
          return line && <OutputLine key={row.index} line={line} top={row.start} times={times} />;
        })}
      </div>
      {shown === 0 && <p className="sr-only">{m.output_empty()}</p>}
    </div>
  );
}

const OutputLine = memo(function OutputLine({ line, top, times }: { line: Line; top: number; times: boolean }) {
  return (
    <div className={cx("absolute left-0 flex px-4 whitespace-pre", line.stream === "err" && "text-err", line.stream === "in" && "text-accent-text")} style={{ top, height: ROW }}>
      {times && <span aria-hidden className="mr-4 w-10 shrink-0 text-right text-fg-3 select-none">{number(line.atMs / 1000, 2)}</span>}
      <span>
        {Anser.ansiToJson(line.text.replace(/\r$/, ""), { use_classes: true, remove_empty: true }).map((piece, i) => (
          <span key={i} className={cx(piece.fg, piece.decorations.includes("bold") && "font-semibold", piece.decorations.includes("italic") && "italic", piece.decorations.includes("underline") && "underline", piece.decorations.includes("dim") && "text-fg-3")}>{piece.content}</span>
        ))}
      </span>
    </div>
  );
});
