// What the service reads from its environment: every setting, its default and its check.

import {readFileSync} from "node:fs";
import {availableParallelism, homedir} from "node:os";
import {join} from "node:path";

/** A setting as --help shows it. */
export interface Setting {
    name: string;
    fallback: string;
    help: string;
}

/** Every setting, in the order of --help and of README.md. */
export const settings: readonly Setting[] = [
    {name: "DEVSTUDIO_LISTEN", fallback: "127.0.0.1:50055", help: "where to listen: unix:/path or [http://]host:port"},
    {name: "DEVSTUDIO_LINK_BILLING", fallback: "", help: "address of Billing; required"},
    {name: "DEVSTUDIO_LINK_AUTH", fallback: "", help: "address of Auth, for the log that people see; without it only stdout is told"},
    {name: "DEVSTUDIO_SERVICE_KEY", fallback: "", help: "file of this service's private key (Ed25519, PKCS#8 PEM); required"},
    {name: "DEVSTUDIO_PUBLIC_KEYS", fallback: "", help: "folder of the services' public keys, <service>.pem; required"},
    {name: "DEVSTUDIO_MODELS_DIR", fallback: "~/.cache/devstudio/models", help: "folder of the models' files"},
    {name: "DEVSTUDIO_STATE_DIR", fallback: "", help: "folder of the journal and the models' records; required"},
    {name: "DEVSTUDIO_METRICS_LISTEN", fallback: "", help: "host:port of /metrics; off when empty"},
    {name: "DEVSTUDIO_LOG_FORMAT", fallback: "json", help: "json or pretty"},
    {name: "DEVSTUDIO_LLM_DEFAULT_MODEL", fallback: "smollm2-135m-instruct", help: "model that answers when a call names none, loaded at start if its file is there; none for no model"},
    {name: "DEVSTUDIO_LLM_DEFAULT_EMBEDDING_MODEL", fallback: "", help: "model that embeds when a call names none; the default model when empty"},
    {name: "DEVSTUDIO_LLM_MAX_PARAMS", fallback: "3.5e9", help: "most parameters of a model that may be loaded"},
    {name: "DEVSTUDIO_LLM_THREADS", fallback: "auto", help: "threads for inference; auto is the processors of the cgroup less one"},
    {name: "DEVSTUDIO_LLM_SEQUENCES", fallback: "2", help: "answers that a model generates at the same time"},
    {name: "DEVSTUDIO_LLM_CONTEXT", fallback: "8192", help: "tokens of context an answer, at most what the model was trained with"},
    {name: "DEVSTUDIO_LLM_BLOCK_TOKENS", fallback: "128", help: "tokens that are reserved at Billing at a time"},
    {name: "DEVSTUDIO_LLM_QUEUE", fallback: "64", help: "requests that may wait for a model"},
    {name: "DEVSTUDIO_LLM_QUEUE_PER_USER", fallback: "32", help: "requests of one person that may wait for a model"},
    {name: "DEVSTUDIO_LLM_CATALOG", fallback: "", help: "file of further models, in the form of catalog.json"},
    {name: "DEVSTUDIO_LLM_HEARTBEAT_MS", fallback: "10000", help: "how often a reservation's lease is renewed"},
    {name: "DEVSTUDIO_LLM_BILLING_RETRY_MS", fallback: "2000", help: "how long a stream with nothing left to spend waits for Billing"},
    {name: "DEVSTUDIO_LLM_DRAIN_MS", fallback: "10000", help: "how long answers may go on after SIGTERM"},
    {name: "HF_ENDPOINT", fallback: "https://huggingface.co", help: "the hub that models come from"},
    {name: "OTEL_EXPORTER_OTLP_ENDPOINT", fallback: "", help: "where traces go; off when empty"},
    {name: "OTEL_EXPORTER_OTLP_PROTOCOL", fallback: "grpc", help: "grpc or http/protobuf"},
];

/** The settings, checked. */
export interface Config {
    listen: string;
    billing: string;
    auth: string;
    serviceKey: string;
    publicKeys: string;
    modelsDir: string;
    stateDir: string;
    metricsListen: string;
    logFormat: "json" | "pretty";
    defaultModel: string;
    defaultEmbeddingModel: string;
    maxParams: number;
    threads: number;
    sequences: number;
    context: number;
    blockTokens: number;
    queue: number;
    queuePerUser: number;
    extraCatalog: string;
    heartbeatMs: number;
    billingRetryMs: number;
    drainMs: number;
    hub: string;
    otlpEndpoint: string;
    otlpProtocol: "grpc" | "http/protobuf";
}

/** A setting that cannot be used. */
export class ConfigError extends Error {}

