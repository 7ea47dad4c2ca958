// The models that DevStudio knows: read from catalog.json and checked, found by id or alias.

import {readFileSync} from "node:fs";
import {fileURLToPath} from "node:url";

import {ConfigError} from "./config.js";

/** A model that can be had. Sizes and hashes are read from the hub, save for the model that comes along. */
export interface CatalogEntry {
    id: string;
    name: string;
    aliases: readonly string[];
    /** Where it comes from: hf:owner/repo:QUANT or hf:owner/repo/file.gguf. */
    source: Source;
    /** Quantisations that may be had; the first is the usual one. */
    allowedQuants: readonly string[];
    license: string;
    note: string;
    /** Its parameters, roughly, where that keeps a large file from being fetched in vain; 0 while unknown. */
    aboutParameters: number;
    isEmbedding: boolean;
    sha256: string;
    sizeBytes: number;
}

/** A place on the hub. */
export interface Source {
    /** As it is written in the catalogue. */
    text: string;
    repo: string;
    /** The file, where it is named; otherwise it is looked up by quantisation. */
    file: string | undefined;
}

/** The catalogue that lies beside this package. */
export const catalogFile = fileURLToPath(new URL("../catalog.json", import.meta.url));

/** The entries, by id and alias. */
export class Catalog {
    private readonly byName = new Map<string, CatalogEntry>();

    constructor(readonly entries: readonly CatalogEntry[]) {
        for (const entry of entries) {
            for (const name of [entry.id, ...entry.aliases]) {
                if (this.byName.has(name)) throw new ConfigError(`the catalogue has the name ${name} twice`);
                this.byName.set(name, entry);
            }
        }
    }

    /** Reads catalog.json, and a further file if there is one. Throws a ConfigError that names what is wrong. */
    static read(...files: readonly string[]): Catalog {
        return new Catalog(files.flatMap((file) => readEntries(file)));
    }

    /** The entry of an id or alias. */
    find(name: string): CatalogEntry | undefined {
        return this.byName.get(name);
    }

    /** The entry that a file in the models folder belongs to. */
    ofFile(fileName: string): CatalogEntry | undefined {
        return this.entries.find((entry) => entry.allowedQuants.some((quant) => fileNameOf(entry, quant) === fileName));
    }
}

/** The name that a model's file has in the models folder. */
export function fileNameOf(entry: CatalogEntry, quant: string): string {
    const named = entry.source.file?.split("/").at(-1);
    return named !== undefined && quant === entry.allowedQuants[0] ? named : `${entry.id}.${quant}.gguf`;
}

function readEntries(file: string): CatalogEntry[] {
    const wrong = (what: string) => new ConfigError(`${file}: ${what}`);
    let data: unknown;
    try {
        data = JSON.parse(readFileSync(file, "utf8"));
    } catch (error) {
        throw wrong(error instanceof Error ? error.message : String(error));
    }
    if (!isRecord(data) || !Array.isArray(data.models)) throw wrong("has no list of models");
    return data.models.map((raw: unknown, index) => {
        if (!isRecord(raw)) throw wrong(`model ${index} is no object`);
        const text = (key: string, fallback?: string): string => {
            const value = raw[key] ?? fallback;
            if (typeof value !== "string") throw wrong(`model ${index} has no ${key}`);
            return value;
        };
        const list = (key: string): string[] => {
            const value = raw[key] ?? [];
            if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) throw wrong(`model ${index}: ${key} is no list of texts`);
            return value;
        };
        const id = text("id");
        if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(id)) throw wrong(`${id} is no model id`);
        const source = parseSource(text("source"));
        if (source === undefined) throw wrong(`${id}: the source is neither hf:owner/repo:QUANT nor hf:owner/repo/file.gguf`);
        const allowedQuants = list("allowedQuants");
        if (allowedQuants.length === 0) throw wrong(`${id} names no quantisation`);
        return {
            id,
            name: text("name"),
            aliases: list("aliases"),
            source,
            allowedQuants,
            license: text("license"),
            note: text("note", ""),
            aboutParameters: typeof raw.aboutParameters === "number" ? raw.aboutParameters : 0,
            isEmbedding: raw.embedding === true,
            sha256: text("sha256", ""),
            sizeBytes: typeof raw.sizeBytes === "number" ? raw.sizeBytes : 0,
        };
    });
}

function parseSource(text: string): Source | undefined {
    const [, repo, quant, file] = /^hf:([\w.-]+\/[\w.-]+)(?::(\w+)|\/([\w./-]+\.gguf))$/.exec(text) ?? [];
    if (repo === undefined || (quant === undefined && file === undefined) || text.includes("..")) return undefined;
    return {text, repo, file};
}

function isRecord(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null;
}
