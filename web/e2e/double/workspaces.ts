// The double's doors of workspaces, locks and snapshots.
import { create } from "@bufbuild/protobuf";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { LockSchema, LockService } from "../../src/gen/devstudio/sandbox/v1/lock_pb.ts";
import { DiffKind, FileDiffSchema, FileStateSchema, SnapshotService } from "../../src/gen/devstudio/sandbox/v1/snapshot_pb.ts";
import { SearchedFileSchema, WorkspaceService } from "../../src/gen/devstudio/sandbox/v1/workspace_pb.ts";
import type { Content, StoredFile } from "./data.ts";
import { fault } from "./fault.ts";
import { addLock, dropSpace, entryOf, erase, guard, hashOf, keptSnapshot, lineChange, makeFolder, newSpace, sizeOf, snapshotOf, spaceOf, spaceOfLock, spacesOf, store, told, usedBytes, within, type Space } from "./space.ts";

const LIMIT = 524_288;

export function workspaceRoutes(router: ConnectRouter, caller: (ctx: HandlerContext) => User, note: (text: string, ctx: HandlerContext) => void): void {
  const at = (ctx: HandlerContext, workspaceId: string): Space => spaceOf(caller(ctx), workspaceId);
  const write = (ctx: HandlerContext, space: Space, path: string, file: Content, ifVersion: bigint | undefined): StoredFile => {
    if (path.split("/").includes("..")) throw fault(Code.PermissionDenied, "PATH_FORBIDDEN", "outside", { path });
    const size = sizeOf(file);
    if (size > LIMIT) throw fault(Code.PermissionDenied, "FILE_TOO_LARGE", "large", { size: String(size), limit: String(LIMIT) });
    guard(space, caller(ctx), path);
    const version = space.files.get(path)?.version ?? 0n;
    if (ifVersion !== undefined && ifVersion !== version) throw fault(Code.Aborted, "VERSION_CONFLICT", "changed", { current_version: String(version) });
    const stored = store(space, path, file);
    note(`stored ${path}, version ${stored.version}`, ctx);
    return stored;
  };
  const read = (space: Space, path: string): StoredFile => {
    const file = space.files.get(path);
    if (!file) throw fault(Code.NotFound, "NOT_FOUND", "no such file");
    return file;
  };
  const replicate = (space: Space, from: string, to: string): string[] => {
    if (space.files.has(to) || space.folders.has(to)) throw fault(Code.AlreadyExists, "ALREADY_EXISTS", "exists");
    const paths = [...space.files.keys()].filter((p) => within(p, from));
    if (space.folders.has(from)) makeFolder(space, to);
    for (const folder of [...space.folders].filter((f) => f !== from && within(f, from) && !within(f, to))) makeFolder(space, to + folder.slice(from.length));
    for (const path of paths) store(space, to + path.slice(from.length), pick(read(space, path)));
    return paths;
  };

  router.service(WorkspaceService, {
    listWorkspaces: (_request, ctx) => ({ workspaces: spacesOf(caller(ctx)).map((space) => ({ ...space.workspace, fileCount: space.files.size, usedBytes: usedBytes(space.files) })) }),
    createWorkspace: (request, ctx) => ({ workspaceId: newSpace(caller(ctx).userId, request.name).workspace.workspaceId }),
    renameWorkspace(request, ctx) { at(ctx, request.workspaceId).workspace.name = request.name; return {}; },
    deleteWorkspace(request, ctx) {
      const space = at(ctx, request.workspaceId);
      if (space.workspace.isDefault) throw fault(Code.FailedPrecondition, "STATE_CONFLICT", "the default workspace stays");
      dropSpace(space);
      return {};
    },
    listFiles(request, ctx) {
      const space = at(ctx, request.workspaceId);
      return { workspaceId: space.workspace.workspaceId, entries: [...space.folders, ...space.files.keys()].sort().map((path) => entryOf(space, path)) };
    },
    readFile(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const file = request.snapshotId ? keptSnapshot(space, request.snapshotId).files.get(request.path) : read(space, request.path);
      if (!file) throw fault(Code.NotFound, "NOT_FOUND", "no such file");
      return { path: request.path, version: request.snapshotId ? 0n : file.version, sizeBytes: sizeOf(file), sha256: hashOf(file), content: file.data ? { case: "data", value: file.data } : { case: "text", value: file.text ?? "" } };
    },
    writeFile(request, ctx) {
      const file = write(ctx, at(ctx, request.workspaceId), request.path, contentOf(request.content.case === "data" ? request.content.value : (request.content.value ?? "")), request.ifVersion);
      return { path: request.path, version: file.version, sha256: hashOf(file), sizeBytes: sizeOf(file) };
    },
    editFile(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const before = read(space, request.path).text ?? "";
      const after = request.unifiedDiff ? patched(before, request.unifiedDiff) : request.hunks.reduce((text, hunk) => (text.includes(hunk.search) ? text.replace(hunk.search, () => hunk.replace) : mismatch()), before);
      const file = write(ctx, space, request.path, { text: after }, request.ifVersion);
      return { path: request.path, version: file.version, sha256: hashOf(file), sizeBytes: sizeOf(file), linesAdded: file.added ?? 0, linesRemoved: file.removed ?? 0 };
    },
    mergeFile(request, ctx) {
      const file = read(at(ctx, request.workspaceId), request.path);
      return { ...merged(request.baseText, request.text, file.text ?? ""), currentText: file.text ?? "", currentVersion: file.version };
    },
    deletePath(request, ctx) {
      const space = at(ctx, request.workspaceId);
      guard(space, caller(ctx), request.path, true);
      return { deletedFiles: erase(space, request.path) };
    },
    movePath(request, ctx) {
      const space = at(ctx, request.workspaceId);
      guard(space, caller(ctx), request.from, true);
      const moved = replicate(space, request.from, request.to);
      erase(space, request.from);
      return { movedFiles: moved.length };
    },
    copyPath: (request, ctx) => ({ copiedFiles: replicate(at(ctx, request.workspaceId), request.from, request.to).length }),
    makeFolder(request, ctx) {
      const space = at(ctx, request.workspaceId);
      if (space.folders.has(request.path) || space.files.has(request.path)) throw fault(Code.AlreadyExists, "ALREADY_EXISTS", "exists");
      makeFolder(space, request.path);
      return { path: request.path };
    },
    searchFiles(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const bare = request.regex ? request.query : request.query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      let pattern: RegExp;
      try {
        pattern = new RegExp(request.wholeWord ? `\\b(?:${bare})\\b` : bare, request.matchCase ? "g" : "gi");
      } catch {
        throw fault(Code.InvalidArgument, "SCHEMA_VIOLATION", "query: is no regular expression");
      }
      const looked = [...space.files].filter(([path, file]) => file.text !== undefined && (request.include.length === 0 || request.include.some((g) => glob(g).test(path))) && !request.exclude.some((g) => glob(g).test(path)));
      const files = looked.toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([path, file]) => {
        const matches = (file.text ?? "").split("\n").flatMap((text, i) => {
          const found = [...text.matchAll(pattern)].filter((match) => match[0] !== "");
          return found.length === 0 ? [] : [{ line: i + 1, text, column: (found[0]?.index ?? 0) + 1, ranges: found.flatMap((match) => [match.index, match.index + match[0].length]) }];
        });
        return matches.length === 0 ? [] : [create(SearchedFileSchema, { path, matches })];
      });
      return { files, searchedFiles: looked.length };
    },
  });
  router.service(LockService, {
    acquireLock(request, ctx) {
      const user = caller(ctx);
      const space = at(ctx, request.workspaceId);
      const holder = { userId: user.userId, agentId: request.agentId, taskId: request.taskId };
      for (const held of [...space.locks.values()].filter((l) => l.path === request.path && l.holder?.agentId !== holder.agentId)) {
        if (!request.pinned || !held.holder?.agentId) throw fault(Code.FailedPrecondition, "LOCK_HELD", "locked", { path: request.path, owner_agent_id: held.holder?.agentId ?? "" });
        space.locks.delete(held.lockId);
      }
      const lock = addLock(space, create(LockSchema, { path: request.path, scope: request.scope, mode: request.mode, pinned: request.pinned, holder }), request.ttlMs || 60_000);
      return { lockId: lock.lockId, fencingToken: lock.fencingToken, ...(lock.expiresAt ? { expiresAt: lock.expiresAt } : {}) };
    },
    releaseLock(request, ctx) {
      const space = spaceOfLock(caller(ctx), request.lockId);
      if (!space) throw fault(Code.NotFound, "NOT_FOUND", "no such lock");
      space.locks.delete(request.lockId);
      told(space);
      return {};
    },
    listLocks: (request, ctx) => ({ locks: [...at(ctx, request.workspaceId).locks.values()] }),
    requestUnlock(request, ctx) {
      const space = spaceOfLock(caller(ctx), request.lockId);
      const lock = space?.locks.get(request.lockId);
      if (!space || !lock) throw fault(Code.NotFound, "NOT_FOUND", "no such lock");
      lock.unlockRequest = request.message || "please release it";
      told(space);
      return {};
    },
  });
  router.service(SnapshotService, {
    createSnapshot: (request, ctx) => ({ snapshot: snapshotOf(at(ctx, request.workspaceId), request.reason) }),
    listSnapshots: (request, ctx) => ({ snapshots: at(ctx, request.workspaceId).snapshots.map((s) => s.snapshot) }),
    diffSnapshots(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const from = keptSnapshot(space, request.fromSnapshotId).files;
      const to = request.toSnapshotId ? keptSnapshot(space, request.toSnapshotId).files : space.files;
      const paths = [...new Set([...from.keys(), ...to.keys()])].sort().filter((path) => within(path, request.path));
      return { files: paths.flatMap((path) => {
        const [a, b] = [from.get(path), to.get(path)];
        if (a && b && hashOf(a) === hashOf(b)) return [];
        const change = lineChange(a?.text ?? "", b?.text ?? "");
        return [create(FileDiffSchema, { path, kind: !a ? DiffKind.ADDED : !b ? DiffKind.REMOVED : DiffKind.CHANGED, linesAdded: change.newEnd - change.from, linesRemoved: change.oldEnd - change.from })];
      }) };
    },
    restoreSnapshot(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const { files } = keptSnapshot(space, request.snapshotId);
      const wanted = (path: string) => request.paths.length === 0 || request.paths.some((p) => within(path, p));
      const changed = [...new Set([...files.keys(), ...space.files.keys()])].filter((path) => {
        const [then, now] = [files.get(path), space.files.get(path)];
        return wanted(path) && !(then && now && hashOf(then) === hashOf(now));
      });
      for (const path of changed) guard(space, caller(ctx), path);
      const before = snapshotOf(space, "before restoring");
      for (const path of changed) {
        const then = files.get(path);
        if (then) store(space, path, pick(then));
        else erase(space, path);
      }
      return { before, changedPaths: changed };
    },
    forkWorkspace(request, ctx) {
      const space = at(ctx, request.workspaceId);
      const files = request.snapshotId ? keptSnapshot(space, request.snapshotId).files : space.files;
      const made = newSpace(caller(ctx).userId, request.name);
      for (const [path, file] of files) store(made, path, pick(file));
      return { workspaceId: made.workspace.workspaceId };
    },
    listFileHistory(request, ctx) {
      const seen = new Set<string>();
      return { states: at(ctx, request.workspaceId).snapshots.toReversed().flatMap(({ snapshot, files }) => {
        const file = files.get(request.path);
        if (!file || seen.has(hashOf(file))) return [];
        seen.add(hashOf(file));
        return [create(FileStateSchema, { snapshotId: snapshot.snapshotId, reason: snapshot.reason, createdAt: snapshot.createdAt, sha256: hashOf(file), sizeBytes: sizeOf(file) })];
      }).reverse() };
    },
  });
}

