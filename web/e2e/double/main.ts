// The test double of the server: the built Studio under the edge's CSP, the contract by gRPC-web, the watches by WebSocket.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { JsonValue } from "@bufbuild/protobuf";
import { ConnectError, createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler, type UniversalHandler } from "@connectrpc/connect/protocol";
import { WebSocketServer, type WebSocket } from "ws";
import { readEdgeJson } from "../../src/api/edgejson.ts";
import { LogFilterSchema, WatchLogsResponseSchema } from "../../src/gen/devstudio/auth/v1/log_pb.ts";
import { WatchJobResponseSchema, WatchStatsResponseSchema } from "../../src/gen/devstudio/llm/v1/llm_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { create } from "@bufbuild/protobuf";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { WatchTreeResponseSchema } from "../../src/gen/devstudio/sandbox/v1/workspace_pb.ts";
import { WatchTaskResponseSchema } from "../../src/gen/devstudio/agent/v1/agent_pb.ts";
import { agentRoutes, watchTask } from "./agents.ts";
import { id, people } from "./data.ts";
import { edgeJson } from "./json.ts";
import { spaceOf, watchSpace } from "./space.ts";
import { archiveRoutes, putUpload } from "./uploads.ts";
import { callerOf, job, matches, routes, state, stats, userOf } from "./services.ts";
import { attach, closeTerminals, preview } from "./terminals.ts";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const types: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json", ".ttf": "font/ttf" };

export interface Double { url: string; close: () => Promise<void>; sockets: Set<WebSocket> }

/** Starts the double on a port; 0 takes a free one. */
export async function startDouble(port = 0): Promise<Double> {
  const router = createConnectRouter({ connect: false, grpc: false, requireConnectProtocolHeader: false });
  routes(router);
  archiveRoutes(router, callerOf);
  agentRoutes(router, callerOf);
  const handlers = new Map(router.handlers.map((handler: UniversalHandler) => [handler.requestPath, createFetchHandler(handler)]));
  const server = createServer((request, response) => {
    if (preview(request, response, useTicket)) return;
    const path = new URL(request.url ?? "/", "http://double").pathname;
    const handler = handlers.get(path);
    if (path === "/upload" && request.method === "PUT") void putUpload(request, response, userOf((request.headers.authorization ?? "").replace(/^Bearer /, "")));
    else if (handler) void rpc(request, response, handler);
    else if (path === "/version") response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ version: "double", previewHost: state.previews ? `localhost:${(server.address() as AddressInfo).port}` : null }));
    else file(path, response);
  });
  const sockets = new Set<WebSocket>();
  const streams = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://double");
    const userId = useTicket(searchParams.get("ticket") ?? "");
    const user = people.users.find((u) => u.userId === userId);
    if (!user) return void socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
    streams.handleUpgrade(request, socket, head, (ws) => {
      sockets.add(ws);
      ws.on("close", () => sockets.delete(ws));
      const terminalId = /^\/stream\/terminal\/(.+)$/.exec(pathname)?.[1];
      if (terminalId) attach(ws, user, terminalId, searchParams);
      else serveStream(ws, user);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : port}`,
    sockets,
    close: () => new Promise((resolve) => { for (const ws of sockets) ws.terminate(); closeTerminals(); server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

/** Whose ticket it is; a ticket is good for once. */
function useTicket(ticket: string): string | undefined {
  const userId = state.tickets.get(ticket);
  state.tickets.delete(ticket);
  return userId;
}

const csp =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

async function rpc(request: IncomingMessage, response: ServerResponse, handler: (request: Request) => Promise<Response>): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const headers = new Headers(Object.entries(request.headers).filter((h): h is [string, string] => typeof h[1] === "string"));
  const answer = await handler(new Request(`http://double${request.url ?? "/"}`, { method: request.method ?? "POST", headers, body: Readable.toWeb(request) as ReadableStream, duplex: "half", signal: gone.signal } as RequestInit));
  answer.headers.forEach((value, key) => response.setHeader(key, value));
  if (!answer.headers.has("x-request-id")) response.setHeader("x-request-id", id(Math.floor(Math.random() * 1e9)));
  response.writeHead(answer.status);
  if (!answer.body) return void response.end();
  try {
    for await (const chunk of answer.body) response.write(chunk);
  } catch {
    // The page went; the handler was told by the signal.
  }
  response.end();
}

