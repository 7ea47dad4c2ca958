// The lines that the Logs tab holds: outside of React, at most 500,000, told about once a frame.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Level, type LogEntry, type WatchLogsResponse } from "../../gen/devstudio/auth/v1/log_pb";

/** A line of the log, or a gap where lines were left out. */
export interface Row { seq: number; atMs: number; level: Level; service: string; traceId: string; userId: string; message: string; fields: Record<string, string>; dropped: number }

export const MOST_ROWS = 500_000;
/** Older entries are not fetched beyond this, so that those to come have room. */
const MOST_OLDER = 400_000;

/** Holds rows in order and tells its listeners when some came. */
export class LogBuffer {
  rows: Row[] = [];
  /** Counts of the rows by second, so that nobody has to walk through half a million rows for them. */
  readonly seconds = new Map<number, Count>();
  version = 0;
  lastSeq = 0n;
  /** How many rows were put before the others, so that what is in sight can stay where it is. */
  above = 0;
  private held: Row[] = [];
  private frame = 0;
  private listeners = new Set<() => void>();
  paused = false;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  snapshot = (): number => this.version;

  /** Takes what the watch sent. What was seen already is left out. */
  push(batch: WatchLogsResponse): void {
    if (batch.dropped > 0) this.held.push(gap(batch.dropped, batch.entries[0]));
    for (const entry of batch.entries) {
      if (entry.seq <= this.lastSeq) continue;
      this.lastSeq = entry.seq;
      this.held.push(rowOf(entry));
    }
    if (!this.paused) this.schedule();
  }

  /** The oldest entry that is held; 0 where there is none. */
  get firstSeq(): bigint {
    return BigInt(this.rows.find((row) => row.seq >= 0)?.seq ?? 0);
  }

  /** Puts older entries, newest first, before those that are held, as far as there is room. Answers whether more would fit. */
  putBefore(entries: LogEntry[]): boolean {
    const first = this.firstSeq;
    const room = MOST_OLDER - this.rows.length;
    const older = entries.filter((entry) => first === 0n || entry.seq < first).slice(0, Math.max(0, room)).map(rowOf).toReversed();
    for (const row of older) this.count(row, 1);
    this.rows = [...older, ...this.rows];
    this.above += older.length;
    this.tell();
    return older.length < room;
  }

  /** How many rows wait while paused. */
  get waiting(): number {
    return this.held.length;
  }

  /** Rows a second over the last ten seconds. */
  rate(): number {
    const since = Date.now() - 10_000;
    let count = 0;
    for (let i = this.rows.length - 1; i >= 0 && (this.rows[i]?.atMs ?? 0) > since; i -= 1) count += 1;
    return count / 10;
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.schedule();
  }

  clear(): void {
    this.rows = [];
    this.seconds.clear();
    this.held = [];
    this.lastSeq = 0n;
    this.above = 0;
    this.tell();
  }

  private schedule(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.paused && this.held.length > 0) {
        for (const row of this.held) {
          this.rows.push(row);
          this.count(row, 1);
        }
        this.held = [];
        if (this.rows.length > MOST_ROWS) {
          const gone = this.rows.length - Math.floor(MOST_ROWS * 0.9);
          for (let i = 0; i < gone; i += 1) this.count(this.rows[i], -1);
          this.rows = this.rows.slice(gone);
        }
      }
      this.tell();
    });
  }

  private count(row: Row | undefined, by: 1 | -1): void {
    if (!row || row.dropped > 0) return;
    const second = Math.floor(row.atMs / 1_000);
    const counted = this.seconds.get(second) ?? { all: 0, warn: 0, error: 0 };
    counted.all += by;
    if (row.level === Level.WARN) counted.warn += by;
    if (row.level === Level.ERROR) counted.error += by;
    if (counted.all > 0) this.seconds.set(second, counted);
    else this.seconds.delete(second);
  }

  private tell(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}

function rowOf(entry: LogEntry): Row {
  const { level, service, traceId, userId, fields } = entry;
  const message = entry.message.replace(ANSI, "");
  return { seq: Number(entry.seq), atMs: entry.at ? timestampMs(entry.at) : 0, level, service, traceId, userId, message, fields, dropped: 0 };
}

function gap(dropped: number, before: LogEntry | undefined): Row {
  return { seq: -1, atMs: before?.at ? timestampMs(before.at) : Date.now(), level: Level.UNSPECIFIED, service: "", traceId: "", userId: "", message: "", fields: {}, dropped };
}

// oxlint-disable-next-line no-control-regex -- escape sequences begin with a control character
const ANSI = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** How many rows there are, and how many of them warn and fail. */
export interface Count { all: number; warn: number; error: number }
/** Rows per span of time. */
export interface Bin extends Count { from: number; to: number }

/** The histogram of counted seconds over at most `count` bins. */
export function binsOf(seconds: ReadonlyMap<number, Count>, count: number): Bin[] {
  if (seconds.size === 0) return [];
  let first = Infinity;
  let last = -Infinity;
  for (const second of seconds.keys()) {
    first = Math.min(first, second);
    last = Math.max(last, second);
  }
  const width = Math.max(1, (last - first + 1) / count);
  const bins = Array.from({ length: Math.min(count, Math.ceil((last - first + 1) / width)) }, (_, i): Bin => ({ from: (first + i * width) * 1_000, to: (first + (i + 1) * width) * 1_000, all: 0, warn: 0, error: 0 }));
  for (const [second, counted] of seconds) {
    const bin = bins[Math.min(bins.length - 1, Math.floor((second - first) / width))];
    if (!bin) continue;
    bin.all += counted.all;
    bin.warn += counted.warn;
    bin.error += counted.error;
  }
  return bins;
}
