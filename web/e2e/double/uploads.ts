// The double's uploads and archives: PUT /upload, zip and tar in memory, all of an import or nothing.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { gunzipSync, gzipSync, crc32, inflateRawSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { ArchiveFormat, ArchiveService, ExportArchiveResponseSchema, ImportMode } from "../../src/gen/devstudio/sandbox/v1/archive_pb.ts";
import type { StoredFile } from "./data.ts";
import { fault } from "./fault.ts";
import { guard, keptSnapshot, snapshotOf, spaceOf, store, within } from "./space.ts";

const FILE_LIMIT = 524_288;
const BODY_LIMIT = 64 * 1_048_576;
const PIECE = 16_384;
const uploads = new Map<string, Buffer>();

/** Takes an upload whole; errors as JSON, as the edge's other JSON doors have them. */
export async function putUpload(request: IncomingMessage, response: ServerResponse, user: User | undefined): Promise<void> {
  const say = (status: number, body: object) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  const refuse = (status: number, reason: string, message: string) => say(status, { jsonrpc: "2.0", id: null, error: { code: -32603, message, data: { reason, http_status: status, request_id: "00000000-0000-4000-8000-000000000413", details: {} } } });
  if (!user) return void refuse(401, "TOKEN_INVALID", "bad token");
  if (Number(request.headers["content-length"] ?? 0) > BODY_LIMIT) {
    request.resume();
    return void refuse(413, "BODY_TOO_LARGE", "the body is too large");
  }
  const pieces: Buffer[] = [];
  try {
    for await (const piece of request) pieces.push(piece as Buffer);
  } catch {
    // The page gave up; nothing is kept.
    return;
  }
  const data = Buffer.concat(pieces);
  const sha256 = createHash("sha256").update(data).digest("hex");
  const wanted = request.headers["x-content-sha256"];
  if (wanted && wanted !== sha256) return void refuse(400, "SCHEMA_VIOLATION", "the content is not the one announced");
  uploads.set(`${user.userId} ${sha256}`, data);
  say(200, { sha256, sizeBytes: String(data.length) });
}

export function archiveRoutes(router: ConnectRouter, caller: (ctx: HandlerContext) => User): void {
  router.service(ArchiveService, {
    importArchive(request, ctx) {
      const user = caller(ctx);
      const space = spaceOf(user, request.workspaceId);
      const data = uploads.get(`${user.userId} ${request.uploadSha256}`);
      if (!data) throw fault(Code.NotFound, "NOT_FOUND", "no such upload");
      let files = unpack(data);
      const root = files[0]?.path.split("/")[0] ?? "";
      if (request.stripRoot && files.every(({ path }) => path.startsWith(`${root}/`))) files = files.map((file) => ({ ...file, path: file.path.slice(root.length + 1) }));
      files = files.map((file) => ({ ...file, path: request.path ? `${request.path}/${file.path}` : file.path }));
      for (const { path, content } of files) {
        if (path.split("/").includes("..") || path.startsWith("/")) throw fault(Code.PermissionDenied, "PATH_FORBIDDEN", "outside", { path });
        if (content.length > FILE_LIMIT) throw fault(Code.PermissionDenied, "FILE_TOO_LARGE", "large", { path, size: String(content.length), limit: String(FILE_LIMIT) });
        guard(space, user, path);
      }
      const there = files.filter(({ path }) => space.files.has(path));
      if (request.mode === ImportMode.REFUSE && there.length > 0) throw fault(Code.AlreadyExists, "ALREADY_EXISTS", "exists", { path: there[0]?.path ?? "" });
      const kept = request.mode === ImportMode.KEEP ? there : [];
      const { snapshotId } = snapshotOf(space, "before an import");
      const written = files.filter((file) => !kept.includes(file));
      for (const { path, content } of written) store(space, path, contentOf(content));
      return { writtenFiles: written.length, keptFiles: kept.length, writtenBytes: BigInt(written.reduce((sum, { content }) => sum + content.length, 0)), snapshotId };
    },
    async *exportArchive(request, ctx) {
      const space = spaceOf(caller(ctx), request.workspaceId);
      const all = request.snapshotId ? keptSnapshot(space, request.snapshotId).files : space.files;
      const files = [...all].filter(([path]) => within(path, request.path)).toSorted(([a], [b]) => (a < b ? -1 : 1));
      if (request.path !== "" && files.length === 0 && !space.folders.has(request.path)) throw fault(Code.NotFound, "NOT_FOUND", "no such folder");
      const inside = files.map(([path, file]) => ({ path: request.path ? path.slice(request.path.length + 1) || path : path, content: bytesOf(file) }));
      const tar = request.format === ArchiveFormat.TAR || request.format === ArchiveFormat.TAR_GZ;
      const packed = !tar ? zip(inside) : request.format === ArchiveFormat.TAR_GZ ? gzipSync(tarOf(inside)) : tarOf(inside);
      const name = (request.path.split("/").at(-1) || space.workspace.name) + (!tar ? ".zip" : request.format === ArchiveFormat.TAR_GZ ? ".tar.gz" : ".tar");
      for (let at = 0; at < packed.length; at += PIECE) {
        const done = Math.min(packed.length, at + PIECE);
        yield create(ExportArchiveResponseSchema, { data: packed.subarray(at, done), fileName: at === 0 ? name : "", packedFiles: Math.floor((files.length * done) / packed.length), totalFiles: files.length });
      }
    },
  });
}

