// Loads a model file for the first time in a process of its own: a broken file may end that one, never the service.

import {fork} from "node:child_process";
import {fileURLToPath} from "node:url";

import {LlamaLogLevel, getLlama} from "node-llama-cpp";

import {Fault} from "./fault.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";

const contextSize = 512;
const timeoutMs = 300_000;
const worked = "worked";

/** Throws NOT_SUPPORTED if the file cannot be loaded and used. */
export async function probe(path: string, signal: AbortSignal): Promise<void> {
    const self = fileURLToPath(import.meta.url);
    const child = fork(self, [path], {execArgv: [], env: {PATH: process.env.PATH}, stdio: ["ignore", "ignore", "ignore", "ipc"]});
    const end = () => child.kill("SIGKILL");
    const timer = setTimeout(end, timeoutMs);
    signal.addEventListener("abort", end, {once: true});
    try {
        const why = await new Promise<string>((resolve) => {
            let told = "it ended the process that tried it";
            child.on("message", (message) => {
                told = typeof message === "string" ? message : "it told nothing";
                end();
            });
            child.once("exit", () => resolve(told));
            child.once("error", (error) => resolve(error.message));
        });
        signal.throwIfAborted();
        if (why !== worked) throw new Fault(Reason.NOT_SUPPORTED, "the model file cannot be used", {cause: why});
    } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
    }
}

/** In the child: loads the file and evaluates one token. */
async function tryFile(modelPath: string): Promise<void> {
    const llama = await getLlama({gpu: false, build: "never", skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled});
    const model = await llama.loadModel({modelPath});
    if (model.fileInsights.hasEncoder || !model.fileInsights.hasDecoder) {
        await (await model.createEmbeddingContext({contextSize, threads: 1})).getEmbeddingFor("a");
        return;
    }
    const context = await model.createContext({contextSize, threads: 1});
    await context.getSequence().evaluate(model.tokenize("a"), {temperature: 0}).next();
}

// Forked: the parent waits for one message.
if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
    const send = (message: string) => process.send?.(message);
    tryFile(process.argv[2] ?? "").then(
        () => send(worked),
        (error: unknown) => send(error instanceof Error ? error.message : String(error)),
    );
    process.on("disconnect", () => process.exit(1));
}
