// A mesh for one test file: keys, a Billing and a log double, and the real service as a process of its own.

import {type ChildProcess, spawn} from "node:child_process";
import {randomUUID as newId} from "node:crypto";
import {once} from "node:events";
import {copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {fileURLToPath} from "node:url";

import type {MessageInitShape} from "@bufbuild/protobuf";
import {create} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import {type AppendLogsRequest, AppendLogsResponseSchema, type LogEntry, LogService} from "#src/gen/devstudio/auth/v1/log_pb.js";
import {type ChatRequestSchema, type ChatResponse, JobState, LlmService} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Fault} from "#src/fault.js";
import {Client, listen, newServer, serviceDefinition} from "#src/grpc.js";
import {Serving, healthDefinition} from "#src/health.js";
import {Keys} from "#src/identity.js";
import {BillingDouble} from "./billing.js";
import {MeshKeys, type Person} from "./keys.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const startMs = 30_000;

/** The seeded random model that lies in the repository. */
export const tinyModel = join(root, "test/fixture/tiny.gguf");
export const admin: Person = {userId: newId(), role: "admin"};
export const dev: Person = {userId: newId(), role: "dev"};

/** Waits until something is so; fails after a while, naming it. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await isSo())) {
        if (Date.now() > deadline) throw new Error(`it did not happen in ${timeoutMs} ms that ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** Everything that a stream brings. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const one of stream) all.push(one);
    return all;
}

/** What the service answered in place of a result. */
export async function faultOf(answer: Promise<unknown>): Promise<Fault> {
    try {
        await answer;
    } catch (error) {
        return Fault.fromService(error as grpc.ServiceError, "llm");
    }
    throw new Error("the call did not fail");
}

export class Mesh {
    readonly folder = mkdtempSync(join(tmpdir(), "devstudio-llm-"));
    readonly keys = new MeshKeys(join(this.folder, "keys"));
    readonly modelsFolder = join(this.folder, "models");
    readonly journalFolder = join(this.folder, "state/journal");
    readonly entries: LogEntry[] = [];
    billing!: BillingDouble;
    client!: Client;
    output = "";
    private readonly logServer = newServer();
    private child: ChildProcess | undefined;

    private constructor(private readonly env: Record<string, string>) {}

    /** Starts everything; with the tiny model as default unless told otherwise. */
    static async start(env: Record<string, string> = {}, models: readonly string[] = [tinyModel]): Promise<Mesh> {
        const mesh = new Mesh(env);
        mkdirSync(mesh.modelsFolder, {recursive: true});
        for (const model of models) copyFileSync(model, join(mesh.modelsFolder, model.split("/").at(-1)!));
        const billingKeys = await Keys.open(join(mesh.keys.folder, "billing.key"), mesh.keys.publicFolder, "billing");
        mesh.billing = new BillingDouble(mesh.address("billing"), billingKeys);
        await mesh.billing.start();
        mesh.logServer.addService(serviceDefinition(LogService), {
            appendLogs: (call: grpc.ServerUnaryCall<AppendLogsRequest, unknown>, callback: grpc.sendUnaryData<unknown>) => {
                mesh.entries.push(...call.request.entries);
                callback(null, create(AppendLogsResponseSchema));
            },
        });
        await listen(mesh.logServer, mesh.address("auth"));
        await mesh.startService();
        return mesh;
    }

    address(service: string): string {
        return `unix:${join(this.folder, `${service}.sock`)}`;
    }

    get pid(): number {
        return this.child?.pid ?? 0;
    }

    get journal(): string[] {
        return readdirSync(this.journalFolder);
    }

