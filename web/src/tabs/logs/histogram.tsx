// How many lines came when, with caps for warnings and errors.
import { useMemo } from "react";
import { m } from "../../paraglide/messages";
import { number } from "../../lib/format";
import { binsOf, type Count } from "./buffer";
import { timeOf } from "./list";

const COUNT = 60;
const HEIGHT = 36;

export function Histogram({ seconds, count, version }: { seconds: ReadonlyMap<number, Count>; count: number; version: number }) {
  const bins = useMemo(() => binsOf(seconds, COUNT), [seconds, version]); // oxlint-disable-line react-hooks/exhaustive-deps
  const most = Math.max(1, ...bins.map((bin) => bin.all));
  const y = (count: number) => (count / most) * HEIGHT;
  const errors = bins.reduce((sum, bin) => sum + bin.error, 0);
  const warnings = bins.reduce((sum, bin) => sum + bin.warn, 0);
  return (
    <div className="shrink-0 border-b border-line px-3 pt-2">
      <svg role="img" aria-label={m.histogram({ lines: number(count), warnings: number(warnings), errors: number(errors) })} viewBox={`0 0 ${COUNT * 10} ${HEIGHT}`} preserveAspectRatio="none" className="block h-9 w-full">
        {bins.map((bin, i) => {
          const plain = bin.all - bin.warn - bin.error;
          return (
            <g key={bin.from}>
              <title>{`${timeOf(bin.from).slice(0, 8)} · ${bin.all}`}</title>
              <rect x={i * 10 + 0.5} width={9} y={HEIGHT - y(plain)} height={y(plain)} className="fill-c2 opacity-60" />
              <rect x={i * 10 + 0.5} width={9} y={HEIGHT - y(plain + bin.warn)} height={y(bin.warn)} className="fill-warn" />
              <rect x={i * 10 + 0.5} width={9} y={HEIGHT - y(bin.all)} height={y(bin.error)} className="fill-err" />
            </g>
          );
        })}
      </svg>
    </div>
  );
}
