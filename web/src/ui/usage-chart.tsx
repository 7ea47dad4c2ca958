// Tokens per day, prompt and answer stacked; the same figures as a table.
import { AxisBottom, AxisLeft } from "@visx/axis";
import { GridRows } from "@visx/grid";
import { scaleBand, scaleLinear } from "@visx/scale";
import { Bar } from "@visx/shape";
import { useEffect, useRef, useState } from "react";
import type { UsageSum } from "../gen/devstudio/billing/v1/billing_pb";
import { compact, number } from "../lib/format";
import { m } from "../paraglide/messages";
import { Button } from "./button";
import { Card, cellClass, rowClass, Table } from "./page";

const HEIGHT = 240;
const MARGIN = { top: 12, right: 12, bottom: 28, left: 48 };

/** Bars of the days between two moments. */
export function UsageChart({ days, from, to }: { days: UsageSum[]; from: Date; to: Date }) {
  const [asTable, setAsTable] = useState(false);
  const all = fill(days, from, to);
  return (
    <Card
      title={m.tokens_per_day()}
      aside={
        <>
          <span className="flex items-center gap-1.5 text-xs"><span aria-hidden className="size-2.5 rounded-[2px] bg-c1" />Prompt</span>
          <span className="flex items-center gap-1.5 text-xs"><span aria-hidden className="size-2.5 rounded-[2px] bg-c2" />{m.answer()}</span>
          <Button small tone="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>{asTable ? m.as_chart() : m.as_table()}</Button>
        </>
      }
    >
      {asTable ? (
        <div className="max-h-60 overflow-y-auto">
          <Table label={m.tokens_per_day()} head={[{ name: m.day(), wide: true }, { name: m.requests(), right: true }, { name: "Prompt", right: true }, { name: m.answer(), right: true }]}>
            {all.toReversed().map((day) => <tr key={day.day} className={rowClass}><td className={cellClass}>{dayName(day.day)}</td><td className={`${cellClass} nums text-right`}>{number(day.requests)}</td><td className={`${cellClass} nums text-right`}>{number(day.prompt)}</td><td className={`${cellClass} nums text-right`}>{number(day.completion)}</td></tr>)}
          </Table>
        </div>
      ) : <Bars days={all} />}
    </Card>
  );
}

interface Day { day: string; prompt: number; completion: number; requests: number }

function Bars({ days }: { days: Day[] }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const inner = { width: Math.max(0, width - MARGIN.left - MARGIN.right), height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const most = Math.max(10, ...days.map((d) => d.prompt + d.completion));
  const x = scaleBand({ domain: days.map((d) => d.day), range: [0, inner.width], padding: 0.16 });
  const y = scaleLinear({ domain: [0, most], range: [inner.height, 0], nice: true });
  const total = days.reduce((sum, d) => sum + d.prompt + d.completion, 0);
  const labels = { fill: "var(--fg-3)", fontSize: 10.5, fontFamily: "inherit" };
  const every = Math.ceil(days.length / Math.max(1, Math.floor(inner.width / 56)));
  return (
    <div ref={box} className="p-1">
      <svg width={width} height={HEIGHT} role="img" aria-label={m.chart_days({ days: days.length, tokens: number(total) })}>
        <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
          <GridRows scale={y} width={inner.width} numTicks={4} stroke="var(--line)" />
          {days.map((d) => {
            const left = x(d.day) ?? 0;
            return (
              <g key={d.day}>
                <title>{`${dayName(d.day)}: ${number(d.prompt)} + ${number(d.completion)}`}</title>
                <Bar x={left} width={x.bandwidth()} y={y(d.prompt)} height={inner.height - y(d.prompt)} fill="var(--c1)" />
                <Bar x={left} width={x.bandwidth()} y={y(d.prompt + d.completion)} height={y(d.prompt) - y(d.prompt + d.completion)} fill="var(--c2)" />
              </g>
            );
          })}
          <AxisLeft scale={y} numTicks={4} hideAxisLine hideTicks tickFormat={(v) => compact(Number(v))} tickLabelProps={{ ...labels, textAnchor: "end", dx: -4, dy: 3 }} />
          <AxisBottom top={inner.height} scale={x} stroke="var(--line-2)" hideTicks tickValues={days.map((d) => d.day).filter((_, i) => i % every === 0)} tickFormat={dayName} tickLabelProps={{ ...labels, textAnchor: "middle" }} />
        </g>
      </svg>
    </div>
  );
}

const dayName = (day: string) => new Intl.DateTimeFormat(m.locale_tag(), { day: "numeric", month: "short", timeZone: "UTC" }).format(new Date(`${day}T00:00:00Z`));

/** Every day between two moments, those without use among them. */
export function fill(days: UsageSum[], from: Date, to: Date): Day[] {
  const known = new Map(days.map((sum) => [sum.group, sum]));
  const out: Day[] = [];
  for (let at = Date.UTC(from.getUTCFullYear(), from.getUTCMonth(), from.getUTCDate()); at <= to.getTime(); at += 86_400_000) {
    const day = new Date(at).toISOString().slice(0, 10);
    const sum = known.get(day);
    out.push({ day, prompt: Number(sum?.promptTokens ?? 0n), completion: Number(sum?.completionTokens ?? 0n), requests: Number(sum?.requests ?? 0n) });
  }
  return out;
}
