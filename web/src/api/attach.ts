// A page's tie to a terminal: one WebSocket that comes back after a loss and goes on at the byte where it was.
import { AttachTerminalResponseSchema, type AttachTerminalResponse, type TerminalAttached } from "../gen/devstudio/sandbox/v1/terminal_pb";
import { readEdgeJson } from "./edgejson";
import { faultOf, type EdgeError, type StreamFault } from "./errors";

/** How the tie stands. `over`: the terminal has ended or is not there; nothing is tried again. */
export interface Tie { state: "connecting" | "open" | "lost" | "over"; attempts: number; retryAt: number; fault: StreamFault | null }

/** What is told while it holds. */
export interface Listener {
  onTie: (tie: Tie) => void;
  onAttached: (attached: TerminalAttached) => void;
  /** Bytes that were not seen before; whoever has shown them says so by `shown`. */
  onOutput: (bytes: Uint8Array) => void;
  /** Bytes that are lost to this page: the terminal keeps only the end of its output. */
  onGap: (bytes: number) => void;
  onEvent: (event: AttachTerminalResponse["event"]) => void;
}

/** How it reaches the server; tests give their own. */
export interface Ways { ticket: (path: string) => Promise<string>; socket: (path: string) => WebSocket }

export const WINDOW_BYTES = 131_072;
const ACKNOWLEDGE_BYTES = 16_384;
const PIECE_BYTES = 65_536;
const LONGEST_WAIT_MS = 15_000;
const ATTACH_LATE_MS = 10_000;

export class Attachment {
  /** How many bytes of the terminal's output came so far. */
  seen = 0;
  private shownTo = 0;
  private acknowledged = 0;
  private socket: WebSocket | null = null;
  private tie: Tie = { state: "connecting", attempts: 0, retryAt: 0, fault: null };
  private timer: ReturnType<typeof setTimeout> | undefined;
  private late: ReturnType<typeof setTimeout> | undefined;
  private wanted = false;
  private columns = 0;
  private rows = 0;

  constructor(private readonly terminalId: string, private readonly listener: Listener, private readonly ways: Ways) {}

  open(): void {
    if (this.wanted) return;
    this.wanted = true;
    void this.connect();
  }

  /** Lets go of the terminal, which stays as it is. */
  close(): void {
    this.wanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.late);
    this.socket?.close(1000);
    this.socket = null;
  }

  /** Tries again at once. */
  retry(): void {
    if (!this.wanted || this.socket || this.tie.state === "over") return;
    clearTimeout(this.timer);
    void this.connect();
  }

  /** Gives up a connection that is dead without having said so. */
  drop(): void {
    this.socket?.close();
  }

  /** Sends what was typed; false while nothing can be sent. */
  type(bytes: Uint8Array): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.socket.send(bytes.slice(at, at + PIECE_BYTES));
    return true;
  }

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.say({ resize: { columns, rows } });
  }

  /** All output up to this offset is on the screen. `idle`: nothing more waits for it. */
  shown(offset: number, idle: boolean): void {
    this.shownTo = Math.max(this.shownTo, offset);
    if (this.shownTo - this.acknowledged >= ACKNOWLEDGE_BYTES || (idle && this.shownTo > this.acknowledged)) this.acknowledge();
  }

  private acknowledge(): void {
    this.acknowledged = this.shownTo;
    this.say({ shownOffset: String(this.shownTo) });
  }

  private say(event: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  private tell(tie: Partial<Tie>): void {
    this.tie = { ...this.tie, ...tie };
    this.listener.onTie(this.tie);
  }

  private async connect(): Promise<void> {
    if (this.tie.attempts === 0) this.tell({ state: "connecting" });
    const path = `/stream/terminal/${this.terminalId}`;
    let opened: WebSocket;
    try {
      const ticket = await this.ways.ticket(path);
      if (!this.wanted || this.socket) return;
      const params = new URLSearchParams({ ticket, after: String(this.seen), window: String(WINDOW_BYTES), ...(this.columns > 0 ? { columns: String(this.columns), rows: String(this.rows) } : {}) });
      opened = this.ways.socket(`${path}?${params}`);
    } catch {
      return this.again();
    }
    opened.binaryType = "arraybuffer";
    this.socket = opened;
    clearTimeout(this.late);
    this.late = setTimeout(() => opened.close(), ATTACH_LATE_MS);
    opened.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket !== opened) return;
      if (typeof data === "string") this.receive(JSON.parse(data) as object);
      else this.take(data);
    };
    opened.onclose = () => {
      if (this.socket !== opened) return;
      clearTimeout(this.late);
      this.socket = null;
      this.again();
    };
  }

  private again(): void {
    if (!this.wanted || this.tie.state === "over") return;
    const attempts = this.tie.attempts + 1;
    const waitMs = Math.min(LONGEST_WAIT_MS, 250 * 2 ** Math.min(attempts, 7)) * (0.75 + Math.random() / 2);
    this.tell({ state: "lost", attempts, retryAt: Date.now() + waitMs });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), waitMs);
  }

  private receive(frame: object): void {
    if ("error" in frame) {
      const fault = faultOf(frame.error as EdgeError);
      // What is not there will not come back; everything else is tried again.
      return this.tell({ fault, ...(fault.reason === "NOT_FOUND" ? { state: "over" as const } : {}) });
    }
    const { event } = readEdgeJson(AttachTerminalResponseSchema, frame);
    if (event.case === "attached") {
      clearTimeout(this.late);
      const offset = Number(event.value.offset);
      this.listener.onAttached(event.value);
      if (offset > this.seen) this.listener.onGap(offset - this.seen);
      this.seen = Math.max(this.seen, offset);
      this.shownTo = Math.max(this.shownTo, offset);
      this.acknowledged = offset;
      this.tell({ state: "open", attempts: 0, fault: null });
      // What came before the loss and was shown since then is not under way any more.
      if (this.shownTo > offset) this.acknowledge();
      if (this.columns > 0) this.resize(this.columns, this.rows);
      return;
    }
    if (event.case === "end") this.tell({ state: "over" });
    this.listener.onEvent(event);
  }

  private take(frame: ArrayBuffer): void {
    const offset = Number(new DataView(frame).getBigUint64(0));
    const bytes = new Uint8Array(frame, 8);
    const end = offset + bytes.length;
    if (offset > this.seen) this.listener.onGap(offset - this.seen);
    const known = Math.max(0, this.seen - offset);
    this.seen = Math.max(this.seen, end);
    if (known < bytes.length) this.listener.onOutput(bytes.subarray(known));
  }
}
