#!/usr/bin/env node
// Starts the service, and ends it in good order.

import {readFileSync} from "node:fs";
import {join} from "node:path";

import {Billing} from "./billing.js";
import {Catalog, catalogFile} from "./catalog.js";
import {type Config, ConfigError, helpText, readConfig} from "./config.js";
import {Engine} from "./engine.js";
import {Files} from "./files.js";
import {LlmService} from "./gen/devstudio/llm/v1/llm_pb.js";
import {listen, newServer, serviceDefinition} from "./grpc.js";
import {guarded} from "./guard.js";
import {Health, Serving} from "./health.js";
import {Keys} from "./identity.js";
import {Jobs} from "./jobs.js";
import {Journal} from "./journal.js";
import {Log} from "./logs.js";
import {Metrics} from "./metrics.js";
import {Models} from "./models.js";
import {llmMethods} from "./service.js";
import {Stats} from "./stats.js";
import {Telemetry} from "./telemetry.js";

/** What answers need at most to end once they are told to. */
const endingMs = 2_000;

async function serve(config: Config): Promise<() => Promise<void>> {
    const metrics = new Metrics();
    const telemetry = new Telemetry(config, version());
    const keys = await Keys.open(config.serviceKey, config.publicKeys);
    const log = new Log(config.logFormat, config.auth === "" ? undefined : {address: config.auth, keys, onDrop: (count) => metrics.logsDropped.inc(count)});
    const journal = new Journal(join(config.stateDir, "journal"));
    const billing = new Billing(config.billing, keys, journal, log, (count) => metrics.unsettled.set(count));
    const engine = await Engine.start(config, log, (change) => metrics.queueDepth.inc(change));
    const catalog = Catalog.read(catalogFile, ...(config.extraCatalog === "" ? [] : [config.extraCatalog]));
    const files = new Files(config.modelsDir, join(config.stateDir, "models"), catalog, (file) => engine.estimate(file));
    const jobs = new Jobs((job, fault) => log.error("a job failed", fault, {job_id: job.id, model: job.modelId}));
    const models = new Models(config, catalog, files, engine, jobs, log, metrics);
    const stats = new Stats(() => models.all);
    const health = new Health([LlmService.typeName]);
    const closing = new AbortController();

    const server = newServer();
    const methods = llmMethods({settings: config, billing, journal, log, metrics, stats}, models, jobs, closing.signal);
    server.addService(serviceDefinition(LlmService), guarded(LlmService, methods, {keys, log, metrics, telemetry}));
    health.register(server);
    billing.recover();
    const port = await listen(server, config.listen);
    const metricsServer = config.metricsListen === "" ? undefined : await metrics.serve(config.metricsListen);
    log.info("listening", {address: config.listen, port: port === 0 ? undefined : port, threads: config.threads});
    // The service is healthy once its default model answers, or cannot be had.
    void models.loadDefault().then(() => {
        if (!closing.signal.aborted) health.set(Serving.SERVING);
    });

    return async () => {
        log.info("ending");
        closing.abort();
        health.close();
        await Promise.race([new Promise<void>((resolve) => server.tryShutdown(() => resolve())), pause(Math.max(0, config.drainMs - endingMs))]);
        await jobs.close();
        await models.close();
        await Promise.race([new Promise<void>((resolve) => server.tryShutdown(() => resolve())), pause(endingMs)]);
        server.forceShutdown();
        billing.close();
        stats.close();
        metricsServer?.close();
        await engine.close();
        await Promise.race([Promise.all([log.close(), telemetry.close()]), pause(endingMs)]);
    };
}

function pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function version(): string {
    const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}

async function main(): Promise<void> {
    if (process.argv.includes("--help")) {
        process.stdout.write(helpText());
        return;
    }
    if (process.argv.includes("--version")) {
        process.stdout.write(`${version()}\n`);
        return;
    }
    const close = await serve(readConfig(process.env));
    let ending: Promise<void> | undefined;
    const end = () => {
        ending ??= close().then(
            () => process.exit(0),
            (error: unknown) => fail(error),
        );
    };
    process.on("SIGTERM", end);
    process.on("SIGINT", end);
}

function fail(error: unknown): never {
    const words = error instanceof ConfigError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`devstudio-llm: ${words}\n`);
    process.exit(error instanceof ConfigError ? 2 : 1);
}

main().catch(fail);