/** Reads and checks the settings. Throws a ConfigError that names what is wrong. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
    const text = (name: string): string => {
        const value = env[name]?.trim();
        return value === undefined || value === "" ? (settings.find((one) => one.name === name)?.fallback ?? "") : value;
    };
    const required = (name: string): string => {
        const value = text(name);
        if (value === "") throw new ConfigError(`${name} is not set; --help tells what it is for`);
        return value;
    };
    const number = (name: string, least: number, most: number): number => {
        const value = Number(text(name));
        if (!Number.isFinite(value) || value < least || value > most)
            throw new ConfigError(`${name} is ${text(name)}; it must be a number from ${least} to ${most}`);
        return value;
    };
    const oneOf = <T extends string>(name: string, choices: readonly T[]): T => {
        const value = text(name);
        const found = choices.find((choice) => choice === value);
        if (found === undefined) throw new ConfigError(`${name} is ${value}; it must be one of ${choices.join(", ")}`);
        return found;
    };
    const threads = text("DEVSTUDIO_LLM_THREADS");
    const hub = text("HF_ENDPOINT").replace(/\/+$/, "");
    if (!URL.canParse(hub) || !/^https?:$/.test(new URL(hub).protocol))
        throw new ConfigError(`HF_ENDPOINT is ${hub}; it must be the address of a hub`);
    return {
        listen: text("DEVSTUDIO_LISTEN"),
        billing: required("DEVSTUDIO_LINK_BILLING"),
        auth: text("DEVSTUDIO_LINK_AUTH"),
        serviceKey: required("DEVSTUDIO_SERVICE_KEY"),
        publicKeys: required("DEVSTUDIO_PUBLIC_KEYS"),
        modelsDir: text("DEVSTUDIO_MODELS_DIR").replace(/^~(?=\/)/, homedir()),
        stateDir: required("DEVSTUDIO_STATE_DIR"),
        metricsListen: text("DEVSTUDIO_METRICS_LISTEN"),
        logFormat: oneOf("DEVSTUDIO_LOG_FORMAT", ["json", "pretty"]),
        defaultModel: text("DEVSTUDIO_LLM_DEFAULT_MODEL"),
        defaultEmbeddingModel: text("DEVSTUDIO_LLM_DEFAULT_EMBEDDING_MODEL"),
        maxParams: number("DEVSTUDIO_LLM_MAX_PARAMS", 1, 1e13),
        threads: threads === "auto" ? Math.max(1, usableProcessors() - 1) : number("DEVSTUDIO_LLM_THREADS", 1, 512),
        sequences: number("DEVSTUDIO_LLM_SEQUENCES", 1, 64),
        context: number("DEVSTUDIO_LLM_CONTEXT", 256, 1_048_576),
        blockTokens: number("DEVSTUDIO_LLM_BLOCK_TOKENS", 1, 65_536),
        queue: number("DEVSTUDIO_LLM_QUEUE", 0, 100_000),
        queuePerUser: number("DEVSTUDIO_LLM_QUEUE_PER_USER", 0, 100_000),
        extraCatalog: text("DEVSTUDIO_LLM_CATALOG"),
        heartbeatMs: number("DEVSTUDIO_LLM_HEARTBEAT_MS", 50, 600_000),
        billingRetryMs: number("DEVSTUDIO_LLM_BILLING_RETRY_MS", 0, 600_000),
        drainMs: number("DEVSTUDIO_LLM_DRAIN_MS", 0, 600_000),
        hub,
        otlpEndpoint: text("OTEL_EXPORTER_OTLP_ENDPOINT"),
        otlpProtocol: oneOf("OTEL_EXPORTER_OTLP_PROTOCOL", ["grpc", "http/protobuf"]),
    };
}

/** What --help prints. */
export function helpText(): string {
    const width = Math.max(...settings.map((one) => one.name.length));
    const rows = settings.map((one) => `  ${one.name.padEnd(width)}  ${one.help}${one.fallback === "" ? "" : ` [${one.fallback}]`}`);
    return `The Llm service of DevStudio: models and inference, by gRPC.\n\nUsage: node dist/main.js [--help | --version]\n\nSettings, from the environment:\n${rows.join("\n")}\n`;
}

/** Processors that this process may use, by the cgroup's quota where there is one. */
export function usableProcessors(root = "/sys/fs/cgroup"): number {
    const all = availableParallelism();
    const quota = cpuQuota(root);
    return quota === undefined ? all : Math.max(1, Math.min(all, Math.ceil(quota)));
}

function cpuQuota(root: string): number | undefined {
    const read = (path: string): string | undefined => {
        try {
            return readFileSync(join(root, path), "utf8").trim();
        } catch {
            return undefined;
        }
    };
    const [max, period] = read("cpu.max")?.split(/\s+/).map(Number) ?? [Number(read("cpu/cpu.cfs_quota_us")), Number(read("cpu/cpu.cfs_period_us"))];
    if (max === undefined || period === undefined || !(max > 0) || !(period > 0)) return undefined;
    return max / period;
}
