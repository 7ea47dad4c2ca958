// One terminal of this page: its screen, its tie to the server, and what is known of it. It lives on while other tabs
// are looked at.
import { FitAddon } from "@xterm/addon-fit";
import type { SearchAddon } from "@xterm/addon-search";
import { Terminal as Screen } from "@xterm/xterm";
import { createStore } from "zustand/vanilla";
import { Attachment, type Tie } from "../../api/attach";
import { refetch } from "../../api/query";
import { openSocket, ticketFor } from "../../api/tickets";
import { PortService, TerminalService, type AttachTerminalResponse, type Terminal, type TerminalEnd } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { bytes } from "../../lib/format";
import { useTheme } from "../../lib/theme";
import { m } from "../../paraglide/messages";
import { isPhone } from "../../ui/media";
import { bytesOf, isReply, rawBytes, ringOf, titleOf, withHeld } from "./bytes";
import { colors, FONT, fontSize } from "./looks";

/** What is shown around a screen. */
export interface View {
  info: Terminal;
  tie: Tie;
  title: string;
  end: TerminalEnd | null;
  throttled: boolean;
  ports: number[] | null;
  rejected: Record<string, string>;
  size: { columns: number; rows: number };
  /** Keys of the phone's row that hold for the next sign. */
  ctrl: boolean;
  alt: boolean;
  /** A link that hides its address behind a text; the person is asked. */
  asked: string | null;
}

const SCROLLBACK = 10_000;
const RESIZE_MS = 80;
const PART_BYTES = 4_096;

export class Session {
  readonly view;
  readonly screen: Screen;
  /** Holds the screen, wherever it is in the page. */
  readonly box = document.createElement("div");
  /** Something was typed, so that closing it may cost something. */
  typed = false;
  private finder: SearchAddon | null = null;
  private follow: (address: string) => void = () => undefined;
  private readonly tie: Attachment;
  private readonly fitting = new FitAddon();
  private readonly ends: (() => void)[] = [];
  private keptFrom: number;
  private over = false;
  private waiting = 0;
  private replayedTo = 0;
  private resizing: ReturnType<typeof setTimeout> | undefined;

  /** `fresh`: this page has just opened it, so that nothing of its output was answered before. */
  constructor(info: Terminal, private fresh: boolean) {
    this.keptFrom = Number(info.keptFrom);
    this.view = createStore<View>(() => ({ info, tie: { state: "connecting", attempts: 0, retryAt: 0, fault: null }, title: "", end: info.end ?? null, throttled: false, ports: null, rejected: {}, size: { columns: info.columns, rows: info.rows }, ctrl: false, alt: false, asked: null }));
    Screen.strings.tooMuchOutput = m.terminal_too_much();
    this.screen = new Screen({
      allowProposedApi: true, // The marks of the search are decorations, which xterm calls proposed.
      cols: info.columns || 80,
      rows: info.rows || 24,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      fontFamily: `${FONT}, monospace`,
      fontSize: fontSize(isPhone()),
      lineHeight: 1.25,
      linkHandler: { activate: (_event, text) => this.view.setState({ asked: text }) },
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      theme: colors(),
    });
    this.box.className = "size-full";
    this.screen.loadAddon(this.fitting);
    void import("@xterm/addon-web-links").then(({ WebLinksAddon }) => { if (!this.over) this.screen.loadAddon(new WebLinksAddon((_event, uri) => this.follow(uri))); });
    // A program may not write to the person's clipboard.
    this.screen.parser.registerOscHandler(52, () => true);
    this.screen.onTitleChange((title) => this.view.setState({ title: titleOf(title) }));
    this.screen.onData((text) => this.take(text));
    this.screen.onBinary((text) => this.tie.type(rawBytes(text)));
    this.screen.onResize(({ cols, rows }) => this.resized(cols, rows));
    // Ctrl Shift V is the browser's own way to paste text; F6 leaves the terminal.
    this.screen.attachCustomKeyEventHandler((event) => !(event.key === "F6" || ((event.ctrlKey || event.metaKey) && event.shiftKey && event.code === "KeyV")));
    this.ends.push(useTheme.subscribe(() => { this.screen.options.theme = colors(); }));
    this.tie = new Attachment(info.terminalId, {
      onTie: (tie) => this.view.setState({ tie }),
      onAttached: ({ terminal }) => {
        if (!terminal) return;
        this.keptFrom = Number(terminal.keptFrom);
        if (!this.fresh && this.tie.seen === 0) this.replayedTo = Number(terminal.outputBytes);
        if (this.box.parentElement === null) this.screen.resize(terminal.columns || 80, terminal.rows || 24);
        this.view.setState({ info: terminal, throttled: false });
        this.fresh = false;
      },
      onOutput: (piece) => this.write(piece),
      onGap: (lost) => this.screen.write(`\u0018\u001b[0;90m${this.screen.buffer.active.cursorX > 0 ? "\r\n" : ""}${m.terminal_gap({ size: bytes(lost) })}\u001b[0m\r\n`),
      onEvent: (event) => this.happened(event),
    }, { ticket: ticketFor, socket: openSocket });
    this.tie.open();
  }

