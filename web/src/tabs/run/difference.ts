// The difference of two outputs, line by line, with what is equal folded away.
import { diffLines } from "diff";
import type { RunExecResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { bare } from "../../lib/problems";

/** A line of both or of one, or a fold of equal ones. */
export type Row = { kind: "same" | "added" | "removed"; text: string } | { kind: "fold"; count: number };
export interface Difference { rows: Row[]; added: number; removed: number }

const AROUND = 3;
const PATIENCE_MS = 1_000;

/** What has to change in the first text to make the second; null where that takes too long to find. */
export function difference(before: string, after: string): Difference | null {
  const parts = diffLines(whole(before), whole(after), { timeout: PATIENCE_MS });
  if (!parts) return null;
  const rows: Row[] = [];
  let [added, removed] = [0, 0];
  parts.forEach((part, i) => {
    const lines = part.value.split("\n").slice(0, -1);
    if (part.added) added += lines.length;
    if (part.removed) removed += lines.length;
    const kind = part.added ? "added" : part.removed ? "removed" : "same";
    const [head, tail] = [i === 0 ? 0 : AROUND, i === parts.length - 1 ? 0 : AROUND];
    const folded = lines.length - head - tail;
    const shown = (from: number, to?: number): Row[] => lines.slice(from, to).map((text) => ({ kind, text }));
    if (kind !== "same" || folded < 2) rows.push(...shown(0));
    else rows.push(...shown(0, head), { kind: "fold", count: folded }, ...shown(lines.length - tail));
  });
  return { rows, added, removed };
}

/** Without colours, and with an end at the last line, so that its lack is no difference. */
const whole = (text: string): string => bare(text).replaceAll("\r\n", "\n").replace(/([^\n])$/, "$1\n");

type Outputs = Pick<RunExecResponse, "stdout" | "stderr" | "stdoutData" | "stderrData">;
/** Two runs wrote the same, byte by byte. */
export function sameBytes(a: Outputs, b: Outputs): boolean {
  const encoder = new TextEncoder();
  const bytes = (text: string, data: Uint8Array) => (data.length > 0 ? data : encoder.encode(text));
  const same = (one: Uint8Array, two: Uint8Array) => one.length === two.length && one.every((byte, i) => byte === two[i]);
  return same(bytes(a.stdout, a.stdoutData), bytes(b.stdout, b.stdoutData)) && same(bytes(a.stderr, a.stderrData), bytes(b.stderr, b.stderrData));
}
