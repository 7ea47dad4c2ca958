// The double's terminals: real shells on real terminals in a folder that stands for the workspace, the ring, the flow,
// and the ports that programs in them open.
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { WebSocket } from "ws";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { Isolation, RunStatus } from "../../src/gen/devstudio/sandbox/v1/run_pb.ts";
import { AttachTerminalResponseSchema, PortSchema, PortService, TerminalSchema, TerminalService, TerminalState, type Terminal } from "../../src/gen/devstudio/sandbox/v1/terminal_pb.ts";
import { fault } from "./fault.ts";
import { edgeJson } from "./json.ts";
import { spaceOf, store, type Space } from "./space.ts";

const RING = 1_048_576;
const PIECE = 32_768;
const LIMIT = 524_288;
const PROMPT = "\\[\\e[1;32m\\]dev\\[\\e[0m\\]@\\[\\e[35m\\]studio\\[\\e[0m\\] \\[\\e[36m\\]~/work\\[\\e[0m\\] ❯ ";
const helper = fileURLToPath(new URL("shell.py", import.meta.url));

interface Reader { ws: WebSocket; sent: number; shown: number; window: number }
interface Live { owner: string; info: Terminal; child: ChildProcess; dir: string; ring: Buffer; total: number; readers: Set<Reader>; throttled: boolean; calm?: ReturnType<typeof setTimeout>; sync?: ReturnType<typeof setInterval>; ports: number[] }

const all = new Map<string, Live>();
/** Ports that are open, by what opened them. */
export const openPorts = new Map<string, { owner: string; port: number; workspaceId: string; terminalId: string; execId: string }>();
const previews = new Map<string, { owner: string; port: number; cookie: string }>();

const say = (live: Live, event: Parameters<typeof create<typeof AttachTerminalResponseSchema>>[1], only?: Reader) => {
  const text = JSON.stringify(edgeJson(AttachTerminalResponseSchema, create(AttachTerminalResponseSchema, event)));
  for (const reader of only ? [only] : live.readers) reader.ws.send(text);
};
const keptFrom = (live: Live) => live.total - live.ring.length;

/** Notes what a program says of the ports it listens on. */
export function portsIn(text: string): { opened: number[]; closed: boolean } {
  return { opened: [...text.matchAll(/Serving HTTP on \S+ port (\d+)/g)].map((found) => Number(found[1])), closed: /Keyboard interrupt received/.test(text) };
}

function start(owner: string, space: Space, columns: number, rows: number, title: string): Live {
  const dir = mkdtempSync(join(tmpdir(), "double-terminal-"));
  for (const [path, file] of space.files) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), file.data ?? file.text ?? "");
  }
  const env = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? dir, TERM: "xterm-256color", LANG: "C.UTF-8", PYTHONUNBUFFERED: "1" };
  const child = spawn("python3", [helper, String(columns || 80), String(rows || 24), "env", `PS1=${PROMPT}`, "bash", "--noprofile", "--norc", "-i"], { cwd: dir, env, stdio: ["pipe", "pipe", "inherit", "pipe", "pipe"] });
  const info = create(TerminalSchema, { terminalId: randomUUID(), workspaceId: space.workspace.workspaceId, title: title || "bash", program: "bash", state: TerminalState.RUNNING, openedAt: timestampNow(), columns: columns || 80, rows: rows || 24, isolation: Isolation.PROCESS, facts: { layers: ["userns", "mount", "pid", "net", "seccomp", "landlock-7"], limits: { memory: "cgroup", pids: "cgroup", disk: "overlay" } }, ringBytes: BigInt(RING) });
  const live: Live = { owner, info, child, dir, ring: Buffer.alloc(0), total: 0, readers: new Set(), throttled: false, ports: [] };
  all.set(info.terminalId, live);
  for (const stream of child.stdio) stream?.on("error", () => undefined);
  child.stdout?.on("data", (data: Buffer) => take(live, data));
  let told = "";
  (child.stdio[4] as Readable).on("data", (data) => { told += String(data); });
  child.on("close", () => ended(live, told));
  const seen = new Map<string, string>();
  const look = (): string[] => walk(dir).filter((path) => {
    const stat = statSync(join(dir, path), { throwIfNoEntry: false });
    if (!stat) return false;
    const shape = `${stat.mtimeMs} ${stat.size}`;
    return seen.get(path) !== shape && seen.set(path, shape);
  });
  look();
  live.sync = setInterval(() => synced(live, space, look()), 300);
  return live;
}

function walk(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1)).filter((path) => !path.startsWith("."));
}

