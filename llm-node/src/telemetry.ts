// Traces: one span an RPC, its parent from the caller's traceparent, exported by OTLP where an endpoint is set.

import {type Attributes, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, TraceFlags, type Tracer, trace} from "@opentelemetry/api";
import {OTLPTraceExporter as GrpcExporter} from "@opentelemetry/exporter-trace-otlp-grpc";
import {OTLPTraceExporter as HttpExporter} from "@opentelemetry/exporter-trace-otlp-proto";
import {resourceFromAttributes} from "@opentelemetry/resources";
import {BasicTracerProvider, BatchSpanProcessor} from "@opentelemetry/sdk-trace-base";

import type {Config} from "./config.js";

/** The metadata key of the W3C trace context. */
export const traceparentKey = "traceparent";

/** A call's place in a trace. Without an exporter it only hands the caller's trace on. */
export interface Trace {
    /** 32 hexadecimal digits; empty outside of a trace. */
    traceId: string;
    /** What calls to other services carry; empty outside of a trace. */
    traceparent: string;
    /** Adds facts to the span. */
    set(attributes: Attributes): void;
    /** Ends the span; with an error's words if it failed. */
    end(error?: string): void;
}

/** Makes spans, and exports them. */
export class Telemetry {
    private readonly provider: BasicTracerProvider | undefined;
    private readonly tracer: Tracer | undefined;

    constructor(config: Pick<Config, "otlpEndpoint" | "otlpProtocol">, version: string) {
        if (config.otlpEndpoint === "") return;
        const exporter = config.otlpProtocol === "grpc" ? new GrpcExporter() : new HttpExporter();
        this.provider = new BasicTracerProvider({
            resource: resourceFromAttributes({"service.name": "devstudio-llm", "service.version": version}),
            spanProcessors: [new BatchSpanProcessor(exporter)],
        });
        this.tracer = this.provider.getTracer("devstudio-llm", version);
    }

    /** Begins the span of a call. */
    begin(name: string, traceparent: string | undefined): Trace {
        const parent = parseTraceparent(traceparent);
        if (this.tracer === undefined)
            return {traceId: parent?.traceId ?? "", traceparent: parent === undefined ? "" : (traceparent ?? ""), set: () => undefined, end: () => undefined};
        const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, {...parent, isRemote: true});
        return liveTrace(this.tracer.startSpan(name, {kind: SpanKind.SERVER}, context));
    }

    /** Sends what is left. */
    async close(): Promise<void> {
        await this.provider?.shutdown();
    }
}

function liveTrace(span: Span): Trace {
    const {traceId, spanId, traceFlags} = span.spanContext();
    return {
        traceId,
        traceparent: `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, "0")}`,
        set: (attributes) => span.setAttributes(attributes),
        end: (error) => {
            if (error !== undefined) span.setStatus({code: SpanStatusCode.ERROR, message: error});
            span.end();
        },
    };
}

/** Reads a W3C traceparent; undefined where it is none. */
export function parseTraceparent(value: string | undefined): {traceId: string; spanId: string; traceFlags: number} | undefined {
    const match = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(value ?? "");
    const [, traceId, spanId, flags] = match ?? [];
    if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
    return {traceId, spanId, traceFlags: Number.parseInt(flags, 16)};
}
