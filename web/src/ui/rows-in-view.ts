// Which rows of one height are in view: for lists of any length, since nothing is held for a row that is not drawn.
import { useEffect, useState, type RefObject } from "react";

const OVERSCAN = 6;

/** The first row to draw and the one after the last. */
export const rowsInView = (top: number, viewHeight: number, rowHeight: number, count: number): { from: number; to: number } => {
  const at = Math.max(0, Math.min(top, count * rowHeight - viewHeight));
  return { from: Math.max(0, Math.floor(at / rowHeight) - OVERSCAN), to: Math.min(count, Math.ceil((at + viewHeight) / rowHeight) + OVERSCAN) };
};

/** Follows the scrolling of an element; draws anew only when other rows come into view. */
export function useRowsInView(scroller: RefObject<HTMLElement | null>, rowHeight: number, count: number): { from: number; to: number } {
  const [view, setView] = useState({ from: 0, to: 0, seen: { top: 0, height: 0 } });
  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const look = () => {
      const seen = { top: box.scrollTop, height: box.clientHeight };
      setView((now) => {
        const next = rowsInView(seen.top, seen.height, rowHeight, count);
        return next.from === now.from && next.to === now.to ? now : { ...next, seen };
      });
    };
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    return () => {
      sizes.disconnect();
      box.removeEventListener("scroll", look);
    };
  }, [scroller, rowHeight, count]);
  return { from: Math.min(view.from, count), to: Math.min(view.to, count) };
}
