// Runs that this page started: their output as it comes, wherever it is looked at.
import { create as message } from "@bufbuild/protobuf";
import { create } from "zustand";
import { explain, wasCancelled, type Fault } from "../api/errors";
import { sandbox } from "../api/sandbox";
import { traceparent } from "../api/transport";
import { Isolation, OutputStream, RunExecRequestSchema, type RunExecRequest, type RunExecResponse } from "../gen/devstudio/sandbox/v1/run_pb";

/** One line of output. */
export interface Line { text: string; atMs: number; stream: "out" | "err" | "in" }

/** The last lines of an output, and how many came before them. */
export interface Held { lines: Line[]; hidden: number }

/** A run as it stands. */
export interface LiveRun {
  key: number;
  request: RunExecRequest;
  title: string;
  execId: string;
  traceId: string;
  startedAt: number;
  isolation: Isolation;
  lines: Line[];
  /** So many lines came before those and are not held any more. */
  hidden: number;
  running: boolean;
  /** It can be given more to read. */
  inputOpen: boolean;
  result: RunExecResponse | null;
  fault: Fault | null;
}

export const useRuns = create<{ current: LiveRun | null }>(() => ({ current: null }));

const MOST_LINES = 20_000;
let controller: AbortController | null = null;
let nextKey = 1;
const afterRun = new Set<() => void>();

/** Calls back after each run, so that lists can be fetched again. */
export function onRunEnd(listener: () => void): () => void {
  afterRun.add(listener);
  return () => afterRun.delete(listener);
}

/** Runs a program and follows its output. One at a time: an older one is stopped. */
export async function startRun(init: Partial<Omit<RunExecRequest, "$typeName">>, title: string): Promise<void> {
  controller?.abort();
  const mine = new AbortController();
  controller = mine;
  const request = message(RunExecRequestSchema, init);
  const key = nextKey++;
  const trace = traceparent();
  useRuns.setState({ current: { key, request, title, execId: "", traceId: trace.split("-")[1] ?? "", startedAt: Date.now(), isolation: Isolation.UNSPECIFIED, lines: [], hidden: 0, running: true, inputOpen: request.keepStdinOpen, result: null, fault: null } });
  const decoders = { out: new TextDecoder(), err: new TextDecoder() };
  let waiting: { text: string; atMs: number; stream: "out" | "err" }[] = [];
  let frame = 0;
  const flush = () => {
    frame = 0;
    const pieces = waiting;
    waiting = [];
    change(key, (run) => latest(append(run.lines, pieces), run.hidden));
  };
  try {
    for await (const { event } of sandbox.streamExec({ exec: request }, { signal: mine.signal, headers: { traceparent: trace } })) {
      if (event.case === "started") change(key, () => ({ execId: event.value.execId, isolation: event.value.isolation, startedAt: Date.now() }));
      else if (event.case === "output") {
        const stream = event.value.stream === OutputStream.STDERR ? "err" : "out";
        waiting.push({ text: decoders[stream].decode(event.value.data, { stream: true }), atMs: event.value.atMs, stream });
        frame ||= requestAnimationFrame(flush);
      } else if (event.case === "result") {
        if (frame) cancelAnimationFrame(frame);
        flush();
        change(key, (run) => ({ result: event.value, running: false, execId: event.value.execId, isolation: event.value.isolation, ...(run.lines.length > 0 ? {} : linesOf(event.value)) }));
      }
    }
  } catch (cause) {
    if (frame) cancelAnimationFrame(frame);
    flush();
    change(key, () => ({ fault: wasCancelled(cause) ? null : explain(cause) }));
  } finally {
    change(key, () => ({ running: false, inputOpen: false }));
    for (const listener of afterRun) listener();
  }
}

/** Stops the running program: asks the server first, so that the output so far and the result still come. */
export async function stopRun(): Promise<void> {
  const current = useRuns.getState().current;
  if (!current?.running) return;
  const mine = controller;
  try {
    if (!current.execId) throw new Error("not started yet");
    await sandbox.cancelRun({ execId: current.execId }, { timeoutMs: 3_000 });
    setTimeout(() => mine?.abort(), 3_000);
  } catch {
    mine?.abort();
  }
}

/** Gives the running program a line to read, or with null the end of its input. */
export async function writeRun(line: string | null): Promise<void> {
  const current = useRuns.getState().current;
  if (!current?.running || !current.inputOpen || current.execId === "") return;
  await sandbox.writeInput({ execId: current.execId, text: line === null ? "" : `${line}\n`, close: line === null }, { timeoutMs: 10_000 });
  change(current.key, (run) => (line === null ? { inputOpen: false } : { lines: typed(run.lines, line, Date.now() - run.startedAt) }));
}

/** The lines of a stored result, and how many more there were before. */
export function linesOf({ stdout, stderr, wallMs }: Pick<RunExecResponse, "stdout" | "stderr" | "wallMs">): Held {
  const lines = (text: string, stream: "out" | "err") => (text === "" ? [] : append([], [{ text: text.replace(/\n$/, ""), atMs: wallMs, stream }]));
  return latest([...lines(stdout, "out"), ...lines(stderr, "err")]);
}

/** Holds the last lines and counts the others. */
export function latest(lines: Line[], hidden = 0): Held {
  const more = Math.max(0, lines.length - MOST_LINES);
  return { lines: more > 0 ? lines.slice(more) : lines, hidden: hidden + more };
}

/** How much of a run's outputs is not text. */
export const binaryBytes = ({ stdoutData, stderrData }: Pick<RunExecResponse, "stdoutData" | "stderrData">): number => stdoutData.length + stderrData.length;

/** Appends pieces, which may end within a line, to lines. The last line is the unfinished one. */
export function append(lines: Line[], pieces: Line[]): Line[] {
  const out = lines.slice();
  for (const piece of pieces) {
    const parts = piece.text.split("\n");
    parts.forEach((part, i) => {
      const last = out.at(-1);
      if (i === 0 && last && last.stream === piece.stream) out[out.length - 1] = { ...last, text: last.text + part };
      else out.push({ text: part, atMs: piece.atMs, stream: piece.stream });
    });
  }
  return out;
}

/** Shows what was typed as a line of its own, after the output that it answers. */
export function typed(lines: Line[], text: string, atMs: number): Line[] {
  return [...(lines.at(-1)?.text === "" ? lines.slice(0, -1) : lines), { text, atMs, stream: "in" }];
}

function change(key: number, update: (run: LiveRun) => Partial<LiveRun>): void {
  useRuns.setState(({ current }) => (current?.key === key ? { current: { ...current, ...update(current) } } : {}));
}