function synced(live: Live, space: Space, paths: string[]): void {
  if (paths.length === 0) return;
  const rejectedPaths: Record<string, string> = {};
  const changedPaths = paths.filter((path) => {
    const data = readFileSync(join(live.dir, path));
    if (data.length > LIMIT) {
      rejectedPaths[path] = `has ${Math.round(data.length / 1024)} KiB, the limit is 512 KiB`;
      return false;
    }
    store(space, path, { text: data.toString("utf8") });
    return true;
  });
  say(live, { event: { case: "synced", value: { changedPaths, rejectedPaths } } });
}

function take(live: Live, data: Buffer): void {
  live.ring = Buffer.concat([live.ring, data]);
  if (live.ring.length > RING) live.ring = live.ring.subarray(live.ring.length - RING);
  live.total += data.length;
  const { opened, closed } = portsIn(data.toString("latin1"));
  if (opened.length > 0 || (closed && live.ports.length > 0)) {
    live.ports = closed ? [] : [...new Set([...live.ports, ...opened])];
    for (const [key, open] of openPorts) if (open.terminalId === live.info.terminalId) openPorts.delete(key);
    for (const port of live.ports) openPorts.set(`${live.info.terminalId} ${port}`, { owner: live.owner, port, workspaceId: live.info.workspaceId, terminalId: live.info.terminalId, execId: "" });
    say(live, { event: { case: "ports", value: { ports: live.ports } } });
  }
  flow(live);
}

/** Sends what the readers have room for; the program waits for the slowest. */
function flow(live: Live): void {
  let full = false;
  for (const reader of live.readers) {
    while (reader.sent < live.total && reader.sent - reader.shown < reader.window) {
      const from = Math.max(reader.sent, keptFrom(live));
      const data = live.ring.subarray(from - keptFrom(live), from - keptFrom(live) + Math.min(PIECE, reader.window - (reader.sent - reader.shown)));
      const frame = Buffer.alloc(8 + data.length);
      frame.writeBigUInt64BE(BigInt(from));
      data.copy(frame, 8);
      reader.ws.send(frame);
      reader.sent = from + data.length;
    }
    full ||= reader.sent < live.total;
  }
  if (!full) return void live.child.stdout?.resume();
  live.child.stdout?.pause();
  if (!live.throttled) {
    live.throttled = true;
    say(live, { event: { case: "throttled", value: true } });
  }
  clearTimeout(live.calm);
  live.calm = setTimeout(() => {
    live.throttled = false;
    say(live, { event: { case: "throttled", value: false } });
  }, 700);
}

function ended(live: Live, told: string): void {
  clearInterval(live.sync);
  clearTimeout(live.calm);
  const { code, signal } = told ? (JSON.parse(told) as { code: number; signal: number }) : { code: -1, signal: 9 };
  live.info.state = TerminalState.ENDED;
  live.info.end = { $typeName: "devstudio.sandbox.v1.TerminalEnd", exitCode: code, signal, status: signal > 0 ? RunStatus.SIGNALED : code === 0 ? RunStatus.SUCCEEDED : RunStatus.NONZERO_EXIT };
  for (const [key, open] of openPorts) if (open.terminalId === live.info.terminalId) openPorts.delete(key);
  rmSync(live.dir, { recursive: true, force: true });
  for (const reader of live.readers) finish(live, reader);
}
function finish(live: Live, reader: Reader): void {
  if (live.info.end) say(live, { event: { case: "end", value: live.info.end } }, reader);
  reader.ws.close();
}

/** Ends every shell. */
export function closeTerminals(): void {
  for (const live of all.values()) live.child.kill("SIGKILL");
  all.clear();
}

/** Attaches a browser. */
export function attach(ws: WebSocket, user: User, terminalId: string, params: URLSearchParams): void {
  const live = all.get(terminalId);
  if (!live || live.owner !== user.userId) {
    ws.send(JSON.stringify({ error: { code: -32004, message: "no such terminal", data: { reason: "NOT_FOUND", http_status: 404, request_id: randomUUID(), details: {} } } }));
    return ws.close();
  }
  const after = Number(params.get("after") ?? 0);
  const offset = Math.max(after, keptFrom(live));
  const reader: Reader = { ws, sent: offset, shown: offset, window: Number(params.get("window") ?? 0) || Number.POSITIVE_INFINITY };
  live.readers.add(reader);
  resize(live, Number(params.get("columns") ?? 0), Number(params.get("rows") ?? 0));
  say(live, { event: { case: "attached", value: { terminal: current(live), offset: BigInt(offset), lostBytes: BigInt(after > 0 ? offset - after : 0) } } }, reader);
  if (live.ports.length > 0) say(live, { event: { case: "ports", value: { ports: live.ports } } }, reader);
  ws.on("close", () => { live.readers.delete(reader); flow(live); });
  ws.on("message", (data, binary) => {
    if (binary) return void live.child.stdin?.write(data as Buffer);
    const event = JSON.parse(String(data)) as { resize?: { columns: number; rows: number }; shownOffset?: string };
    if (event.resize) resize(live, event.resize.columns, event.resize.rows);
    if (event.shownOffset) {
      reader.shown = Number(event.shownOffset);
      flow(live);
    }
  });
  flow(live);
  if (live.info.end) finish(live, reader);
}