function file(path: string, response: ServerResponse): void {
  const clean = normalize(path).replace(/^(\.\.[/\\])+/, "");
  let at = join(dist, clean);
  if (!existsSync(at) || statSync(at).isDirectory()) {
    if (extname(clean)) return void response.writeHead(404).end();
    at = join(dist, "index.html");
  }
  response.writeHead(200, {
    "content-type": types[extname(at)] ?? "application/octet-stream",
    "content-security-policy": csp,
    "cache-control": clean.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  });
  createReadStream(at).pipe(response);
}

function serveStream(ws: WebSocket, user: User): void {
  const open = new Map<number, AbortController>();
  const send = (frame: object) => { if (ws.readyState === ws.OPEN) ws.send(JSON.stringify({ jsonrpc: "2.0", ...frame })); };
  ws.on("close", () => { for (const stream of open.values()) stream.abort(); });
  ws.on("message", (raw) => {
    const frame = JSON.parse(String(raw)) as { id: number; method: string; params: Record<string, unknown> };
    if (frame.method === "stream.cancel") return void open.get(Number(frame.params["id"]))?.abort();
    if (frame.method === "user.me") return send({ id: frame.id, result: {} });
    const stream = new AbortController();
    open.set(frame.id, stream);
    let seq = 0;
    const next = (message: JsonValue) => send({ method: "stream.next", params: { id: frame.id, seq: seq++, message } });
    void watch(user, frame.method, frame.params, next, stream.signal)
      .then((last) => { if (!stream.signal.aborted) send({ id: frame.id, result: last }); })
      .catch((cause: unknown) => {
        const error = ConnectError.from(cause);
        const info = error.findDetails(ErrorInfoSchema)[0];
        send({ id: frame.id, error: { code: -32603, message: error.rawMessage, data: { reason: info?.reason ?? "INTERNAL", http_status: 404, request_id: id(1), details: info?.metadata ?? {} } } });
      });
  });
}

async function watch(user: User, method: string, params: Record<string, unknown>, next: (message: JsonValue) => void, signal: AbortSignal): Promise<JsonValue> {
  if (method === "llm.watch_stats") for await (const s of stats(signal)) next(edgeJson(WatchStatsResponseSchema, s));
  if (method === "llm.watch_job") for await (const j of job(String(params["jobId"]), signal)) next(edgeJson(WatchJobResponseSchema, create(WatchJobResponseSchema, j)));
  if (method === "fs.watch") for await (const told of watchSpace(spaceOf(user, String(params["workspaceId"] ?? "")), String(params["resumeToken"] ?? ""), signal)) next(edgeJson(WatchTreeResponseSchema, told));
  if (method === "agent.watch") await watchTask(user, String(params["taskId"]), BigInt(String(params["afterSeq"] ?? 0)), (told) => next(edgeJson(WatchTaskResponseSchema, told)), signal);
  if (method === "logs.watch") {
    const filter = readEdgeJson(LogFilterSchema, params["filter"]);
    const after = BigInt(String(params["afterSeq"] ?? 0));
    const backlog = Number(params["backlog"] ?? 0);
    const older = state.log.filter((e) => matches(e, filter) && e.seq > after);
    next(edgeJson(WatchLogsResponseSchema, create(WatchLogsResponseSchema, { entries: after > 0n ? older : older.slice(-backlog) })));
    await new Promise<void>((resolve) => {
      const listener = (entry: (typeof state.log)[number]) => { if (matches(entry, filter)) next(edgeJson(WatchLogsResponseSchema, create(WatchLogsResponseSchema, { entries: [entry] }))); };
      state.listeners.add(listener);
      signal.addEventListener("abort", () => { state.listeners.delete(listener); resolve(); });
    });
  }
  return {};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startDouble(Number(process.env["PORT"] ?? 8090));
  console.log(`double on ${url} · admin@devstudio.local, dev@devstudio.local · correct horse`);
}
