// Fetches a model file from the hub: checked for place, size, hash, quantisation and parameters before it gets its name.

import {createHash} from "node:crypto";
import {lookup} from "node:dns/promises";
import {mkdirSync, rmSync, statfsSync} from "node:fs";
import {open, rename} from "node:fs/promises";
import {isIP} from "node:net";
import {basename, join} from "node:path";

import type {CatalogEntry} from "./catalog.js";
import {Fault} from "./fault.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {type Header, readHeader} from "./gguf.js";
import type {Work} from "./jobs.js";

const mostRedirects = 5;
const answerTimeoutMs = 30_000;
const stallTimeoutMs = 60_000;
const freeMarginBytes = 64 * 1024 * 1024;
const firstHeaderTryBytes = 16 * 1024 * 1024;
const lastHeaderTryBytes = 256 * 1024 * 1024;

/** What is to be fetched, to where. */
export interface Order {
    hub: string;
    entry: CatalogEntry;
    quant: string;
    folder: string;
    fileName: string;
    maxParams: number;
    /** The hash that an earlier download had; empty if there was none. */
    pinned: string;
}

/** What was fetched. */
export interface Fetched {
    sha256: string;
    sizeBytes: number;
    header: Header;
}

interface Place {
    path: string;
    sha256: string;
    sizeBytes: number;
}

/** Fetches the file. Whatever goes wrong, no part of it stays. */
export async function download(order: Order, work: Work): Promise<Fetched> {
    mkdirSync(order.folder, {recursive: true});
    const place = await findFile(order, work.signal);
    const part = join(order.folder, `${order.fileName}.part`);
    try {
        return await fetchTo(part, place, order, work);
    } catch (error) {
        throw asFault(error);
    } finally {
        rmSync(part, {force: true});
    }
}

async function fetchTo(part: string, place: Place, order: Order, work: Work): Promise<Fetched> {
    const stalled = new AbortController();
    const signal = AbortSignal.any([work.signal, stalled.signal]);
    const url = `${order.hub}/${order.entry.source.repo}/resolve/main/${place.path.split("/").map(encodeURIComponent).join("/")}`;
    const {response, linked} = await follow(url, order.hub, signal);
    const total = place.sizeBytes || linked.sizeBytes || Number(response.headers.get("content-length") ?? 0);
    const declared = [order.pinned, place.sha256, linked.sha256].filter((hash) => hash !== "");
    ensureSpace(order.folder, total);

    const hash = createHash("sha256");
    const file = await open(part, "wx", 0o644).catch(async (error: unknown) => {
        // A process that was killed left its part behind; nobody else writes here.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        rmSync(part);
        return open(part, "wx", 0o644);
    });
    let done = 0;
    let nextTry = firstHeaderTryBytes;
    let header: Header | undefined;
    const began = performance.now();
    let stallTimer = setTimeout(() => stalled.abort(), stallTimeoutMs);
    try {
        if (response.body === null) throw hubFault("sent no file");
        for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
            clearTimeout(stallTimer);
            stallTimer = setTimeout(() => stalled.abort(), stallTimeoutMs);
            hash.update(bytes);
            await file.appendFile(bytes);
            done += bytes.length;
            if (total > 0 && done > total) throw hubFault("sent more than it declared");
            work.bytes(done, total, (done * 1000) / Math.max(1, performance.now() - began));
            // A file that would be refused is not fetched to its end.
            if (header === undefined && done >= nextTry && nextTry <= lastHeaderTryBytes) {
                nextTry *= 2;
                header = await readHeader(part, true).catch(() => undefined);
                if (header !== undefined) judge(header, order);
            }
        }
        await file.sync();
    } finally {
        clearTimeout(stallTimer);
        await file.close();
    }
    work.signal.throwIfAborted();
    if (stalled.signal.aborted) throw hubFault("sent nothing for a minute");
    if (total > 0 && done !== total) throw hubFault(`broke off after ${done} of ${total} bytes`);
    const sha256 = hash.digest("hex");
    const expected = declared.find((hash) => hash !== sha256);
    if (expected !== undefined) throw hubFault("sent a file whose hash is not the declared one").with("expected", expected).with("sha256", sha256);
    header ??= await readHeader(part).catch((error: unknown) => {
        throw new Fault(Reason.NOT_SUPPORTED, "the file is not a model in GGUF form", {cause: error});
    });
    judge(header, order);
    await rename(part, join(order.folder, order.fileName));
    await syncFolder(order.folder);
    return {sha256, sizeBytes: done, header};
}

/** Refuses what may not be had: by quantisation, and by parameters. */
function judge(header: Header, {entry, maxParams}: Order): void {
    if (header.quant !== "" && !entry.allowedQuants.includes(header.quant))
        throw new Fault(Reason.QUANT_NOT_ALLOWED, `the file is quantised as ${header.quant}`).with("quant", header.quant).with("allowed", entry.allowedQuants.join(", "));
    if (header.parameters > maxParams)
        throw new Fault(Reason.MODEL_TOO_LARGE, "the model has more parameters than allowed").with("parameters", header.parameters).with("limit", maxParams);
}

/** Throws DISK_FULL if a file of this size would not fit. */
export function ensureSpace(folder: string, bytes: number): void {
    mkdirSync(folder, {recursive: true});
    const {bavail, bsize} = statfsSync(folder);
    const free = bavail * bsize;
    if (free < bytes + freeMarginBytes) throw new Fault(Reason.DISK_FULL, "the disk has no room for the model").with("needed", bytes).with("free", free);
}