interface Packed { path: string; content: Buffer }
const bytesOf = (file: StoredFile): Buffer => Buffer.from(file.data ?? Buffer.from(file.text ?? ""));
function contentOf(content: Buffer): { text: string } | { data: Uint8Array } {
  const text = content.toString("utf8");
  return text.includes("\uFFFD") || text.includes("\0") ? { data: new Uint8Array(content) } : { text };
}
function invalid(): never {
  throw fault(Code.InvalidArgument, "ARCHIVE_INVALID", "no archive of a known form");
}

function unpack(data: Buffer): Packed[] {
  try {
    if (data.readUInt16BE(0) === 0x1f8b) return untar(gunzipSync(data));
    if (data.readUInt32BE(0) === 0x504b0304) return unzip(data);
    if (data.subarray(257, 262).toString() === "ustar") return untar(data);
  } catch {
    invalid();
  }
  return invalid();
}

function untar(data: Buffer): Packed[] {
  const files: Packed[] = [];
  for (let at = 0; at + 512 <= data.length && data[at] !== 0; ) {
    const text = (from: number, length: number) => data.subarray(at + from, at + from + length).toString().replace(/\0.*$/s, "");
    const size = Number.parseInt(text(124, 12), 8) || 0;
    const prefix = text(345, 155);
    if (["0", ""].includes(text(156, 1))) files.push({ path: (prefix ? `${prefix}/` : "") + text(0, 100), content: data.subarray(at + 512, at + 512 + size) });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** A tar, also for tests that need one. */
export function tarOf(files: Packed[]): Buffer {
  const blocks = files.flatMap(({ path, content }) => {
    const head = Buffer.alloc(512);
    head.write(path, 0);
    head.write("0000644\0", 100);
    head.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    head.write("00000000000\0", 136);
    head.write("        ", 148);
    head.write("0", 156);
    head.write("ustar\x0000", 257);
    head.write(`${head.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148);
    return [head, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function unzip(data: Buffer): Packed[] {
  const files: Packed[] = [];
  let at = data.readUInt32LE(data.lastIndexOf(Buffer.from("PK\x05\x06", "latin1")) + 16);
  while (data.readUInt32LE(at) === 0x02014b50) {
    const [method, size, nameLength, extra, comment, head] = [data.readUInt16LE(at + 10), data.readUInt32LE(at + 20), data.readUInt16LE(at + 28), data.readUInt16LE(at + 30), data.readUInt16LE(at + 32), data.readUInt32LE(at + 42)];
    const path = data.subarray(at + 46, at + 46 + nameLength).toString();
    const start = head + 30 + data.readUInt16LE(head + 26) + data.readUInt16LE(head + 28);
    const body = data.subarray(start, start + size);
    if (!path.endsWith("/")) files.push({ path, content: method === 0 ? body : inflateRawSync(body) });
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

/** A zip without compression, also for tests that need one. */
export function zip(files: Packed[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { path, content } of files) {
    const name = Buffer.from(path);
    const facts = Buffer.alloc(26);
    facts.writeUInt16LE(20, 0);
    facts.writeUInt16LE(0x0800, 2);
    facts.writeUInt32LE(crc32(content), 10);
    facts.writeUInt32LE(content.length, 14);
    facts.writeUInt32LE(content.length, 18);
    facts.writeUInt16LE(name.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    parts.push(Buffer.from("PK\x03\x04", "latin1"), facts, name, content);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), facts, tail, name);
    at += 30 + name.length + content.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, list, end]);
}
