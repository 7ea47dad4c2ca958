// The inference engine: node-llama-cpp on the processor, what a model will need of memory, and loading it.

import {existsSync, readFileSync, statSync} from "node:fs";
import {freemem} from "node:os";

import {GgufInsights, type Llama, LlamaLogLevel, getLlama} from "node-llama-cpp";

import type {Config} from "./config.js";
import {type Header, headerOf, readInfo} from "./gguf.js";
import {LoadedModel} from "./loaded.js";
import type {Log} from "./logs.js";

/** What a model file will need. */
export interface Estimate {
    header: Header;
    contextSize: number;
    memoryBytes: number;
}

/** What the engine needs of the settings. */
export type EngineSettings = Pick<Config, "threads" | "sequences" | "context" | "queue" | "queuePerUser">;

/** Loads models. There is one in a process. */
export class Engine {
    private constructor(
        private readonly llama: Llama,
        private readonly settings: EngineSettings,
        private readonly onQueueDepth: (change: number) => void,
    ) {}

    /** Starts llama.cpp from its prebuilt binary; nothing is ever compiled or fetched. */
    static async start(settings: EngineSettings, log: Log, onQueueDepth: (change: number) => void): Promise<Engine> {
        const llama = await getLlama({
            gpu: false,
            build: "never",
            skipDownload: true,
            maxThreads: settings.threads,
            logLevel: LlamaLogLevel.warn,
            logger: (level, message) => {
                log.warn("llama.cpp says", {llama_level: level, text: message.trim()});
            },
        });
        return new Engine(llama, settings, onQueueDepth);
    }

    /** Reads a file's header and computes its memory. Throws if it is no model file. */
    async estimate(file: string): Promise<Estimate> {
        const info = await readInfo(file);
        const header = headerOf(info);
        const insights = await GgufInsights.from(info, this.llama);
        if (statSync(file).size < insights.modelSize + info.totalMetadataSize) throw new Error("the file is shorter than its header says");
        const contextSize = Math.min(this.settings.context, insights.trainContextSize ?? this.settings.context);
        // Their successors load the file natively, which a hostile one may not outlive: here the header has to do.
        /* eslint-disable @typescript-eslint/no-deprecated */
        const model = insights.estimateModelResourceRequirements({gpuLayers: 0}).cpuRam;
        const context = insights.estimateContextResourceRequirements({
            contextSize,
            modelGpuLayers: 0,
            sequences: header.isEmbedding ? 1 : this.settings.sequences,
            isEmbeddingContext: header.isEmbedding,
        }).cpuRam;
        /* eslint-enable @typescript-eslint/no-deprecated */
        return {header, contextSize, memoryBytes: model + context};
    }

    /** Loads a model and warms it up. */
    async load(modelId: string, file: string, {header, contextSize, memoryBytes}: Estimate, progress: (share: number) => void, signal: AbortSignal): Promise<LoadedModel> {
        const model = await this.llama.loadModel({
            modelPath: file,
            loadSignal: signal,
            // The last tenth is the context and the first token.
            onLoadProgress: (share) => progress(share * 0.9),
        });
        try {
            return await LoadedModel.open(model, {modelId, header, contextSize, memoryBytes, settings: this.settings, onQueueDepth: this.onQueueDepth, signal});
        } catch (error) {
            await model.dispose();
            throw error;
        }
    }

    /** Ends llama.cpp. */
    async close(): Promise<void> {
        await this.llama.dispose();
    }
}

/** Bytes of memory that may still be taken, by the cgroup's limit where there is one. */
export function availableMemory(root = "/sys/fs/cgroup", meminfo = "/proc/meminfo"): number {
    const kib = existsSync(meminfo) ? /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync(meminfo, "utf8"))?.[1] : undefined;
    const machine = kib === undefined ? freemem() : Number(kib) * 1024;
    const read = (file: string): number => (existsSync(`${root}/${file}`) ? Number(readFileSync(`${root}/${file}`, "utf8")) : NaN);
    const left = [read("memory.max") - read("memory.current"), read("memory/memory.limit_in_bytes") - read("memory/memory.usage_in_bytes")];
    return Math.min(machine, ...left.filter((bytes) => !Number.isNaN(bytes)));
}
