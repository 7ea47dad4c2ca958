// An upload of many files: some at a time, each with what became of it; it can be stopped, and files that are there be replaced.
import type { Dropped } from "./dropped";

/** What became of a file. */
export type State = "waiting" | "done" | "taken" | "failed" | "cancelled";
export interface Item { path: string; file: File | null; state: State; why: string }

/** Stores one file, or makes a folder where there is no content; without `replace` only where nothing is. */
export type Put = (path: string, content: Uint8Array<ArrayBuffer> | null, replace: boolean, signal: AbortSignal) => Promise<void>;
/** Says why a file was not stored: it is there already, or a sentence. */
export type Judge = (cause: unknown) => { state: "taken" | "failed" | "cancelled"; why: string };

const AT_ONCE = 4;

export class UploadJob {
  readonly items: Item[];
  private version = 0;
  private running = 0;
  private control = new AbortController();
  private readonly listeners = new Set<() => void>();

  constructor(files: Dropped[], private readonly limit: number, private readonly tooLarge: (size: number) => string, private readonly put: Put, private readonly judge: Judge) {
    this.items = files.map(({ path, file }) => ({ path, file, state: "waiting", why: "" }));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly snapshot = (): number => this.version;
  get busy(): boolean { return this.running > 0; }
  count(state: State): number { return this.items.filter((item) => item.state === state).length; }

  /** Sends everything; after a stop, what that kept back. */
  start(): Promise<void> {
    return this.send(this.items.filter((item) => item.state === "waiting" || item.state === "cancelled"), false);
  }

  /** Sends files that are there already in place of those. */
  replace(items: Item[]): Promise<void> {
    return this.send(items, true);
  }

  /** Stops; what is stored stays. */
  cancel(): void {
    this.control.abort();
    for (const item of this.items) if (item.state === "waiting") item.state = "cancelled";
    this.tell();
  }

  private async send(items: Item[], replace: boolean): Promise<void> {
    // What was stopped stays so for what it was sending; the next begins anew.
    if (this.control.signal.aborted) this.control = new AbortController();
    const { signal } = this.control;
    for (const item of items) item.state = "waiting";
    let next = 0;
    const line = async () => {
      for (let item = items[next++]; item && !signal.aborted; item = items[next++]) await this.one(item, replace, signal);
    };
    this.running += 1;
    this.tell();
    await Promise.all(Array.from({ length: AT_ONCE }, line));
    this.running -= 1;
    this.tell();
  }

  private async one(item: Item, replace: boolean, signal: AbortSignal): Promise<void> {
    const { file, path } = item;
    try {
      if (file && file.size > this.limit) Object.assign(item, { state: "failed", why: this.tooLarge(file.size) });
      else {
        const content = file && new Uint8Array(await file.arrayBuffer());
        if (signal.aborted) return;
        await this.put(path, content, replace, signal);
        Object.assign(item, { state: "done", why: "" });
      }
    } catch (cause) {
      // It may be under way again by now.
      if (signal !== this.control.signal) return;
      Object.assign(item, this.judge(cause));
    }
    this.tell();
  }

  private tell(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
