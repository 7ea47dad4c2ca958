// The test double's services: the real contract over data in memory, with the errors that the Studio must show.
import { isUtf8 } from "node:buffer";
import { spawn } from "node:child_process";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { ApiKeySchema, AuthService, Role, UserSchema, type User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { Level, LogService, type LogEntry, type LogFilter } from "../../src/gen/devstudio/auth/v1/log_pb.ts";
import { BillingService, BudgetSchema, GroupBy, Kind, Scope, UsageRowSchema, UsageStatus, UsageSumSchema, type UsageRow } from "../../src/gen/devstudio/billing/v1/billing_pb.ts";
import { JobKind, JobSchema, JobState, LlmService, ModelState, WatchStatsResponseSchema } from "../../src/gen/devstudio/llm/v1/llm_pb.ts";
import { EngineSchema, Isolation, OutputStream, RunExecResponseSchema, RunStatus, SandboxService, type RunExecRequest, type StreamExecResponseSchema } from "../../src/gen/devstudio/sandbox/v1/run_pb.ts";
import { jobs, line, models, newRun, people, runs, sampleLog, sampleUsage } from "./data.ts";
import { fault } from "./fault.ts";
import { spaceOf } from "./space.ts";
import { openPorts, portsIn, terminalRoutes } from "./terminals.ts";
import { workspaceRoutes } from "./workspaces.ts";

export const state = { usage: sampleUsage(), log: sampleLog(), listeners: new Set<(entry: LogEntry) => void>(), tickets: new Map<string, string>(), refresh: new Map<string, string>(), budget: "ok" as "ok" | "spent", previews: true, tries: 0, lifetimeMs: 900_000 };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function log(level: Level, service: string, text: string, fields: Record<string, string> = {}, trace = ""): void {
  const entry = line(level, service, text, fields, trace);
  state.log.push(entry);
  for (const listener of state.listeners) listener(entry);
}

export function userOf(token: string): User | undefined {
  const [kind, userId] = token.split(".");
  return kind === "access" ? people.users.find((u) => u.userId === userId && !u.disabledAt) : undefined;
}
export function callerOf(ctx: HandlerContext, admin = false): User {
  const header = ctx.requestHeader.get("authorization") ?? "";
  if (!header) throw fault(Code.Unauthenticated, "TOKEN_MISSING", "no token");
  const user = userOf(header.replace(/^Bearer /, ""));
  if (!user) throw fault(Code.Unauthenticated, "TOKEN_INVALID", "bad token");
  if (admin && user.role !== Role.ADMIN) throw fault(Code.PermissionDenied, "ROLE_REQUIRED", "admins only");
  return user;
}
const traceOf = (ctx: HandlerContext) => (ctx.requestHeader.get("traceparent") ?? "").split("-")[1] ?? "";

function session(user: User) {
  return { accessToken: `access.${user.userId}.${Date.now()}`, expiresAt: timestampFromMs(Date.now() + state.lifetimeMs), user };
}
function remember(ctx: HandlerContext, user: User): void {
  const token = randomUUID();
  state.refresh.set(token, user.userId);
  ctx.responseHeader.set("set-cookie", `devstudio_refresh=${token}; HttpOnly; SameSite=Strict; Path=/`);
}
const cookieOf = (ctx: HandlerContext) => /devstudio_refresh=([^;]+)/.exec(ctx.requestHeader.get("cookie") ?? "")?.[1] ?? "";

function budgetOf(userId: string) {
  const used = state.usage.filter((row) => row.userId === userId).reduce((sum, row) => sum + BigInt(row.promptTokens + row.completionTokens), 0n);
  const limit = people.limits.get(userId);
  const granted = people.granted.get(userId) ?? 0n;
  const now = new Date();
  return create(BudgetSchema, { scope: Scope.USER, subjectId: userId, granted, used, reserved: 0n, resetsAt: timestampFromMs(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)), ...(limit === undefined ? {} : { monthlyLimit: limit, remaining: limit + granted > used ? limit + granted - used : 0n }) });
}