async function findFile({hub, entry, quant}: Order, signal: AbortSignal): Promise<Place> {
    if (entry.source.file !== undefined && quant === entry.allowedQuants[0]) return {path: entry.source.file, sha256: entry.sha256, sizeBytes: entry.sizeBytes};
    const {response} = await follow(`${hub}/api/models/${entry.source.repo}/tree/main?recursive=true`, hub, signal);
    const files: unknown = await response.json();
    if (!Array.isArray(files)) throw hubFault("lists no files");
    const wanted = new RegExp(`(?:^|[-._/])${quant}\\.gguf$`, "i");
    const found = files.map(asPlace).find((place) => place !== undefined && wanted.test(basename(place.path)));
    if (found === undefined) throw new Fault(Reason.NOT_FOUND, `the hub has no ${quant} of this model`);
    return found;
}

function asPlace(raw: unknown): Place | undefined {
    if (typeof raw !== "object" || raw === null || !("path" in raw) || typeof raw.path !== "string") return undefined;
    const lfs = "lfs" in raw && typeof raw.lfs === "object" && raw.lfs !== null ? raw.lfs : {};
    const sha256 = "oid" in lfs && typeof lfs.oid === "string" ? hexHash(lfs.oid) : "";
    return {path: raw.path, sha256, sizeBytes: "size" in raw && typeof raw.size === "number" ? raw.size : 0};
}

async function follow(start: string, hub: string, signal: AbortSignal): Promise<{response: Response; linked: {sha256: string; sizeBytes: number}}> {
    let url = new URL(start);
    const linked = {sha256: "", sizeBytes: 0};
    for (let hop = 0; hop <= mostRedirects; hop++) {
        await ensureAllowed(url, new URL(hub));
        const late = new AbortController();
        const timer = setTimeout(() => late.abort(), answerTimeoutMs);
        const response = await fetch(url, {redirect: "manual", signal: AbortSignal.any([signal, late.signal]), headers: {"accept-encoding": "identity", "user-agent": "devstudio-llm"}})
            .catch((error: unknown) => {
                throw signal.aborted ? error : hubFault("does not answer", error);
            })
            .finally(() => clearTimeout(timer));
        linked.sha256 ||= hexHash(response.headers.get("x-linked-etag") ?? "") || hexHash(response.headers.get("etag") ?? "");
        linked.sizeBytes ||= Number(response.headers.get("x-linked-size") ?? 0);
        if (response.status === 200) return {response, linked};
        await response.body?.cancel();
        const location = response.headers.get("location");
        if (response.status < 300 || response.status >= 400 || location === null) throw refused(response.status);
        url = new URL(location, url);
    }
    throw hubFault("redirects without end");
}

/** Only the hub itself, and where it redirects to by https; never into this machine or its network. */
export async function ensureAllowed(url: URL, hub: URL): Promise<void> {
    if (url.origin === hub.origin) return;
    const isLocalHub = isLoopback(hub.hostname);
    if (isLocalHub && isLoopback(url.hostname)) return;
    const refuse = (why: string) => hubFault(`redirects to ${url.origin}, ${why}`);
    if (url.protocol !== "https:") throw refuse("which is not https");
    if (url.username !== "" || url.password !== "") throw refuse("with credentials");
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = isIP(host) === 0 ? await lookup(host, {all: true}).catch(() => []) : [{address: host}];
    if (addresses.length === 0) throw refuse("which is nowhere");
    if (addresses.some(({address}) => isPrivate(address))) throw refuse("which is inside this network");
}

function isLoopback(hostname: string): boolean {
    return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** Whether an address is of this machine, its network, or of no use on the internet. */
export function isPrivate(address: string): boolean {
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
    const plain = mapped ?? address;
    if (isIP(plain) === 4) {
        const [a = 0, b = 0] = plain.split(".").map(Number);
        return a === 0 || a === 10 || a === 127 || a >= 224 || (a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 192 && b === 0) || (a === 198 && (b === 18 || b === 19));
    }
    // Only global unicast (2000::/3) leads to the internet; 6to4 and NAT64 may hide a private address.
    return !/^[23]/.test(plain) || /^2002:/i.test(plain);
}

function hexHash(etag: string): string {
    return /^(?:W\/)?"?(?:sha256:)?([0-9a-f]{64})"?$/i.exec(etag)?.[1]?.toLowerCase() ?? "";
}

function refused(status: number): Fault {
    if (status === 404 || status === 410) return new Fault(Reason.NOT_FOUND, "the hub has no such file").with("http_status", status);
    if (status === 401 || status === 403) return hubFault("gives the file only to those who have accepted its terms").with("http_status", status);
    return hubFault(`answers with status ${status}`).with("http_status", status);
}

function hubFault(what: string, cause?: unknown): Fault {
    return new Fault(Reason.UPSTREAM_UNAVAILABLE, `the hub ${what}`, {cause}).with("service", "hub");
}

function asFault(error: unknown): Fault {
    if (error instanceof Fault) return error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOSPC" || code === "EDQUOT") return new Fault(Reason.DISK_FULL, "the disk is full", {cause: error});
    // undici reports a connection that broke off as a TypeError.
    if (error instanceof TypeError || (error instanceof Error && error.name === "AbortError")) return hubFault("broke off", error);
    return Fault.internal(error);
}

async function syncFolder(folder: string): Promise<void> {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
}
