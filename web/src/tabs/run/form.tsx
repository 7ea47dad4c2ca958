// What to run: engine with its true isolation, program, input, environment and limits.
import { useQuery } from "@connectrpc/connect-query";
import { Box, Cpu, Hexagon, Play, ShieldCheck, Square, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { create } from "zustand";
import { explain } from "../../api/errors";
import { SandboxService, type Engine, type RunExecRequest } from "../../gen/devstudio/sandbox/v1/run_pb";
import { EntryKind, WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { useCommands } from "../../lib/commands";
import { isolationName, runnerOf } from "../../lib/engines";
import { go } from "../../lib/nav";
import { here, usePlace } from "../../lib/place";
import { startRun, stopRun } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { Field, Input, Textarea } from "../../ui/field";
import { usePhone } from "../../ui/media";
import { Select } from "../../ui/select";
import { Segmented } from "../../ui/segmented";
import { Switch } from "../../ui/switch";
import { Waiting } from "../../ui/tag";

interface Form { engine: string; runtime: string; from: "code" | "file"; code: string; path: string; args: string; stdin: string; env: string; seconds: string; mebibytes: string; inputOpen: boolean }
const start: Form = { engine: "run", runtime: "python", from: "code", code: "", path: "", args: "", stdin: "", env: "", seconds: "10", mebibytes: "256", inputOpen: false };
export const useRunForm = create<Form>(() => start);

/** The form that a request came from. */
export function formOf(request: RunExecRequest): Form {
  return {
    engine: request.engine,
    runtime: request.runtime || "python",
    from: request.code ? "code" : "file",
    code: request.code,
    path: request.path,
    args: request.args.map((arg) => (/[\s"']/.test(arg) ? JSON.stringify(arg) : arg)).join(" "),
    stdin: request.stdin,
    env: Object.entries(request.env).map(([key, value]) => `${key}=${value}`).join("\n"),
    seconds: String((request.timeoutMs || 10_000) / 1000),
    mebibytes: String(Number(request.memoryBytes || 268_435_456n) / 1_048_576),
    inputOpen: request.keepStdinOpen,
  };
}

/** Cuts a line into arguments as a shell would: at spaces outside of quotes. */
export function argsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map((found) => (found[1] !== undefined ? found[1].replace(/\\(.)/g, "$1") : (found[2] ?? found[3] ?? "")));
}

function envOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split("\n").map((line) => line.trim()).filter((line) => /^[^=\s]+=/.test(line)).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

export function RunForm({ running }: { running: boolean }) {
  const form = useRunForm();
  const engines = useQuery(SandboxService.method.listEngines, {});
  const files = useQuery(WorkspaceService.method.listFiles, { workspaceId: usePlace() });
  const shown = (engines.data?.engines ?? []).filter((engine) => engine.engine !== "fs");
  const engine = shown.find((e) => e.engine === form.engine);
  const runtimes = Object.entries(engine?.runtimes ?? {});
  const runtime = runtimes.some(([name]) => name === form.runtime) ? form.runtime : (runtimes[0]?.[0] ?? form.runtime);
  const wasm = form.engine === "wasm";
  const paths = (files.data?.entries ?? []).filter((entry) => entry.kind === EntryKind.FILE && runs(entry.path, wasm, runtimes)).map((entry) => entry.path);
  const fromFile = wasm || form.from === "file";
  const ready = engine?.available === true && (fromFile ? form.path !== "" : form.code.trim() !== "");
  const set = (change: Partial<Form>) => useRunForm.setState(change);
  const run = () => {
    if (!ready) return;
    const title = fromFile ? form.path : (form.code.trim().split("\n")[0] ?? "");
    void startRun(
      {
        workspaceId: here(),
        engine: form.engine,
        runtime: form.engine === "run" ? runtime : "",
        ...(fromFile ? { path: form.path } : { code: form.code }),
        args: argsOf(form.args),
        stdin: form.stdin,
        env: envOf(form.env),
        timeoutMs: Math.round(limit(form.seconds, 10, 600) * 1000),
        keepStdinOpen: form.inputOpen && form.engine !== "wasm",
        memoryBytes: BigInt(Math.round(limit(form.mebibytes, 256, 4096))) * 1_048_576n,
      },
      title,
    );
    go("/run");
  };
  useCommands("run-form", [{ id: "start-run", title: m.run_start(), group: "run", icon: Play, keys: "Mod+Enter / F5", run }]);
  return (
    <section aria-label={m.run_new()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line px-3.5 phone-hidden"><h2 className="label">{m.run_new()}</h2></div>
      <div className="flex min-h-0 flex-1 flex-col gap-4 overflow-y-auto p-3.5">
        {engines.isPending && <Waiting rows={2} height={56} label={m.loading()} />}
        {engines.error && !engines.data && <FaultLine fault={explain(engines.error)}><Button small onClick={() => void engines.refetch()}>{m.try_again()}</Button></FaultLine>}
        {shown.length > 0 && (
          <fieldset>
            <legend className="label mb-1.5">{m.engine()}</legend>
            <div className="grid grid-cols-2 gap-2">{shown.map((e) => <Tile key={e.engine} engine={e} chosen={e.engine === form.engine} onChoose={() => set({ engine: e.engine, ...(e.engine === "wasm" ? { path: "" } : {}) })} />)}</div>
          </fieldset>
        )}
        {form.engine === "run" && runtimes.length > 0 && (
          <Field label={m.runtime()}>{(p) => <Select {...p} value={runtime} onChange={(next) => set({ runtime: next })} options={runtimes.map(([name, version]) => ({ value: name, label: `${name} ${version}` }))} />}</Field>
        )}
        {!wasm && <div><Segmented label={m.program()} value={form.from} onChange={(from) => set({ from })} options={[{ value: "code", label: m.run_code() }, { value: "file", label: m.run_from_file() }]} /></div>}
        {fromFile ? (
          <Field label={m.file()} hint={paths.length === 0 ? (wasm ? m.run_no_wasm() : m.run_no_files()) : undefined}>
            {(p) => <Select {...p} value={form.path} onChange={(path) => set({ path, ...(wasm ? {} : { runtime: runnerOf(path)?.runtime || runtime }) })} options={(form.path && !paths.includes(form.path) ? [form.path, ...paths] : paths).map((path) => ({ value: path, label: path }))} />}
          </Field>
        ) : (
          <Field label={m.run_code()}>{(p) => <Textarea {...p} mono rows={6} wrap="off" value={form.code} onChange={(event) => set({ code: event.target.value })} placeholder={examples[runtime] ?? ""} />}</Field>
        )}
        <More>
        <Field label={m.program_arguments()}>{(p) => <Input {...p} mono value={form.args} onChange={(event) => set({ args: event.target.value })} placeholder="--verbose 42" spellCheck={false} />}</Field>
        <Field label="stdin" aside={form.stdin === "" ? m.empty() : undefined}>{(p) => <Textarea {...p} mono rows={2} value={form.stdin} onChange={(event) => set({ stdin: event.target.value })} />}</Field>
        {!wasm && <Switch label={m.run_input_open()} about={m.run_input_open_about()} checked={form.inputOpen} onChange={(inputOpen) => set({ inputOpen })} />}
        <Field label={m.environment()} hint={m.environment_hint()}>{(p) => <Textarea {...p} mono rows={2} value={form.env} onChange={(event) => set({ env: event.target.value })} placeholder="TZ=Europe/Berlin" />}</Field>
        <div className="grid grid-cols-2 gap-3">
          <Field label={m.limit_time()}>{(p) => <Input {...p} mono type="number" inputMode="decimal" min={0.1} max={600} step="any" value={form.seconds} onChange={(event) => set({ seconds: event.target.value })} />}</Field>
          <Field label={m.limit_memory()}>{(p) => <Input {...p} mono type="number" inputMode="numeric" min={16} max={4096} step={16} value={form.mebibytes} onChange={(event) => set({ mebibytes: event.target.value })} />}</Field>
        </div>
        </More>
        {engine && <IsolationNote engine={engine} others={shown} />}
      </div>
      <div className="flex shrink-0 gap-2 border-t border-line px-3.5 py-3">
        {running
          ? <Button className="flex-1" icon={Square} onClick={() => void stopRun()}>{m.stop()}</Button>
          : <Button tone="primary" className="flex-1" icon={Play} disabled={!ready} onClick={run}>{m.run()}</Button>}
      </div>
    </section>
  );
}

/** What a program may begin with, by runtime. */
const examples: Record<string, string> = { python: 'print("OK")', node: 'console.log("OK")', bash: "echo OK", perl: 'print "OK\\n";', ruby: 'puts "OK"', lua: 'print("OK")', c: '#include <stdio.h>\nint main(void) { puts("OK"); }', "c++": '#include <iostream>\nint main() { std::cout << "OK\\n"; }', rust: 'fn main() { println!("OK"); }' };

/** A file that this engine can run here. */
function runs(path: string, wasm: boolean, runtimes: [string, string][]): boolean {
  const runner = runnerOf(path);
  if (wasm || runner?.engine === "wasm") return wasm && runner?.engine === "wasm";
  return runner !== null && (runtimes.length === 0 || runtimes.some(([name]) => name === runner.runtime));
}

/** On the phone what is rarely changed is folded away. */
function More({ children }: { children: ReactNode }) {
  const phone = usePhone();
  if (!phone) return children;
  return <details className="rounded-ctl border border-line-2"><summary className="flex min-h-10 items-center px-3 text-sm text-fg">{m.run_more()}</summary><div className="flex flex-col gap-4 px-3 pb-3">{children}</div></details>;
}

const icons: Record<string, LucideIcon> = { run: Cpu, wasm: Hexagon };

function Tile({ engine, chosen, onChoose }: { engine: Engine; chosen: boolean; onChoose: () => void }) {
  const Icon = icons[engine.engine] ?? Box;
  return (
    <button type="button" aria-pressed={chosen} disabled={!engine.available} title={engine.available ? engine.provider : engine.remedy} onClick={onChoose} className={cx("flex min-w-0 flex-col gap-1 rounded-ctl border px-2 py-2 text-left", chosen ? "border-signal bg-selected" : "border-line-2 bg-raised", engine.available ? "hover:bg-hover" : "cursor-not-allowed border-dashed bg-panel")}>
      <span className="flex items-center gap-1.5">
        <span className={cx("font-code truncate text-code", engine.available ? "font-medium text-fg" : "text-fg-3")}>{engine.engine}</span>
        <span role="img" aria-label={engine.available ? m.engine_ready() : m.engine_missing()} className={cx("ml-auto size-1.5 shrink-0 rounded-full", engine.available ? "bg-ok" : "border border-line-strong")} />
      </span>
      <span className="flex min-w-0 items-center gap-1.5 text-xs text-fg-3"><Icon size={14} strokeWidth={1.6} aria-hidden className={cx("shrink-0", chosen && "text-signal")} /><span className="truncate">{engine.available ? isolationName(engine.isolation) : m.engine_missing()}</span></span>
    </button>
  );
}

function IsolationNote({ engine, others }: { engine: Engine; others: Engine[] }) {
  const missing = others.filter((e) => !e.available);
  return (
    <div className="flex gap-2.5 rounded-ctl border border-line-2 bg-raised p-3 text-xs">
      <ShieldCheck size={16} strokeWidth={1.6} aria-hidden className="mt-px shrink-0 text-ok" />
      <div className="min-w-0">
        <p>{m.isolation_sentence({ isolation: isolationName(engine.isolation), provider: engine.provider })}</p>
        <details className="mt-1">
          <summary className="inline-block cursor-pointer list-none text-fg underline underline-offset-2 [&::-webkit-details-marker]:hidden">{m.why()}</summary>
          {engine.facts && engine.facts.layers.length > 0 && <p className="font-code mt-1.5 text-2xs break-words">{engine.facts.layers.join(" · ")}</p>}
          {engine.facts && <p className="font-code text-2xs break-words">{Object.entries(engine.facts.limits).map(([what, how]) => `${what}: ${how}`).join(" · ")}</p>}
          {missing.map((e) => <p key={e.engine} className="mt-1.5 break-words"><span className="font-code text-2xs text-fg">{e.engine}</span>: {e.remedy}</p>)}
        </details>
      </div>
    </div>
  );
}

function limit(text: string, otherwise: number, most: number): number {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? Math.min(value, most) : otherwise;
}