export function matches(entry: LogEntry, filter: Partial<LogFilter> | undefined): boolean {
  if (!filter) return true;
  if (filter.minLevel && entry.level < filter.minLevel) return false;
  if (filter.services?.length && !filter.services.includes(entry.service)) return false;
  if (filter.traceId && entry.traceId !== filter.traceId) return false;
  return !filter.text || `${entry.message} ${Object.values(entry.fields).join(" ")}`.toLowerCase().includes(filter.text.toLowerCase());
}

const answers = {
  code: "Here is a small function, and a call that prints the result:\n\n```python\ndef is_even(n: int) -> bool:\n    \"\"\"Tells whether n is even.\"\"\"\n    return n % 2 == 0\n\n\nif __name__ == \"__main__\":\n    for n in range(1, 6):\n        print(n, is_even(n))\n```\n\n`is_even` uses the **remainder**:\n\n- `0` means even\n- everything else is odd\n\n| n | result |\n|---|---|\n| 1 | False |\n| 2 | True |\n",
  talk: "A sandbox is a place in which a program runs apart from everything else. It sees only the files it was given, has no network, and is stopped at its limits. What it writes is looked at before it is kept.\n",
};

async function* execute(user: User, exec: RunExecRequest, signal: AbortSignal, trace: string): AsyncGenerator<MessageInitShape<typeof StreamExecResponseSchema>> {
  const execId = randomUUID();
  const isolation = exec.engine === "run" ? Isolation.PROCESS : exec.engine === "wasm" ? Isolation.WASM : Isolation.GVISOR;
  const dir = await mkdtemp(join(tmpdir(), "double-"));
  const entry = { owner: user.userId, run: newRun({ execId, engine: exec.engine, runtime: exec.runtime, title: exec.path || (exec.code.trim().split("\n")[0] ?? ""), isolation, startedAt: timestampNow(), request: exec }) } as (typeof runs)[number];
  runs.unshift(entry);
  try {
    for (const [path, file] of spaceOf(user, exec.workspaceId).files) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), file.data ?? file.text ?? "");
    }
    const started = Date.now();
    let seq = 1n;
    yield { seq: seq++, event: { case: "started", value: { execId, isolation } } };
    log(Level.INFO, "sandbox", `run ${exec.path || "code"} started`, { exec_id: execId }, trace);
    const [program, flag] = ({ node: ["node", "-e"], bash: ["bash", "-c"], perl: ["perl", "-e"] } as Record<string, [string, string]>)[exec.runtime] ?? ["python3", "-c"];
    const command = exec.engine === "wasm" ? ["echo", "3"] : [program, ...(exec.path ? [exec.path] : [flag, exec.code]), ...exec.args];
    const child = spawn(command[0] ?? "true", command.slice(1), { cwd: dir, env: { PATH: process.env["PATH"] ?? "", PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1", ...exec.env } });
    child.stdin.on("error", () => undefined).write(exec.stdin);
    if (exec.keepStdinOpen) inputs.set(execId, { owner: user.userId, stdin: child.stdin });
    else child.stdin.end();
    const queue: { stream: OutputStream.STDOUT | OutputStream.STDERR; data: Uint8Array }[] = [];
    let wake = () => {};
    let code: number | null | undefined;
    const push = (stream: OutputStream.STDOUT | OutputStream.STDERR) => (data: Buffer) => { queue.push({ stream, data: new Uint8Array(data) }); wake(); };
    child.stdout.on("data", push(OutputStream.STDOUT));
    child.stderr.on("data", push(OutputStream.STDERR));
    child.on("close", (c) => { code = c; wake(); });
    child.on("error", () => { code = 127; wake(); });
    const limit = exec.timeoutMs || 10_000;
    let timeout = false;
    const timer = setTimeout(() => { timeout = true; child.kill("SIGKILL"); }, limit);
    running.set(execId, () => child.kill("SIGTERM"));
    signal.addEventListener("abort", () => child.kill("SIGKILL"));
    const all = { [OutputStream.STDOUT]: [] as Uint8Array[], [OutputStream.STDERR]: [] as Uint8Array[] };
    const tell = (level: Level, stream: string) => linesTo((text) => {
      for (const port of portsIn(text).opened) openPorts.set(execId, { owner: user.userId, port, workspaceId: spaceOf(user, exec.workspaceId).workspace.workspaceId, terminalId: "", execId });
      log(level, "sandbox", text, { exec_id: execId, stream }, trace);
    });
    const lines = { [OutputStream.STDOUT]: tell(Level.INFO, "stdout"), [OutputStream.STDERR]: tell(Level.WARN, "stderr") };
    while (code === undefined || queue.length > 0) {
      const next = queue.shift();
      if (!next) { await new Promise<void>((resolve) => { wake = resolve; if (code !== undefined || queue.length > 0) resolve(); }); continue; }
      all[next.stream].push(next.data);
      lines[next.stream].take(next.data);
      yield { seq: seq++, event: { case: "output", value: { stream: next.stream, data: next.data, atMs: Date.now() - started } } };
    }
    lines[OutputStream.STDOUT].end();
    lines[OutputStream.STDERR].end();
    clearTimeout(timer);
    const status = timeout ? RunStatus.TIMEOUT : code === 0 ? RunStatus.SUCCEEDED : code === null ? RunStatus.CANCELLED : RunStatus.NONZERO_EXIT;
    const wallMs = Date.now() - started;
    const [out, err] = [textOrBytes(all[OutputStream.STDOUT]), textOrBytes(all[OutputStream.STDERR])];
    const result = create(RunExecResponseSchema, { execId, exitCode: code ?? -1, stdout: out.text, stdoutData: out.data, stderr: err.text, stderrData: err.data, status, isolation, wallMs, cpuMs: Math.round(wallMs * 0.6), maxRssBytes: 14_680_064n, facts: { layers: ["userns", "mount", "pid", "net", "seccomp", "landlock-7"], limits: { memory: "cgroup", pids: "cgroup", cpu: "cgroup", disk: "overlay" } }, changedPaths: exec.path.includes("colors") ? ["out/colors.txt"] : [], rejectedPaths: exec.path.includes("colors") ? { "/etc/passwd": "outside the workspace" } : {} });
    Object.assign(entry.run, { status, exitCode: code ?? -1, wallMs });
    entry.result = result;
    log(code === 0 ? Level.INFO : Level.WARN, "sandbox", `run ended: ${RunStatus[status]} after ${wallMs} ms`, { exec_id: execId }, trace);
    yield { seq: seq++, event: { case: "result", value: result } };
  } finally {
    running.delete(execId);
    inputs.delete(execId);
    openPorts.delete(execId);
    await rm(dir, { recursive: true, force: true });
  }
}
const running = new Map<string, () => void>();
const inputs = new Map<string, { owner: string; stdin: Writable }>();

export async function* stats(signal: AbortSignal) {
  for (let i = 0; !signal.aborted; i += 1) {
    const busy = i % 20 > 8;
    yield create(WatchStatsResponseSchema, { rssBytes: BigInt(420_000_000 + (i % 7) * 3_000_000), heapBytes: 60_000_000n, cpuPercent: busy ? 86 + (i % 5) : 4 + (i % 3), activeRequests: busy ? 1 : 0, queuedRequests: i % 20 > 15 ? 1 : 0, tokensPerSecond: busy ? 36 + (i % 6) : 0 });
    await sleep(1_000);
  }
}
export async function* job(jobId: string, signal: AbortSignal) {
  const found = jobs.find((j) => j.jobId === jobId);
  if (!found) throw fault(Code.NotFound, "NOT_FOUND", "no such job");
  while (!signal.aborted) {
    if (found.state === JobState.RUNNING && found.kind === JobKind.DOWNLOAD) {
      found.progress = Math.min(1, found.progress + 0.004);
      found.doneBytes = BigInt(Math.floor(found.progress * Number(found.totalBytes)));
    }
    yield { job: found };
    if (found.state !== JobState.RUNNING) return;
    await sleep(400);
  }
}

export function routes(router: ConnectRouter): void {
  router.service(AuthService, {
    async login(request, ctx) {
      await sleep(120);
      const user = people.users.find((u) => u.email === request.email.toLowerCase());
      if (request.email.startsWith("throttle")) throw fault(Code.ResourceExhausted, "RATE_LIMITED", "too many", { retry_after_ms: "12000" }, 12_000);
      if (!user || people.password.get(user.email) !== request.password) throw fault(Code.Unauthenticated, "CREDENTIALS_INVALID", "wrong");
      if (user.disabledAt) throw fault(Code.PermissionDenied, "USER_DISABLED", "blocked");
      remember(ctx, user);
      log(Level.INFO, "auth", `signed in: ${user.email}`);
      return session(user);
    },
    refresh(_request, ctx) {
      const user = people.users.find((u) => u.userId === state.refresh.get(cookieOf(ctx)) && !u.disabledAt);
      if (!user) throw fault(Code.Unauthenticated, "TOKEN_MISSING", "no cookie");
      remember(ctx, user);
      return session(user);
    },
    logout(_request, ctx) {
      state.refresh.delete(cookieOf(ctx));
      ctx.responseHeader.set("set-cookie", "devstudio_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
      return {};
    },
    getMe: (_request, ctx) => ({ user: callerOf(ctx) }),
    changePassword(request, ctx) {
      const user = callerOf(ctx);
      if (people.password.get(user.email) !== request.currentPassword) throw fault(Code.Unauthenticated, "CREDENTIALS_INVALID", "wrong");
      if (request.newPassword.length < 8) throw fault(Code.InvalidArgument, "PASSWORD_LENGTH", "short");
      people.password.set(user.email, request.newPassword);
      return {};
    },
    createUser(request, ctx) {
      callerOf(ctx, true);
      if (people.users.some((u) => u.email === request.email)) throw fault(Code.AlreadyExists, "ALREADY_EXISTS", "exists");
      const user = create(UserSchema, { userId: randomUUID(), email: request.email, displayName: request.displayName, role: request.role || Role.DEV, createdAt: timestampNow() });
      people.users.push(user);
      people.password.set(user.email, request.password);
      people.limits.set(user.userId, 500_000n);
      return { user };
    },
    listUsers(request, ctx) {
      callerOf(ctx, true);
      const users = people.users.filter((u) => `${u.email} ${u.displayName}`.toLowerCase().includes(request.query.toLowerCase()));
      return { users, total: users.length };
    },
    updateUser(request, ctx) {
      callerOf(ctx, true);
      const user = people.users.find((u) => u.userId === request.userId);
      if (!user) throw fault(Code.NotFound, "NOT_FOUND", "no such user");
      if (request.role !== undefined) user.role = request.role;
      if (request.disabled === true) user.disabledAt = timestampNow();
      if (request.disabled === false) delete user.disabledAt;
      if (request.password) people.password.set(user.email, request.password);
      return { user };
    },
    createApiKey(request, ctx) {
      const user = callerOf(ctx);
      if (people.keys.some((k) => k.userId === (request.userId || user.userId) && k.name === request.name)) throw fault(Code.AlreadyExists, "ALREADY_EXISTS", "exists");
      const apiKey = create(ApiKeySchema, { keyId: randomUUID(), userId: request.userId || user.userId, name: request.name, prefix: `dsk_${randomUUID().slice(0, 8)}`, lastFour: "aB3x", createdAt: timestampNow(), ...(request.expiresAt ? { expiresAt: request.expiresAt } : {}) });
      people.keys.unshift(apiKey);
      return { key: `${apiKey.prefix}_${randomUUID().replaceAll("-", "")}aB3x`, apiKey };
    },
    listApiKeys: (request, ctx) => ({ apiKeys: people.keys.filter((k) => k.userId === (request.userId || callerOf(ctx).userId)) }),
    revokeApiKey(request, ctx) {
      callerOf(ctx);
      const apiKey = people.keys.find((k) => k.keyId === request.keyId);
      if (!apiKey) throw fault(Code.NotFound, "NOT_FOUND", "no such key");
      apiKey.revokedAt = timestampNow();
      return { apiKey };
    },
    createTicket(_request, ctx) {
      const ticket = randomUUID();
      state.tickets.set(ticket, callerOf(ctx).userId);
      return { ticket, expiresAt: timestampFromMs(Date.now() + 30_000) };
    },
  });
  router.service(LogService, { listLogs: (request, ctx) => (callerOf(ctx), { entries: state.log.filter((e) => matches(e, request.filter) && (request.beforeSeq === 0n || e.seq < request.beforeSeq)).slice(-(request.pageSize || 200)).toReversed() }) });
  terminalRoutes(router, callerOf);
  workspaceRoutes(router, callerOf, (text, ctx) => log(Level.INFO, "sandbox", text, {}, traceOf(ctx)));
  router.service(SandboxService, {
    async *streamExec(request, ctx) {
      if (!request.exec) throw fault(Code.InvalidArgument, "SCHEMA_VIOLATION", "exec is required");
      yield* execute(callerOf(ctx), request.exec, ctx.signal, traceOf(ctx));
    },
    writeInput(request, ctx) {
      const input = inputs.get(request.execId);
      if (!input || input.owner !== callerOf(ctx).userId) throw fault(Code.NotFound, "NOT_FOUND", "no such run");
      if (input.stdin.writableEnded) throw fault(Code.FailedPrecondition, "STATE_CONFLICT", "its input is closed");
      input.stdin.write(Buffer.concat([request.data, Buffer.from(request.text)]));
      if (request.close) input.stdin.end();
      return {};
    },
    cancelRun(request) { running.get(request.execId)?.(); return {}; },
    getRun(request, ctx) {
      const found = runs.find((r) => r.run.execId === request.execId && r.owner === callerOf(ctx).userId);
      if (!found) throw fault(Code.NotFound, "NOT_FOUND", "no such run");
      return found.result ? { run: found.run, result: found.result } : { run: found.run };
    },
    listRuns: (_request, ctx) => ({ runs: runs.filter((r) => r.owner === callerOf(ctx).userId).map((r) => r.run) }),
    listEngines(_request, ctx) {
      callerOf(ctx);
      const facts = { layers: ["userns", "mount", "pid", "net", "seccomp", "landlock-7"], limits: { memory: "cgroup", pids: "cgroup", cpu: "cgroup", disk: "overlay" } };
      const engines: MessageInitShape<typeof EngineSchema>[] = [
        { engine: "fs", available: true, isolation: Isolation.PROCESS, provider: "Landlock", facts },
        { engine: "run", available: true, isolation: Isolation.PROCESS, runtimes: { python: "3.11.2", node: "20.20.2", bash: "5.2.15", perl: "5.36.0" }, provider: "Linux namespaces", facts },
        { engine: "wasm", available: true, isolation: Isolation.WASM, runtimes: { wasi: "preview1" }, provider: "Wasmer 7.4", facts },
        { engine: "micro:python", available: true, isolation: Isolation.GVISOR, runtimes: { python: "3.11.2" }, provider: "gVisor release-20221202", facts },
        { engine: "micro:node", available: false, isolation: Isolation.HARDWARE_VM, provider: "microsandbox 0.7.11", remedy: "The processor shows neither svm nor vmx. Use a machine with virtualisation." },
      ];
      return { engines: engines.map((engine) => create(EngineSchema, engine)) };
    },
  });
  router.service(BillingService, {
    getBudget: (request, ctx) => ({ budgets: [budgetOf(request.userId || callerOf(ctx).userId)] }),
    setLimit(request, ctx) { callerOf(ctx, true); people.limits.set(request.subjectId, request.monthlyLimit); return { budget: budgetOf(request.subjectId) }; },
    grantTokens(request, ctx) { callerOf(ctx, true); people.granted.set(request.userId, (people.granted.get(request.userId) ?? 0n) + request.tokens); return { budget: budgetOf(request.userId) }; },
    getUsage(request, ctx) {
      const me = callerOf(ctx, request.everyone);
      const from = Number(request.from?.seconds ?? 0n);
      const rows = state.usage.filter((r) => (request.everyone || r.userId === (request.userId || me.userId)) && Number(r.createdAt?.seconds ?? 0n) >= from);
      const key = (r: UsageRow) => (request.groupBy === GroupBy.DAY ? new Date(Number(r.createdAt?.seconds ?? 0n) * 1000).toISOString().slice(0, 10) : request.groupBy === GroupBy.MODEL ? r.modelId : request.groupBy === GroupBy.USER ? r.userId : "");
      const sum = (group: string, of: UsageRow[]) => create(UsageSumSchema, { group, requests: BigInt(of.length), promptTokens: BigInt(of.reduce((s, r) => s + r.promptTokens, 0)), completionTokens: BigInt(of.reduce((s, r) => s + r.completionTokens, 0)), cachedTokens: BigInt(of.reduce((s, r) => s + r.cachedTokens, 0)), totalMs: BigInt(of.reduce((s, r) => s + r.totalMs, 0)) });
      return { total: sum("", rows), groups: [...groupOf(rows, key)].map(([group, of]) => sum(group, of)) };
    },
    listUsage(request, ctx) {
      const me = callerOf(ctx, request.everyone);
      const rows = state.usage.filter((r) => request.everyone || r.userId === me.userId).toReversed();
      const at = Number(request.pageToken || 0);
      const size = request.pageSize || 50;
      return { rows: rows.slice(at, at + size), nextPageToken: at + size < rows.length ? String(at + size) : "" };
    },
  });
  router.service(LlmService, {
    async *chat(request, ctx) {
      const me = callerOf(ctx);
      const model = models.find((m) => m.modelId === request.model) ?? models[0];
      const last = request.messages.at(-1)?.content ?? "";
      if (model && model.state !== ModelState.LOADED) throw fault(Code.FailedPrecondition, "MODEL_NOT_LOADED", "not loaded", { model: model.name });
      if (state.budget === "spent" || /budget/i.test(last)) throw fault(Code.ResourceExhausted, "TOKEN_BUDGET_EXCEEDED", "spent", { scope: "user", limit: "500000", used: "500000", resets_at: new Date(Date.now() + 7e8).toISOString() });
      const requestId = randomUUID();
      const started = Date.now();
      const text = /sandbox|sentence|satz|sätze/i.test(last) ? answers.talk : answers.code;
      const pieces = text.match(/\s*\S+\s?|\s+/g) ?? [];
      const promptTokens = 24 + Math.ceil(request.messages.reduce((s, m) => s + m.content.length, 0) / 4);
      let sent = "";
      let seq = 1n;
      let n = 0;
      await sleep(200);
      try {
        for (const delta of pieces) {
          if (ctx.signal.aborted) break;
          sent += delta;
          n += 1;
          yield { seq: seq++, delta, usage: { promptTokens, completionTokens: n, cachedTokens: 0 }, requestId, model: model?.modelId ?? "" };
          await sleep(18);
        }
        const totalMs = Date.now() - started;
        yield { seq: seq++, text: sent, finishReason: "stop", usage: { promptTokens, completionTokens: n, cachedTokens: 18 }, requestId, model: model?.modelId ?? "", timings: { ttftMs: 200, totalMs, queuedMs: 0, tokensPerSecond: (n / totalMs) * 1000 } };
      } finally {
        state.usage.push(create(UsageRowSchema, { requestId, userId: me.userId, modelId: model?.modelId ?? "", kind: Kind.CHAT, promptTokens, completionTokens: n, cachedTokens: 18, status: ctx.signal.aborted ? UsageStatus.CANCELLED : UsageStatus.OK, createdAt: timestampNow(), totalMs: Date.now() - started }));
        log(Level.INFO, "llm", `answer done: ${n} tokens`, { request_id: requestId }, traceOf(ctx));
        log(Level.INFO, "billing", `settled ${n + promptTokens} tokens`, { request_id: requestId }, traceOf(ctx));
      }
    },
    listModels: (_request, ctx) => (callerOf(ctx), { models }),
    listJobs: (_request, ctx) => (callerOf(ctx, true), { jobs }),
    downloadModel: (request, ctx) => (callerOf(ctx, true), begin(request.model, JobKind.DOWNLOAD, ModelState.DOWNLOADING)),
    loadModel: (request, ctx) => (callerOf(ctx, true), begin(request.model, JobKind.LOAD, ModelState.LOADING, ModelState.LOADED)),
    unloadModel: (request, ctx) => (callerOf(ctx, true), begin(request.model, JobKind.UNLOAD, ModelState.UNLOADING, ModelState.DOWNLOADED)),
    cancelJob(request, ctx) {
      callerOf(ctx, true);
      const found = jobs.find((j) => j.jobId === request.jobId);
      if (!found) throw fault(Code.NotFound, "NOT_FOUND", "no such job");
      found.state = JobState.CANCELLED;
      const model = models.find((m) => m.modelId === found.modelId);
      if (model) model.state = ModelState.AVAILABLE;
      return { job: found };
    },
  });
}

/** Tells lines when they are complete, as the server's log does: a program may write one in many pieces. */
function linesTo(tell: (line: string) => void): { take: (piece: Uint8Array) => void; end: () => void } {
  const decoder = new TextDecoder();
  let rest = "";
  const flush = (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tell(line);
  };
  return {
    take: (piece) => flush(decoder.decode(piece, { stream: true })),
    end: () => { flush(decoder.decode()); if (rest) tell(rest); },
  };
}

/** An output as the server tells it: text where it is UTF-8, else bytes. */
function textOrBytes(pieces: Uint8Array[]): { text: string; data: Uint8Array } {
  const all = Buffer.concat(pieces);
  return isUtf8(all) ? { text: all.toString(), data: new Uint8Array() } : { text: "", data: new Uint8Array(all) };
}

function groupOf(rows: UsageRow[], key: (row: UsageRow) => string): Map<string, UsageRow[]> {
  const out = new Map<string, UsageRow[]>();
  for (const row of rows) out.set(key(row), [...(out.get(key(row)) ?? []), row]);
  return out;
}

function begin(modelId: string, kind: JobKind, during: ModelState, after?: ModelState) {
  const model = models.find((m) => m.modelId === modelId);
  if (!model) throw fault(Code.NotFound, "MODEL_UNKNOWN", "no such model", { model: modelId });
  const job = create(JobSchema, { jobId: randomUUID(), kind, modelId, state: JobState.RUNNING, totalBytes: model.sizeBytes, bytesPerSecond: 9_000_000n, startedAt: timestampNow() });
  jobs.unshift(job);
  model.state = during;
  if (after !== undefined) setTimeout(() => { job.state = JobState.SUCCEEDED; job.progress = 1; model.state = after; }, 1_500);
  return { jobId: job.jobId, state: job.state };
}