  /** Puts the screen into the page. */
  show(into: HTMLElement): void {
    into.append(this.box);
    if (!this.screen.element) this.screen.open(this.box);
    this.screen.textarea?.setAttribute("aria-label", m.terminal_input());
    this.screen.options.fontSize = fontSize(isPhone());
    this.fit();
  }

  /** The search of this screen; it comes with the first one. */
  finderOf(make: () => SearchAddon): SearchAddon {
    if (!this.finder) this.screen.loadAddon((this.finder = make()));
    return this.finder;
  }

  /** Says what is done with an address that was clicked. */
  whenClicked(follow: (address: string) => void): void {
    this.follow = follow;
  }

  /** Takes it out; the terminal goes on. */
  hide(): void {
    this.box.remove();
  }

  /** Gives the screen as many rows and columns as there is room for. */
  fit(): void {
    if (this.box.isConnected && this.box.clientWidth > 0 && this.box.clientHeight > 0) this.fitting.fit();
  }

  /** Tells the size again: another page may have set its own. */
  claim(): void {
    this.tie.resize(this.screen.cols, this.screen.rows);
  }

  /** Types for the person; false while it cannot be sent. */
  type(text: string): boolean {
    this.typed = true;
    this.screen.scrollToBottom();
    return this.tie.type(bytesOf(text));
  }

  retry(): void {
    this.tie.retry();
  }

  drop(): void {
    this.tie.drop();
  }

  /** How much of the output the server keeps, as far as this page knows. */
  ring(): { kept: number; share: number } {
    return ringOf(this.tie.seen, this.keptFrom, Number(this.view.getState().info.ringBytes));
  }

  dispose(): void {
    this.over = true;
    this.tie.close();
    clearTimeout(this.resizing);
    for (const end of this.ends) end();
    this.box.remove();
    this.screen.dispose();
  }

  /** In small parts: xterm lets the page breathe only between them. */
  private write(piece: Uint8Array): void {
    const end = this.tie.seen;
    this.waiting += 1;
    let at = 0;
    for (; at + PART_BYTES < piece.length; at += PART_BYTES) this.screen.write(piece.subarray(at, at + PART_BYTES));
    this.screen.write(piece.subarray(at), () => {
      this.waiting -= 1;
      if (end >= this.replayedTo) this.replayedTo = 0;
      this.tie.shown(end, this.waiting === 0);
    });
  }

  private take(text: string): void {
    if (isReply(text)) {
      if (this.replayedTo === 0) this.tie.type(bytesOf(text));
      return;
    }
    const { ctrl, alt } = this.view.getState();
    this.typed = true;
    if (ctrl || alt) this.view.setState({ ctrl: false, alt: false });
    this.tie.type(bytesOf(withHeld(text, ctrl, alt)));
  }

  private resized(columns: number, rows: number): void {
    this.view.setState({ size: { columns, rows } });
    // The first is told at once, of many in a row only the last.
    if (this.resizing === undefined) this.tie.resize(columns, rows);
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => {
      this.resizing = undefined;
      this.tie.resize(this.screen.cols, this.screen.rows);
    }, RESIZE_MS);
  }

  private happened(event: AttachTerminalResponse["event"]): void {
    switch (event.case) {
      case "synced": {
        const back = new Set(event.value.changedPaths);
        const before = Object.entries(this.view.getState().rejected).filter(([path]) => !back.has(path));
        this.view.setState({ rejected: { ...Object.fromEntries(before), ...event.value.rejectedPaths } });
        break;
      }
      case "ports":
        this.view.setState({ ports: event.value.ports });
        refetch(PortService.method.listPorts);
        break;
      case "throttled":
        this.view.setState({ throttled: event.value });
        break;
      case "end":
        this.view.setState({ end: event.value, throttled: false, ports: [] });
        refetch(TerminalService.method.listTerminals, PortService.method.listPorts);
        break;
      default:
    }
  }
}
