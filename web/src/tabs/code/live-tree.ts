// The workspace as fs.watch tells it: entries and locks, kept up to date, and taken up again where the connection was lost.
import { readEdgeJson } from "../../api/edgejson";
import { explain, reasonOf, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { watch } from "../../api/stream";
import type { Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { TreeEventKind, WatchTreeResponseSchema, WorkspaceService, type Entry, type TreeEvent } from "../../gen/devstudio/sandbox/v1/workspace_pb";

/** What is known of a workspace. A new object comes with every change. */
export interface TreeState { entries: Map<string, Entry>; locks: Map<string, Lock>; loaded: boolean; synced: boolean; fault: Fault | null }

const TRY_AGAIN_MS = 2_000;
/** Reasons that no second try changes. */
const FINAL = ["NOT_FOUND", "ROLE_REQUIRED", "USER_DISABLED", "UNKNOWN_METHOD"];

export class LiveTree {
  private state: TreeState = { entries: new Map(), locks: new Map(), loaded: false, synced: false, fault: null };
  private token = "";
  /** What was known before this connection and has not been told again. */
  private unseenEntries: Set<string> | null = null;
  private unseenLocks = new Set<string>();
  private readonly listeners = new Set<() => void>();

  constructor(readonly workspaceId: string) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly snapshot = (): TreeState => this.state;

  /** Begins a connection: what to ask for. */
  begin(): { workspaceId: string; resumeToken: string } {
    this.unseenEntries = this.token === "" ? new Set(this.state.entries.keys()) : null;
    this.unseenLocks = new Set(this.state.locks.keys());
    this.set({ synced: false });
    return { workspaceId: this.workspaceId, resumeToken: this.token };
  }

  /** Takes in what happened. Only a message with a token ends a step that can be resumed from. */
  take(events: TreeEvent[], resumeToken: string): void {
    const entries = new Map(this.state.entries);
    const locks = new Map(this.state.locks);
    let { loaded, synced } = this.state;
    for (const { kind, entry, lock } of events) {
      if (kind === TreeEventKind.SYNCED) {
        for (const path of this.unseenEntries ?? []) entries.delete(path);
        for (const id of this.unseenLocks) locks.delete(id);
        this.unseenEntries = null;
        this.unseenLocks.clear();
        loaded = synced = true;
      } else if (kind === TreeEventKind.LOCKED && lock) {
        locks.set(lock.lockId, lock);
        this.unseenLocks.delete(lock.lockId);
      } else if (kind === TreeEventKind.UNLOCKED && lock) locks.delete(lock.lockId);
      else if (kind === TreeEventKind.REMOVED && entry) entries.delete(entry.path);
      else if (entry) {
        entries.set(entry.path, entry);
        this.unseenEntries?.delete(entry.path);
      }
    }
    if (resumeToken !== "") this.token = resumeToken;
    this.set({ entries, locks, loaded, synced, fault: null });
  }

  /** Follows the workspace until the returned function is called. */
  follow(): () => void {
    let end = () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => {
      end = watch({
        method: "fs.watch",
        params: () => this.begin(),
        onMessage: (json) => {
          const { events, resumeToken } = readEdgeJson(WatchTreeResponseSchema, json);
          this.take(events, resumeToken);
          if (events.some((event) => event.entry)) refetch(WorkspaceService.method.listFiles);
        },
        onEnd: () => again(),
        onFault: (cause) => {
          if (reasonOf(cause) === "SCHEMA_VIOLATION") this.token = "";
          if (!this.state.loaded || FINAL.includes(reasonOf(cause))) this.set({ fault: explain(cause), synced: false });
          if (!FINAL.includes(reasonOf(cause))) again();
        },
      });
    };
    const again = () => {
      this.set({ synced: false });
      timer = setTimeout(start, TRY_AGAIN_MS);
    };
    start();
    return () => {
      clearTimeout(timer);
      end();
      this.set({ synced: false });
    };
  }

  private set(change: Partial<TreeState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

let kept: { userId: string; tree: LiveTree } | null = null;

/** The tree of a person's workspace; the last one is kept, so that coming back goes on where it was. */
export function treeOf(userId: string, workspaceId: string): LiveTree {
  if (kept?.userId !== userId || kept.tree.workspaceId !== workspaceId) kept = { userId, tree: new LiveTree(workspaceId) };
  return kept.tree;
}
