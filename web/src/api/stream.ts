// The one WebSocket of the page: JSON-RPC 2.0, many watches on one connection, back after a loss by itself.
import { create } from "zustand";
import { faultOf, type EdgeError, type StreamFault } from "./errors";
import { useSession } from "./session";
import { openSocket, ticketFor } from "./tickets";

/** How the connection stands; shown in the status bar. */
export interface Connection {
  state: "idle" | "connecting" | "open" | "lost";
  latencyMs: number | null;
  retryAt: number;
  attempts: number;
}
export const useConnection = create<Connection>(() => ({ state: "idle", latencyMs: null, retryAt: 0, attempts: 0 }));

/** A watch: its params are asked for again at every connection, so that it can go on where it was. */
export interface Watch {
  method: string;
  params: () => Record<string, unknown>;
  onMessage: (message: unknown) => void;
  onEnd?: (last: unknown) => void;
  onFault?: (fault: StreamFault) => void;
}

interface Frame { id?: number; method?: string; params?: { id: number; message: unknown }; result?: unknown; error?: EdgeError }

const BEAT_LATE_MS = 15_000;
const watches = new Map<number, Watch>();
const pending = new Map<number, { resolve: (value: unknown) => void; reject: (cause: unknown) => void }>();
let socket: WebSocket | null = null;
let nextId = 1;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let beatTimer: ReturnType<typeof setInterval> | undefined;
let wanted = false;

/** Opens the connection for the session and keeps it. */
export function openStream(): void {
  if (wanted) return;
  wanted = true;
  void connect();
  beatTimer = setInterval(() => void beat(), 10_000);
}

/** Closes the connection; watches end. */
export function closeStream(): void {
  wanted = false;
  clearInterval(beatTimer);
  clearTimeout(retryTimer);
  watches.clear();
  socket?.close(1000);
  socket = null;
  useConnection.setState({ state: "idle", latencyMs: null, attempts: 0 });
}

/** Tries again at once. */
export function reconnectNow(): void {
  clearTimeout(retryTimer);
  if (wanted && !socket) void connect();
}

/** Starts a watch; the returned function ends it. */
export function watch(watch: Watch): () => void {
  const id = nextId++;
  watches.set(id, watch);
  if (socket?.readyState === WebSocket.OPEN) begin(id, watch);
  return () => {
    if (watches.delete(id)) send({ jsonrpc: "2.0", method: "stream.cancel", params: { id } });
  };
}

/** Calls a unary method over the socket. */
export function call(method: string, params: Record<string, unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (socket?.readyState !== WebSocket.OPEN) return reject(new Error("not connected"));
    const id = nextId++;
    pending.set(id, { resolve, reject });
    send({ jsonrpc: "2.0", id, method, params });
  });
}

async function connect(): Promise<void> {
  useConnection.setState((c) => ({ state: c.attempts === 0 ? "connecting" : "lost" }));
  let opened: WebSocket;
  try {
    const ticket = await ticketFor("/stream/rpc");
    if (!wanted) return;
    opened = openSocket(`/stream/rpc?ticket=${encodeURIComponent(ticket)}`);
  } catch {
    return again();
  }
  socket = opened;
  opened.onopen = () => {
    useConnection.setState({ state: "open", attempts: 0 });
    for (const [id, watch] of watches) begin(id, watch);
    void beat();
  };
  opened.onmessage = (event: MessageEvent<string>) => receive(JSON.parse(event.data) as Frame);
  opened.onclose = () => {
    if (socket === opened) socket = null;
    for (const { reject } of pending.values()) reject(new Error("connection lost"));
    pending.clear();
    again();
  };
}

function again(): void {
  if (!wanted || useSession.getState().status === "out") return;
  const attempts = useConnection.getState().attempts + 1;
  const waitMs = Math.min(30_000, 250 * 2 ** Math.min(attempts, 7)) * (0.75 + Math.random() / 2);
  useConnection.setState({ state: "lost", attempts, latencyMs: null, retryAt: Date.now() + waitMs });
  clearTimeout(retryTimer);
  retryTimer = setTimeout(() => void connect(), waitMs);
}

function begin(id: number, watch: Watch): void {
  send({ jsonrpc: "2.0", id, method: watch.method, params: watch.params() });
}

function send(frame: Record<string, unknown>): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function receive(frame: Frame): void {
  if (frame.method === "stream.next" && frame.params) return watches.get(frame.params.id)?.onMessage(frame.params.message);
  if (frame.id === undefined) return;
  const waiting = pending.get(frame.id);
  const ended = watches.get(frame.id);
  pending.delete(frame.id);
  if (frame.error) {
    const fault = faultOf(frame.error);
    waiting?.reject(fault);
    watches.delete(frame.id);
    ended?.onFault?.(fault);
    return;
  }
  waiting?.resolve(frame.result);
  if (ended && watches.delete(frame.id)) ended.onEnd?.(frame.result);
}

async function beat(): Promise<void> {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const before = performance.now();
  const beating = socket;
  const late = setTimeout(() => beating.close(), BEAT_LATE_MS);
  try {
    await call("user.me", {});
    useConnection.setState({ latencyMs: performance.now() - before });
  } catch {
    // A refused beat is still an answer; a lost one closes the socket, which reconnects.
  } finally {
    clearTimeout(late);
  }
}
