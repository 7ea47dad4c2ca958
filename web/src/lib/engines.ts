// Names and order of engines, isolations and run results, and which engine runs which file.
import { Isolation, RunStatus } from "../gen/devstudio/sandbox/v1/run_pb";
import { m } from "../paraglide/messages";

const runtimes: Record<string, string> = { py: "python", js: "node", mjs: "node", cjs: "node", sh: "bash", bash: "bash", pl: "perl", c: "c", cc: "c++", cpp: "c++", cxx: "c++", rs: "rust", go: "go", rb: "ruby", php: "php", lua: "lua" };

/** How a file is run; null where no engine runs it. Whether its runtime is there, run.engines says. */
export function runnerOf(path: string): { engine: string; runtime: string } | null {
  const ending = /\.(\w+)$/.exec(path)?.[1] ?? "";
  if (ending === "wasm") return { engine: "wasm", runtime: "" };
  const runtime = runtimes[ending];
  return runtime ? { engine: "run", runtime } : null;
}

/** The isolation's name for people. */
export function isolationName(isolation: Isolation): string {
  switch (isolation) {
    case Isolation.PROCESS_WEAK: return m.isolation_process_weak();
    case Isolation.PROCESS: return m.isolation_process();
    case Isolation.WASM: return "WebAssembly";
    case Isolation.GVISOR: return "gVisor";
    case Isolation.HARDWARE_VM: return m.isolation_vm();
    default: return m.isolation_unknown();
  }
}

/** A run's end in a word, with the colour of its state. */
export function runEnd(status: RunStatus, exitCode: number): { word: string; tone: "ok" | "err" | "warn" | "live" | "plain" } {
  switch (status) {
    case RunStatus.SUCCEEDED: return { word: "exit 0", tone: "ok" };
    case RunStatus.NONZERO_EXIT: return { word: `exit ${exitCode}`, tone: "err" };
    case RunStatus.SIGNALED: return { word: m.run_signaled(), tone: "err" };
    case RunStatus.TIMEOUT: return { word: m.run_timeout(), tone: "warn" };
    case RunStatus.OUT_OF_MEMORY: return { word: m.run_memory(), tone: "warn" };
    case RunStatus.TRAPPED: return { word: m.run_trapped(), tone: "err" };
    case RunStatus.CANCELLED: return { word: m.run_cancelled(), tone: "plain" };
    case RunStatus.FAILED: return { word: m.run_failed(), tone: "err" };
    default: return { word: m.run_running(), tone: "live" };
  }
}