const pick = ({ text, data }: StoredFile): Content => (data ? { data } : { text: text ?? "" });
function contentOf(content: string | Uint8Array): Content {
  if (typeof content === "string") return { text: content };
  const text = Buffer.from(content).toString("utf8");
  return text.includes("\uFFFD") || text.includes("\0") ? { data: content } : { text };
}
function mismatch(): never {
  throw fault(Code.FailedPrecondition, "HUNK_MISMATCH", "the text is not there", { hunk: "1", found: "0" });
}

/** A text after a unified diff of one hunk. */
function patched(before: string, diff: string): string {
  const rows = diff.split("\n").slice(2, -1);
  const start = Number(/@@ -(\d+)/.exec(rows[0] ?? "")?.[1] ?? 0) - 1;
  const side = (skip: string) => rows.slice(1).filter((row) => !row.startsWith(skip)).map((row) => row.slice(1));
  const lines = before.split("\n");
  const old = side("+");
  if (old.some((line, i) => lines[start + i] !== line)) mismatch();
  return [...lines.slice(0, start), ...side("-"), ...lines.slice(start + old.length)].join("\n");
}

/** Both changes where they lie apart, else both between markers. */
function merged(base: string, mine: string, theirs: string): { text: string; conflicts: boolean } {
  const [a, b] = [lineChange(base, mine), lineChange(base, theirs)];
  const [baseLines, mineLines, theirLines] = [base.split("\n"), mine.split("\n"), theirs.split("\n")];
  if (a.oldEnd < b.from) return { conflicts: false, text: [...mineLines.slice(0, a.newEnd), ...baseLines.slice(a.oldEnd, b.from), ...theirLines.slice(b.from)].join("\n") };
  if (b.oldEnd < a.from) return { conflicts: false, text: [...theirLines.slice(0, b.newEnd), ...baseLines.slice(b.oldEnd, a.from), ...mineLines.slice(a.from)].join("\n") };
  const from = Math.min(a.from, b.from);
  const end = Math.max(a.oldEnd, b.oldEnd);
  const part = (lines: string[]) => lines.slice(from, lines.length - (baseLines.length - end));
  return { conflicts: true, text: [...baseLines.slice(0, from), "<<<<<<< yours", ...part(mineLines), "=======", ...part(theirLines), ">>>>>>> theirs", ...baseLines.slice(end)].join("\n") };
}

/** A glob as a pattern; one without a slash fits in every folder. */
function glob(text: string): RegExp {
  const source = text.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*\*\/|\*\*|\*|\?/g, (part) => ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" })[part] ?? part);
  return new RegExp(`^${text.includes("/") ? "" : "(?:.*/)?"}${source}$`);
}
