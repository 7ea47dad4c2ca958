// The service's log: lines on stdout, and what people may see of it sent to Auth in batches that block nobody.

import {create} from "@bufbuild/protobuf";
import {timestampFromDate} from "@bufbuild/protobuf/wkt";
import {Metadata} from "@grpc/grpc-js";

import type {Config} from "./config.js";
import {Level, type LogEntry, LogEntrySchema, LogService} from "./gen/devstudio/auth/v1/log_pb.js";
import {Client} from "./grpc.js";
import {type Keys, serviceTokenKey} from "./identity.js";

/** Facts beside a message. Never the text of a prompt or an answer. */
export type Fields = Record<string, string | number | bigint | boolean | undefined>;

/** Whose entry it is and to which trace it belongs. */
export interface Owner {
    userId?: string;
    traceId?: string;
}

const queueBound = 1_000;
const batchSize = 200;
const pauseMs = 250;
const timeoutMs = 5_000;

/** Writes lines; `event` also tells people. */
export class Log {
    private readonly queue: LogEntry[] = [];
    private readonly client: Client | undefined;
    private timer: NodeJS.Timeout | undefined;
    private sending: Promise<void> | undefined;

    constructor(
        private readonly format: Config["logFormat"],
        link?: {address: string; keys: Keys; onDrop: (count: number) => void},
        private readonly write: (line: string) => void = (line) => process.stdout.write(line),
    ) {
        this.link = link;
        if (link !== undefined) this.client = new Client(link.address);
    }

    private readonly link: {address: string; keys: Keys; onDrop: (count: number) => void} | undefined;

    /** For those who run the service. */
    info(message: string, fields: Fields = {}): void {
        this.line(Level.INFO, message, fields);
    }

    /** Something is not as it should be. */
    warn(message: string, fields: Fields = {}): void {
        this.line(Level.WARN, message, fields);
    }

    /** Something failed. The cause goes here and nowhere else. */
    error(message: string, cause: unknown, fields: Fields = {}): void {
        this.line(Level.ERROR, message, {...fields, cause: describe(cause)});
    }

    /** Something that people see in the Studio's log. */
    event(message: string, fields: Fields, owner: Owner = {}, level: Level = Level.INFO): void {
        this.line(level, message, {...fields, user_id: owner.userId, trace_id: owner.traceId});
        if (this.client === undefined) return;
        if (this.queue.length >= queueBound) {
            this.link?.onDrop(1);
            return;
        }
        const told = Object.entries(fields).filter((entry) => entry[1] !== undefined);
        this.queue.push(
            create(LogEntrySchema, {
                at: timestampFromDate(new Date()),
                level,
                service: "llm",
                traceId: owner.traceId ?? "",
                userId: owner.userId ?? "",
                message,
                fields: Object.fromEntries(told.map(([key, value]) => [key, String(value)])),
            }),
        );
        this.timer ??= setTimeout(() => void this.flush(), pauseMs);
    }

    /** Sends what waits, and closes the link. */
    async close(): Promise<void> {
        await this.flush();
        this.client?.close();
    }

    private async flush(): Promise<void> {
        clearTimeout(this.timer);
        this.timer = undefined;
        await this.sending;
        this.sending = this.send();
        await this.sending;
        this.sending = undefined;
    }

    private async send(): Promise<void> {
        while (this.client !== undefined && this.link !== undefined && this.queue.length > 0) {
            const entries = this.queue.splice(0, batchSize);
            try {
                const metadata = new Metadata();
                metadata.set(serviceTokenKey, await this.link.keys.ownToken());
                await this.client.unary(LogService.method.appendLogs, {entries}, {metadata, timeoutMs});
            } catch (error) {
                this.link.onDrop(entries.length);
                this.line(Level.WARN, "log entries were dropped: Auth does not take them", {entries: entries.length, cause: describe(error)});
                return;
            }
        }
    }

    private line(level: Level, message: string, fields: Fields): void {
        const at = new Date().toISOString();
        const facts = Object.fromEntries(Object.entries(fields).filter((entry) => entry[1] !== undefined && entry[1] !== ""));
        if (this.format === "pretty") {
            const rest = Object.entries(facts).map(([key, value]) => `${key}=${String(value)}`);
            this.write([at, Level[level].padEnd(5), message, ...rest].join(" ") + "\n");
        } else {
            const line = {at, level: Level[level].toLowerCase(), service: "llm", message, ...facts};
            this.write(JSON.stringify(line, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)) + "\n");
        }
    }
}

/** A cause in words, with its own causes. */
export function describe(cause: unknown): string {
    if (!(cause instanceof Error)) return String(cause);
    const own = cause.stack ?? `${cause.name}: ${cause.message}`;
    return cause.cause === undefined ? own : `${own}\ncaused by ${describe(cause.cause)}`;
}
