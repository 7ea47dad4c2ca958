// The double's workspaces in memory: files with versions, locks, snapshots, and who watches.
import { createHash, randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { LockMode, LockScope, type Lock } from "../../src/gen/devstudio/sandbox/v1/lock_pb.ts";
import { SnapshotSchema, type Snapshot } from "../../src/gen/devstudio/sandbox/v1/snapshot_pb.ts";
import { EntryKind, EntrySchema, TreeEventKind, TreeEventSchema, WatchTreeResponseSchema, WorkspaceSchema, type Entry, type TreeEvent, type Workspace } from "../../src/gen/devstudio/sandbox/v1/workspace_pb.ts";
import { id, sampleFiles, type Content, type StoredFile } from "./data.ts";
import { fault } from "./fault.ts";

export interface Space {
  owner: string;
  workspace: Workspace;
  files: Map<string, StoredFile>;
  folders: Set<string>;
  /** The change that a path has its state from; paths that are gone are among it. */
  seqs: Map<string, number>;
  seq: number;
  fence: bigint;
  locks: Map<string, Lock>;
  snapshots: { snapshot: Snapshot; files: Map<string, StoredFile> }[];
  listeners: Set<() => void>;
}

const spaces: Space[] = [];

export function newSpace(owner: string, name: string, isDefault = false): Space {
  const workspace = create(WorkspaceSchema, { workspaceId: isDefault ? id(500 + spaces.length) : randomUUID(), name, isDefault, createdAt: timestampNow(), quotaBytes: 268_435_456n, fileQuota: 10_000 });
  const space: Space = { owner, workspace, files: new Map(), folders: new Set(), seqs: new Map(), seq: 0, fence: 0n, locks: new Map(), snapshots: [], listeners: new Set() };
  spaces.push(space);
  return space;
}

/** The person's workspace; the default one is made at first use. */
export function spaceOf(user: User, workspaceId: string): Space {
  const known = spaces.find((s) => s.owner === user.userId && (workspaceId === "" ? s.workspace.isDefault : s.workspace.workspaceId === workspaceId));
  if (known) return known;
  if (workspaceId !== "") throw fault(Code.NotFound, "NOT_FOUND", "no such workspace");
  const made = newSpace(user.userId, "default", true);
  if (user.userId === id(1)) for (const [path, file] of sampleFiles()) store(made, path, file);
  return made;
}
export const spacesOf = (user: User): Space[] => (spaceOf(user, ""), spaces.filter((s) => s.owner === user.userId));
export const dropSpace = (space: Space): void => { spaces.splice(spaces.indexOf(space), 1); told(space); };
export const spaceOfLock = (user: User, lockId: string): Space | undefined => spaces.find((s) => s.owner === user.userId && s.locks.has(lockId));
export const isKnown = (space: Space): boolean => spaces.includes(space);

export const sizeOf = (file: Content): number => file.data?.length ?? Buffer.byteLength(file.text ?? "");
export const hashOf = (file: Content): string => createHash("sha256").update(file.data ?? file.text ?? "").digest("hex");
export const usedBytes = (files: Map<string, StoredFile>): bigint => BigInt([...files.values()].reduce((sum, f) => sum + sizeOf(f), 0));
export const within = (path: string, folder: string): boolean => folder === "" || path === folder || path.startsWith(`${folder}/`);
export const told = (space: Space): void => { for (const listener of space.listeners) listener(); };

/** The first and last line at which two texts differ, and how many lines came and went. */
export function lineChange(before: string, after: string): { from: number; oldEnd: number; newEnd: number } {
  const [old, now] = [before.split("\n"), after.split("\n")];
  let from = 0;
  while (from < Math.min(old.length, now.length) && old[from] === now[from]) from += 1;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - from && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  return { from, oldEnd: old.length - tail, newEnd: now.length - tail };
}

export function store(space: Space, path: string, file: Content): StoredFile {
  const old = space.files.get(path);
  const { from, oldEnd, newEnd } = lineChange(old?.text ?? "", file.text ?? "");
  const stored: StoredFile = { ...file, version: (old?.version ?? 0n) + 1n, atMs: Date.now(), added: newEnd - from, removed: oldEnd - from };
  space.files.set(path, stored);
  space.seqs.set(path, (space.seq += 1));
  addFolders(space, foldersOf(path));
  told(space);
  return stored;
}

export function erase(space: Space, path: string): number {
  const gone = [...space.files.keys()].filter((p) => within(p, path));
  for (const p of [...gone, ...[...space.folders].filter((f) => within(f, path))]) {
    space.files.delete(p);
    space.folders.delete(p);
    space.seqs.set(p, (space.seq += 1));
  }
  told(space);
  return gone.length;
}

export function makeFolder(space: Space, path: string): void {
  addFolders(space, [...foldersOf(path), path]);
  told(space);
}
function addFolders(space: Space, folders: string[]): void {
  for (const folder of folders.filter((f) => !space.folders.has(f))) {
    space.folders.add(folder);
    space.seqs.set(folder, (space.seq += 1));
  }
}
const foldersOf = (path: string): string[] => path.split("/").slice(0, -1).map((_, i, parts) => parts.slice(0, i + 1).join("/"));

export function entryOf(space: Space, path: string): Entry {
  const file = space.files.get(path);
  if (!file) return create(EntrySchema, { path, kind: EntryKind.FOLDER });
  return create(EntrySchema, { path, kind: EntryKind.FILE, version: file.version, sizeBytes: sizeOf(file), sha256: hashOf(file), updatedAt: timestampFromMs(file.atMs), binary: file.data !== undefined, linesAdded: file.added ?? 0, linesRemoved: file.removed ?? 0 });
}

/** Refuses a write where another holds a lock. */
export function guard(space: Space, user: User, path: string, subtree = false): void {
  for (const lock of space.locks.values()) {
    const meets = lock.path === path || (lock.scope === LockScope.SUBTREE && within(path, lock.path)) || (subtree && within(lock.path, path));
    if (meets && (lock.holder?.agentId || lock.holder?.userId !== user.userId)) throw fault(Code.FailedPrecondition, "LOCK_HELD", "locked", { path, lock_id: lock.lockId, owner_user_id: lock.holder?.userId ?? "", owner_agent_id: lock.holder?.agentId ?? "", locked_by_path: lock.path });
  }
}

export function addLock(space: Space, lock: Lock, ttlMs: number): Lock {
  const same = [...space.locks.values()].find((l) => l.path === lock.path && l.pinned === lock.pinned && l.holder?.agentId === lock.holder?.agentId);
  lock.lockId = same?.lockId ?? randomUUID();
  lock.fencingToken = same?.fencingToken ?? (space.fence += 1n);
  lock.mode ||= LockMode.EXCLUSIVE;
  lock.scope ||= LockScope.FILE;
  lock.createdAt = timestampNow();
  if (!lock.pinned) {
    lock.expiresAt = timestampFromMs(Date.now() + ttlMs);
    setTimeout(() => { if (space.locks.get(lock.lockId) === lock) { space.locks.delete(lock.lockId); told(space); } }, ttlMs).unref();
  }
  space.locks.set(lock.lockId, lock);
  told(space);
  return lock;
}

export function snapshotOf(space: Space, reason: string): Snapshot {
  const tree = createHash("sha256");
  for (const [path, file] of [...space.files].toSorted(([a], [b]) => (a < b ? -1 : 1))) tree.update(`${path}\0${hashOf(file)}\n`);
  const snapshot = create(SnapshotSchema, { snapshotId: randomUUID(), parentId: space.snapshots[0]?.snapshot.snapshotId ?? "", reason, treeSha256: tree.digest("hex"), createdAt: timestampNow(), fileCount: space.files.size, sizeBytes: usedBytes(space.files) });
  space.snapshots.unshift({ snapshot, files: new Map(space.files) });
  return snapshot;
}
export function keptSnapshot(space: Space, snapshotId: string): Space["snapshots"][number] {
  const found = space.snapshots.find((s) => s.snapshot.snapshotId === snapshotId);
  if (!found) throw fault(Code.NotFound, "NOT_FOUND", "no such snapshot");
  return found;
}

/** What a watcher is told, until it goes. */
export async function* watchSpace(space: Space, token: string, signal: AbortSignal) {
  let seen = Number(token || 0);
  let locks = new Map<string, string>();
  let synced = false;
  let wake = () => {};
  const listener = () => wake();
  space.listeners.add(listener);
  signal.addEventListener("abort", listener, { once: true });
  try {
    while (!signal.aborted) {
      if (!isKnown(space)) throw fault(Code.NotFound, "NOT_FOUND", "no such workspace");
      const news = [...space.seqs].filter(([, seq]) => seq > seen).map(([path]) => path).sort();
      const events: TreeEvent[] = news.map((path) => {
        const there = space.files.has(path) || space.folders.has(path);
        return create(TreeEventSchema, { kind: !there ? TreeEventKind.REMOVED : (space.files.get(path)?.version ?? 1n) > 1n ? TreeEventKind.CHANGED : TreeEventKind.ADDED, entry: entryOf(space, path) });
      });
      seen = space.seq;
      const held = new Map([...space.locks.values()].map((lock) => [lock.lockId, `${lock.fencingToken} ${lock.unlockRequest} ${lock.expiresAt?.seconds}`]));
      for (const [lockId, shape] of held) if (locks.get(lockId) !== shape) events.push(create(TreeEventSchema, { kind: TreeEventKind.LOCKED, lock: space.locks.get(lockId) as Lock }));
      for (const lockId of locks.keys()) if (!held.has(lockId)) events.push(create(TreeEventSchema, { kind: TreeEventKind.UNLOCKED, lock: { lockId } }));
      locks = held;
      if (!synced) events.push(create(TreeEventSchema, { kind: TreeEventKind.SYNCED }));
      synced = true;
      const changed = new Promise<void>((resolve) => { wake = resolve; });
      if (events.length > 0) yield create(WatchTreeResponseSchema, { events, resumeToken: String(seen) });
      if (space.seq === seen && !signal.aborted) await changed;
    }
  } finally {
    space.listeners.delete(listener);
  }
}