function resize(live: Live, columns: number, rows: number): void {
  if (columns < 1 || rows < 1 || (live.info.columns === columns && live.info.rows === rows)) return;
  Object.assign(live.info, { columns, rows });
  (live.child.stdio[3] as Writable).write(`${columns} ${rows}\n`);
}
const current = (live: Live): Terminal => create(TerminalSchema, { ...live.info, attached: live.readers.size, outputBytes: BigInt(live.total), keptFrom: BigInt(keptFrom(live)), ...(live.readers.size === 0 && !live.info.end ? { endsAt: timestampFromMs(Date.now() + 1_800_000) } : {}) });

export function terminalRoutes(router: ConnectRouter, caller: (ctx: HandlerContext) => User): void {
  const own = (ctx: HandlerContext, terminalId: string): Live => {
    const live = all.get(terminalId);
    if (!live || live.owner !== caller(ctx).userId) throw fault(Code.NotFound, "NOT_FOUND", "no such terminal");
    return live;
  };
  router.service(TerminalService, {
    openTerminal(request, ctx) {
      const user = caller(ctx);
      if ([...all.values()].filter((live) => live.owner === user.userId && !live.info.end).length >= 8) throw fault(Code.ResourceExhausted, "QUOTA_EXCEEDED", "terminals", { limit: "8" });
      return { terminal: current(start(user.userId, spaceOf(user, request.workspaceId), request.columns, request.rows, request.title)) };
    },
    listTerminals: (request, ctx) => ({ terminals: [...all.values()].filter((live) => live.owner === caller(ctx).userId && (request.workspaceId === "" || live.info.workspaceId === request.workspaceId)).map(current) }),
    closeTerminal(request, ctx) {
      const live = own(ctx, request.terminalId);
      all.delete(request.terminalId);
      live.child.kill("SIGKILL");
      return {};
    },
  });
  router.service(PortService, {
    listPorts: (request, ctx) => ({ ports: [...openPorts.values()].filter((open) => open.owner === caller(ctx).userId && (request.workspaceId === "" || open.workspaceId === request.workspaceId)).map((open) => create(PortSchema, open)) }),
    openPort(request, ctx) {
      const user = caller(ctx);
      const { workspaceId } = spaceOf(user, request.workspaceId).workspace;
      const open = [...openPorts.values()].find((o) => o.owner === user.userId && o.workspaceId === workspaceId && o.port === request.port);
      if (!open) throw fault(Code.NotFound, "NOT_FOUND", "no program listens on it");
      const known = [...previews].find(([, preview]) => preview.owner === user.userId && preview.port === open.port)?.[0];
      const previewId = known ?? `p${randomUUID().replaceAll("-", "").slice(0, 20)}`;
      if (!known) previews.set(previewId, { owner: user.userId, port: open.port, cookie: "" });
      return { previewId, port: create(PortSchema, open) };
    },
  });
}

/** Serves a preview under its own host; false where the host is none. */
export function preview(request: IncomingMessage, response: ServerResponse, mayEnter: (ticket: string) => string | undefined): boolean {
  const found = previews.get((request.headers.host ?? "").split(".")[0] ?? "");
  if (!found) return false;
  const url = new URL(request.url ?? "/", "http://preview");
  if (url.pathname === "/.devstudio/enter") {
    if (mayEnter(url.searchParams.get("ticket") ?? "") !== found.owner) return response.writeHead(401).end("not yours"), true;
    found.cookie = randomUUID();
    response.writeHead(302, { location: "/", "set-cookie": `preview=${found.cookie}; HttpOnly; SameSite=Lax; Path=/` }).end();
    return true;
  }
  if (found.cookie === "" || !request.headers.cookie?.includes(`preview=${found.cookie}`)) return response.writeHead(401).end("not yours"), true;
  const passed = forward({ host: "127.0.0.1", port: found.port, path: request.url, method: request.method, headers: { ...request.headers, host: `localhost:${found.port}` } }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => { response.writeHead(502).end("the program refused the connection"); });
  request.pipe(passed);
  return true;
}
