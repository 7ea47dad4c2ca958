// A live line of the last minute, drawn by uPlot in the colours of the theme.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { token, useTheme } from "../lib/theme";

/** Draws values over their index; the newest is at the right. */
export function Sparkline({ values, colour, most }: { values: number[]; colour: string; most?: number }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme((s) => s.theme);
  const latest = useRef(values);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const stroke = token(colour);
    const made = new uPlot(
      {
        width: Math.max(10, host.clientWidth),
        height: 36,
        legend: { show: false },
        cursor: { show: false },
        axes: [{ show: false }, { show: false }],
        padding: [2, 0, 2, 0],
        scales: { x: { time: false }, y: { range: (_u, _min, max) => [0, Math.max(most ?? 0, max || 1) * 1.05] } },
        series: [{}, { stroke, width: 1.5, fill: `${stroke}26`, points: { show: false } }],
      },
      dataOf(latest.current),
      host,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(10, host.clientWidth), height: 36 }));
    observer.observe(host);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [colour, most, theme]);
  useEffect(() => {
    latest.current = values;
    plot.current?.setData(dataOf(values));
  }, [values]);
  return <div ref={box} aria-hidden className="h-9 min-w-0 overflow-hidden" />;
}

const dataOf = (values: number[]): uPlot.AlignedData => {
  const padded = values.length >= 60 ? values : [...Array.from({ length: 60 - values.length }, () => null), ...values];
  return [padded.map((_, i) => i), padded];
};
