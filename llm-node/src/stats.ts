// The service's load: memory, processor, requests and tokens, for those who watch.

import {type MessageInitShape} from "@bufbuild/protobuf";

import type {WatchStatsResponseSchema} from "./gen/devstudio/llm/v1/llm_pb.js";
import type {LoadedModel} from "./loaded.js";

const everyMs = 1_000;
const windowSeconds = 10;

/** Counts tokens by the second, and measures the processor once a second. */
export class Stats {
    private readonly seconds: {second: number; tokens: number}[] = [];
    private cpuPercent = 0;
    private readonly timer: NodeJS.Timeout;

    constructor(private readonly models: () => LoadedModel[]) {
        let before = {cpu: process.cpuUsage(), at: performance.now()};
        this.timer = setInterval(() => {
            const now = {cpu: process.cpuUsage(), at: performance.now()};
            const used = now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system;
            this.cpuPercent = used / 10 / Math.max(1, now.at - before.at);
            before = now;
        }, everyMs).unref();
    }

    /** Counts a token that was generated. */
    countToken(): void {
        const second = Math.floor(performance.now() / 1000);
        const last = this.seconds.at(-1);
        if (last?.second === second) last.tokens++;
        else this.seconds.push({second, tokens: 1});
        while ((this.seconds[0]?.second ?? second) <= second - windowSeconds) this.seconds.shift();
    }

    /** The load now. */
    now(): MessageInitShape<typeof WatchStatsResponseSchema> {
        const {rss, heapUsed} = process.memoryUsage();
        const models = this.models();
        const since = performance.now() / 1000 - windowSeconds;
        const tokens = this.seconds.filter(({second}) => second >= since).reduce((sum, one) => sum + one.tokens, 0);
        return {
            rssBytes: BigInt(rss),
            heapBytes: BigInt(heapUsed),
            cpuPercent: this.cpuPercent,
            activeRequests: models.reduce((sum, model) => sum + model.admission.active, 0),
            queuedRequests: models.reduce((sum, model) => sum + model.admission.queued, 0),
            tokensPerSecond: tokens / windowSeconds,
            models: models.map((model) => ({modelId: model.modelId, memoryBytes: BigInt(Math.round(model.memoryBytes))})),
        };
    }

    /** The load, once a second until the signal comes. */
    async *watch(signal: AbortSignal): AsyncGenerator<MessageInitShape<typeof WatchStatsResponseSchema>> {
        while (!signal.aborted) {
            yield this.now();
            await new Promise<void>((resolve) => {
                const done = () => {
                    clearTimeout(timer);
                    signal.removeEventListener("abort", done);
                    resolve();
                };
                const timer = setTimeout(done, everyMs);
                signal.addEventListener("abort", done, {once: true});
            });
        }
    }

    /** Stops measuring. */
    close(): void {
        clearInterval(this.timer);
    }
}
