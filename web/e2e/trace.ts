// Reads what a trace of Chromium says of a page's main thread.

interface TraceEvent { name: string; ph: string; pid: number; tid: number; tdur?: number; args?: { name?: string } }

/** The longest task by its processor time, and how many there were: waiting for a processor is no fault of the page. */
export function tasksOf(trace: Buffer): { longestMs: number; tasks: number } {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const mains = new Set(traceEvents.filter((event) => event.name === "thread_name" && event.args?.name === "CrRendererMain").map((event) => `${event.pid} ${event.tid}`));
  const tasks = traceEvents.filter((event) => event.ph === "X" && event.name.endsWith("RunTask") && event.tdur !== undefined && mains.has(`${event.pid} ${event.tid}`));
  return { longestMs: tasks.reduce((most, event) => Math.max(most, event.tdur ?? 0), 0) / 1000, tasks: tasks.length };
}