    /** Starts the service and waits until it is healthy. */
    async startService(waitsForHealth = true): Promise<void> {
        const child = spawn(process.execPath, [join(root, "dist/main.js")], {
            env: {
                PATH: process.env.PATH,
                DEVSTUDIO_LISTEN: this.address("llm"),
                DEVSTUDIO_LINK_BILLING: this.address("billing"),
                DEVSTUDIO_LINK_AUTH: this.address("auth"),
                DEVSTUDIO_SERVICE_KEY: join(this.keys.folder, "llm.key"),
                DEVSTUDIO_PUBLIC_KEYS: this.keys.publicFolder,
                DEVSTUDIO_MODELS_DIR: this.modelsFolder,
                DEVSTUDIO_STATE_DIR: join(this.folder, "state"),
                DEVSTUDIO_LLM_DEFAULT_MODEL: "tiny",
                DEVSTUDIO_LLM_CONTEXT: "2048",
                DEVSTUDIO_LLM_THREADS: "1",
                ...this.env,
            },
            stdio: ["ignore", "pipe", "pipe"],
        });
        this.child = child;
        const keep = (chunk: Buffer) => {
            this.output += chunk.toString();
        };
        child.stdout.on("data", keep);
        child.stderr.on("data", keep);
        this.client = new Client(this.address("llm"));
        if (waitsForHealth) await this.untilHealthy();
    }

    async untilHealthy(): Promise<void> {
        await until("the service is healthy", async () => {
            if (this.child?.exitCode !== null) throw new Error(`the service ended: ${this.output}`);
            return (await this.health()) === Serving.SERVING;
        }, startMs);
    }

    health(service = ""): Promise<Serving | undefined> {
        const client = new grpc.Client(this.address("llm"), grpc.credentials.createInsecure());
        const {path, requestSerialize, responseDeserialize} = healthDefinition.check;
        return new Promise((resolve) => {
            client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {service}, {deadline: Date.now() + 2_000}, (_error, response) => {
                client.close();
                resolve(response?.status);
            });
        });
    }

    /** Kills the service; answers its exit code. */
    async killService(signal: NodeJS.Signals): Promise<number | null> {
        const {child} = this;
        if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
        const exited = once(child, "exit");
        child.kill(signal);
        await exited;
        this.client.close();
        return child.exitCode;
    }

    async stop(): Promise<void> {
        await this.killService("SIGTERM");
        this.billing.stop();
        this.logServer.forceShutdown();
        rmSync(this.folder, {recursive: true, force: true});
    }

    /** What a call carries, and how long it may take. */
    async as(person: Person, requestId: string = newId(), signal?: AbortSignal) {
        const metadata = await this.keys.metadata(person, requestId);
        return signal === undefined ? {metadata, timeoutMs: 60_000} : {metadata, timeoutMs: 60_000, signal};
    }

    /** A chat, piece by piece. */
    async *chat(request: MessageInitShape<typeof ChatRequestSchema>, person = dev, requestId: string = newId(), signal?: AbortSignal): AsyncGenerator<ChatResponse> {
        yield* this.client.stream(LlmService.method.chat, request, await this.as(person, requestId, signal));
    }

    /** A chat to its end. */
    async whole(request: MessageInitShape<typeof ChatRequestSchema>, person = dev, requestId: string = newId()): Promise<{pieces: ChatResponse[]; last: ChatResponse}> {
        const pieces = await collect(this.chat(request, person, requestId));
        const last = pieces.pop();
        if (last === undefined) throw new Error("the answer had no last message");
        return {pieces, last};
    }

    /** A unary call of a person. */
    async call<M extends "loadModel" | "unloadModel" | "downloadModel" | "listModels" | "countTokens" | "decide" | "embed" | "complete" | "listJobs" | "cancelJob">(
        method: M,
        request: MessageInitShape<(typeof LlmService)["method"][M]["input"]>,
        person = admin,
        requestId: string = newId(),
    ) {
        type Descriptor = (typeof LlmService)["method"][M];
        const descriptor = LlmService.method[method];
        return this.client.unary<Descriptor["input"], Descriptor["output"]>(descriptor, request, await this.as(person, requestId));
    }

    /** Waits for a job; answers how it ended. */
    async job(jobId: string) {
        const jobs = await collect(this.client.stream(LlmService.method.watchJob, {jobId}, await this.as(admin)));
        const last = jobs.at(-1)?.job;
        if (last === undefined || last.state === JobState.RUNNING) throw new Error("the watch ended before the job");
        return {job: last, messages: jobs.length};
    }
}
