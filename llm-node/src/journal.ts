// Remembers on disk, per request, how many tokens were produced, so that a crash or a silent Billing loses no count.

import {closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync} from "node:fs";
import {join} from "node:path";

import type {UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";

/** What is known of a request before its first token. */
export interface Opening {
    requestId: string;
    modelId: string;
    promptTokens: number;
}

/** How a request ended, as Billing is to be told. */
export interface Ending {
    promptTokens: number;
    completionTokens: number;
    cachedTokens: number;
    status: UsageStatus;
    ttftMs: number;
    totalMs: number;
    errorReason: string;
}

/** A request that was not settled: its opening, the count that stands, and its ending if that was known. */
export interface Unsettled {
    opening: Opening;
    produced: number;
    ending: Ending | undefined;
}

/** A folder with one file a request. */
export class Journal {
    constructor(private readonly folder: string) {
        mkdirSync(folder, {recursive: true, mode: 0o700});
    }

    /** Opens the record of a request. Fails if there is one already. */
    open(opening: Opening): Entry {
        return new Entry(this.path(opening.requestId), opening);
    }

    /** Requests whose records still lie there. What cannot be read is set aside, never lost. */
    unsettled(): Unsettled[] {
        return readdirSync(this.folder)
            .filter((name) => name.endsWith(".journal"))
            .flatMap((name) => {
                const record = parse(readFileSync(join(this.folder, name), "utf8"));
                if (record === undefined) renameSync(join(this.folder, name), join(this.folder, `${name}.unreadable`));
                return record ?? [];
            });
    }

    /** Removes the record of a request that is settled. */
    remove(requestId: string): void {
        rmSync(this.path(requestId), {force: true});
    }

    /** Whether a request's record lies there. */
    has(requestId: string): boolean {
        return existsSync(this.path(requestId));
    }

    private path(requestId: string): string {
        if (!/^[\w-]{1,64}$/.test(requestId)) throw new Error("a request id that cannot be a file name");
        return join(this.folder, `${requestId}.journal`);
    }
}

/** The record of one request: a line for its opening, one for each count, one for its ending. */
export class Entry {
    private readonly file: number;
    private isClosed = false;

    constructor(
        path: string,
        readonly opening: Opening,
    ) {
        this.file = openSync(path, "ax", 0o600);
        this.append(JSON.stringify(opening));
    }

    /** Writes the count; a write without fsync survives a kill of this process. */
    mark(produced: number): void {
        this.append(String(produced));
    }

    /** Writes how it ended, and closes the file. */
    end(ending: Ending): void {
        if (this.isClosed) return;
        this.append(JSON.stringify(ending));
        this.isClosed = true;
        closeSync(this.file);
    }

    private append(line: string): void {
        if (!this.isClosed) writeSync(this.file, `${line}\n`);
    }
}

function parse(text: string): Unsettled | undefined {
    // The last piece is empty, or a line that a crash cut off.
    const lines = text.split("\n").slice(0, -1);
    try {
        const [first, ...rest] = lines.map((line): unknown => JSON.parse(line));
        const opening = first as Opening | undefined;
        if (opening === undefined || typeof opening.requestId !== "string" || typeof opening.promptTokens !== "number") return undefined;
        const counts = rest.filter((one) => typeof one === "number");
        const ending = rest.find((one): one is Ending => typeof one === "object" && one !== null);
        return {opening, produced: counts.at(-1) ?? 0, ending};
    } catch {
        return undefined;
    }
}
