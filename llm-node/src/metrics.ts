// The metrics of the service, under the exact names that dashboards and alerts use, and the /metrics listener.

import {type Server, createServer} from "node:http";

import {Counter, Gauge, Histogram, Registry} from "prom-client";

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120];

/** What the service counts and measures. */
export class Metrics {
    private readonly registry = new Registry();
    private readonly own = {registers: [this.registry]};

    readonly requests = new Counter({name: "llm_request_count", help: "Calls that ended, by model, method and status", labelNames: ["model", "method", "status"] as const, ...this.own});
    readonly requestSeconds = new Histogram({name: "llm_request_seconds", help: "Seconds a call that makes a model work took", buckets: seconds, ...this.own});
    readonly ttftSeconds = new Histogram({name: "llm_ttft_seconds", help: "Seconds to the first token, waiting included", buckets: seconds, ...this.own});
    readonly tokensPerSecond = new Gauge({name: "llm_tokens_per_second", help: "Tokens a second of the last answer", labelNames: ["model"] as const, ...this.own});
    readonly queueDepth = new Gauge({name: "llm_queue_depth", help: "Requests that wait for a model", ...this.own});
    readonly modelLoaded = new Gauge({name: "model_loaded", help: "1 while a model is loaded", labelNames: ["model"] as const, ...this.own});
    readonly logsDropped = new Counter({name: "llm_log_entries_dropped", help: "Log entries that Auth did not get", ...this.own});
    readonly unsettled = new Gauge({name: "llm_unsettled_requests", help: "Requests in the journal that Billing has yet to settle", ...this.own});

    constructor() {
        new Gauge({
            name: "process_resident_memory_bytes",
            help: "Resident memory in bytes",
            ...this.own,
            collect() {
                this.set(process.memoryUsage.rss());
            },
        });
    }

    /** The metrics as Prometheus reads them. */
    text(): Promise<string> {
        return this.registry.metrics();
    }

    /** Serves /metrics on host:port. */
    async serve(address: string): Promise<Server> {
        const server = createServer((request, response) => {
            if (request.method !== "GET" || request.url?.split("?")[0] !== "/metrics") {
                response.writeHead(404).end();
                return;
            }
            this.text().then(
                (text) => response.writeHead(200, {"content-type": this.registry.contentType}).end(text),
                () => response.writeHead(500).end(),
            );
        });
        const url = new URL(address.includes("://") ? address : `http://${address}`);
        await new Promise<void>((resolve, reject) => {
            server.once("error", reject);
            server.listen(Number(url.port === "" ? 80 : url.port), url.hostname.replace(/^\[|\]$/g, ""), resolve);
        });
        return server;
    }
}
