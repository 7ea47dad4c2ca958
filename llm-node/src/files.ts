// The models folder: which files lie there, which models they are, and what is remembered of them.

import {createHash} from "node:crypto";
import {createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync} from "node:fs";
import {join} from "node:path";

import type {Catalog, CatalogEntry} from "./catalog.js";
import type {Estimate} from "./engine.js";

/** A model file. */
export interface LocalFile {
    modelId: string;
    entry: CatalogEntry | undefined;
    path: string;
    fileName: string;
    sizeBytes: number;
    /** What its header says; not set if it is no model file. */
    estimate: Estimate | undefined;
    /** Empty while it is not computed yet. */
    sha256: string;
}

interface Record {
    sizeBytes: number;
    mtimeMs: number;
    sha256: string;
    /** It came from the hub: later downloads must have this hash. */
    isFromHub: boolean;
    /** It was loaded without harm. */
    isProven: boolean;
}

/** Finds model files, reads each header once, and keeps a record of each hash. */
export class Files {
    private readonly estimates = new Map<string, {sizeBytes: number; mtimeMs: number; estimate: Estimate | undefined}>();
    private hashing: Promise<void> | undefined;

    constructor(
        readonly folder: string,
        private readonly recordsFolder: string,
        private readonly catalog: Catalog,
        private readonly estimate: (file: string) => Promise<Estimate>,
    ) {
        mkdirSync(recordsFolder, {recursive: true, mode: 0o700});
    }

    /** The files that lie there, one a model: the newest. */
    async scan(): Promise<Map<string, LocalFile>> {
        const names = existsSync(this.folder) ? readdirSync(this.folder).filter((name) => name.endsWith(".gguf")) : [];
        const stats = names.flatMap((fileName) => {
            const stat = statSync(join(this.folder, fileName), {throwIfNoEntry: false});
            return stat?.isFile() === true ? [{fileName, sizeBytes: stat.size, mtimeMs: stat.mtimeMs}] : [];
        });
        const found = new Map<string, LocalFile>();
        for (const {fileName, sizeBytes, mtimeMs} of stats.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
            const path = join(this.folder, fileName);
            const known = this.estimates.get(path);
            const isKnown = known?.sizeBytes === sizeBytes && known.mtimeMs === mtimeMs;
            const estimate = isKnown ? known.estimate : await this.estimate(path).catch(() => undefined);
            if (!isKnown) this.estimates.set(path, {sizeBytes, mtimeMs, estimate});
            const entry = this.catalog.ofFile(fileName);
            const modelId = entry?.id ?? idOf(fileName);
            const sha256 = this.current(fileName)?.sha256 ?? "";
            found.set(modelId, {modelId, entry, path, fileName, sizeBytes, estimate, sha256});
        }
        return found;
    }

    /** The hash that the hub declared for a file when it was first had; empty if it never was. */
    pinned(fileName: string): string {
        const record = this.record(fileName);
        return record?.isFromHub === true ? record.sha256 : "";
    }

    /** Whether this very file was loaded without harm before. */
    isProven(fileName: string): boolean {
        return this.current(fileName)?.isProven === true;
    }

    /** Remembers something of a file as it is now. */
    remember(fileName: string, facts: Partial<Pick<Record, "sha256" | "isFromHub" | "isProven">>): void {
        const {size, mtimeMs} = statSync(join(this.folder, fileName));
        const known = this.current(fileName) ?? {sha256: "", isFromHub: false, isProven: false};
        const record: Record = {...known, ...facts, sizeBytes: size, mtimeMs};
        const path = this.recordPath(fileName);
        writeFileSync(`${path}.new`, JSON.stringify(record), {mode: 0o600});
        renameSync(`${path}.new`, path);
    }

    /** Computes the hashes that are not known yet, one file after another, in the background. */
    hashUnknown(onFault: (fileName: string, error: unknown) => void): Promise<void> {
        this.hashing ??= this.hashAll(onFault).finally(() => {
            this.hashing = undefined;
        });
        return this.hashing;
    }

    private async hashAll(onFault: (fileName: string, error: unknown) => void): Promise<void> {
        for (const {fileName, path, sha256} of (await this.scan()).values()) {
            if (sha256 !== "") continue;
            try {
                const hash = createHash("sha256");
                for await (const chunk of createReadStream(path, {highWaterMark: 1024 * 1024})) hash.update(chunk as Buffer);
                this.remember(fileName, {sha256: hash.digest("hex")});
            } catch (error) {
                onFault(fileName, error);
            }
        }
    }

    /** What is remembered, if the file is still the same. */
    private current(fileName: string): Record | undefined {
        const record = this.record(fileName);
        const stat = statSync(join(this.folder, fileName), {throwIfNoEntry: false});
        return record?.sizeBytes === stat?.size && record?.mtimeMs === stat?.mtimeMs ? record : undefined;
    }

    private record(fileName: string): Record | undefined {
        try {
            const record: unknown = JSON.parse(readFileSync(this.recordPath(fileName), "utf8"));
            return typeof record === "object" && record !== null && "sha256" in record ? (record as Record) : undefined;
        } catch {
            return undefined;
        }
    }

    private recordPath(fileName: string): string {
        return join(this.recordsFolder, `${fileName}.json`);
    }
}

/** The id of a file that is in no catalogue. */
export function idOf(fileName: string): string {
    return fileName
        .replace(/\.gguf$/, "")
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, "-")
        .replace(/^[._-]+/, "");
}
