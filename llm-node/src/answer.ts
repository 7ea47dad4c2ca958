// One metered answer, for Chat and Complete: its turn, its reservation, its tokens, and its settlement.

import type {Billing} from "./billing.js";
import {Fault} from "./fault.js";
import {Kind, UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import type {Call} from "./guard.js";
import type {Journal} from "./journal.js";
import type {Grammar, LoadedModel, Prompt, Sampling, Sitting} from "./loaded.js";
import type {Log} from "./logs.js";
import {Meter, type MeterSettings} from "./meter.js";
import type {Metrics} from "./metrics.js";
import {Pieces} from "./pieces.js";
import type {Stats} from "./stats.js";

/** What metered work needs. */
export interface Deps {
    settings: MeterSettings;
    billing: Billing;
    journal: Journal;
    log: Log;
    metrics: Metrics;
    stats: Stats;
}

/** What is asked of a model. */
export interface Ask {
    model: LoadedModel;
    prompt: Prompt;
    kind: Kind;
    maxTokens: number;
    sampling: Sampling;
    stops: readonly string[];
    /** What the answer must fit; it ends where the grammar says, and no stop text cuts it. */
    grammar?: Grammar | undefined;
}

/** Tokens so far. */
export interface Usage {
    promptTokens: number;
    completionTokens: number;
    cachedTokens: number;
}

/** How long it took. */
export interface Timings {
    ttftMs: number;
    totalMs: number;
    queuedMs: number;
    tokensPerSecond: number;
}

/** A whole answer. */
export interface Answer {
    text: string;
    finishReason: FinishReason;
    usage: Usage;
    timings: Timings;
}

/** Why an answer ended. */
export type FinishReason = "stop" | "length" | "budget" | "cancelled" | "unloaded" | "error";

/** Kinds of work, as metrics name them. */
export const kindNames: Record<Kind, string> = {
    [Kind.UNSPECIFIED]: "other",
    [Kind.CHAT]: "chat",
    [Kind.COMPLETION]: "completion",
    [Kind.EMBEDDING]: "embedding",
    [Kind.DECIDE]: "decision",
};

const endings: Record<FinishReason, {status: UsageStatus; reason: Reason}> = {
    stop: {status: UsageStatus.OK, reason: Reason.UNSPECIFIED},
    length: {status: UsageStatus.OK, reason: Reason.UNSPECIFIED},
    budget: {status: UsageStatus.BUDGET, reason: Reason.TOKEN_BUDGET_EXCEEDED},
    cancelled: {status: UsageStatus.CANCELLED, reason: Reason.CANCELLED},
    unloaded: {status: UsageStatus.FAILED, reason: Reason.MODEL_NOT_LOADED},
    error: {status: UsageStatus.FAILED, reason: Reason.UPSTREAM_UNAVAILABLE},
};

/** Reserves, waits for its turn, generates and settles. Each piece is counted on disk before it is handed over. */
export async function answer(deps: Deps, call: Call, ask: Ask, show: (piece: string, usage: Usage) => Promise<void>): Promise<Answer> {
    const {model, prompt, kind} = ask;
    const promptTokens = prompt.tokens.length;
    const room = model.contextSize - promptTokens;
    if (room < 1 || promptTokens === 0) throw overflow(promptTokens, ask.maxTokens, model.contextSize);
    const order = {
        requestId: call.requestId,
        modelId: model.modelId,
        kind,
        promptTokens,
        maxTokens: Math.min(ask.maxTokens, room),
        settingsJson: JSON.stringify({...ask.sampling, maxTokens: ask.maxTokens, stops: ask.stops.length, hasSchema: ask.grammar !== undefined}),
    };
    const spot = model.admission.enter(call.identity.userId);
    try {
        const meter = await Meter.open(deps.billing, deps.journal, deps.settings, order, call.identity, call.trace.traceparent);
        return await new Run(deps, call, ask, meter, order.maxTokens, show).whole((signal) => spot.turn(signal), () => spot.leave());
    } finally {
        spot.leave();
    }
}

class Run {
    private readonly began = performance.now();
    private queuedMs = 0;
    private firstAt: number | undefined;
    private lastAt = 0;
    private sitting: Sitting | undefined;
    private readonly pieces: Pieces;
    private readonly signal: AbortSignal;

    constructor(
        private readonly deps: Deps,
        private readonly call: Call,
        private readonly ask: Ask,
        private readonly meter: Meter,
        private readonly maxTokens: number,
        private readonly show: (piece: string, usage: Usage) => Promise<void>,
    ) {
        const {model, prompt, stops, grammar} = ask;
        this.signal = AbortSignal.any([call.signal, model.stopping.signal]);
        this.pieces = new Pieces(model.detokenize, grammar === undefined ? [...stops, ...prompt.stopTexts] : [], prompt.trimsStart, prompt.tokens);
    }

    async whole(turn: (signal: AbortSignal) => Promise<boolean>, leave: () => void): Promise<Answer> {
        let finishReason: FinishReason;
        try {
            if (!(await turn(this.signal))) throw this.sentAway();
            this.queuedMs = performance.now() - this.began;
            this.sitting = await this.ask.model.sit(this.ask.prompt, this.call.identity.userId);
            try {
                finishReason = await this.generate();
            } finally {
                this.sitting.stand();
            }
        } catch (error) {
            leave();
            const fault = Fault.of(error);
            await this.settle(this.call.signal.aborted ? UsageStatus.CANCELLED : UsageStatus.FAILED, fault.reasonName);
            throw fault;
        }
        leave();
        const {status, reason} = endings[finishReason];
        await this.settle(status, reason === Reason.UNSPECIFIED ? "" : Reason[reason]);
        this.call.outcome = finishReason === "stop" || finishReason === "length" ? "ok" : finishReason;
        if (finishReason === "cancelled") throw new Fault(Reason.CANCELLED, "the caller has gone");
        return {text: this.pieces.text, finishReason, usage: this.usage(), timings: this.timings()};
    }

    private async generate(): Promise<FinishReason> {
        const {ask, meter, pieces, signal} = this;
        const tokens = this.sitting?.generate(ask.sampling, signal, ask.grammar);
        if (tokens === undefined) return "error";
        const isAborted = () => signal.aborted;
        let finishReason: FinishReason | undefined;
        try {
            while (true) {
                if (meter.produced >= this.maxTokens) {
                    finishReason = "length";
                    break;
                }
                const leave = await meter.leave(signal);
                if (isAborted()) break;
                if (leave !== "go") {
                    finishReason = leave;
                    break;
                }
                const next = await tokens.next();
                if (next.done === true) {
                    if (!isAborted()) finishReason = "stop";
                    break;
                }
                meter.count();
                this.measure();
                const piece = pieces.push(next.value);
                if (piece !== "") await this.show(piece, this.usage());
                if (pieces.isStopped) {
                    finishReason = "stop";
                    break;
                }
            }
        } finally {
            await tokens.return(undefined);
        }
        const rest = pieces.finish();
        if (rest !== "") await this.show(rest, this.usage());
        return finishReason ?? (this.call.signal.aborted ? "cancelled" : "unloaded");
    }

    private measure(): void {
        this.lastAt = performance.now();
        this.deps.stats.countToken();
        if (this.firstAt !== undefined) return;
        this.firstAt = this.lastAt;
        this.deps.metrics.ttftSeconds.observe((this.firstAt - this.began) / 1000);
    }

    private usage(): Usage {
        return {promptTokens: this.ask.prompt.tokens.length, completionTokens: this.meter.produced, cachedTokens: this.sitting?.cachedTokens ?? 0};
    }

    private timings(): Timings {
        const generatingMs = this.lastAt - (this.firstAt ?? this.lastAt);
        return {
            ttftMs: Math.round(this.firstAt === undefined ? 0 : this.firstAt - this.began),
            totalMs: Math.round(performance.now() - this.began),
            queuedMs: Math.round(this.queuedMs),
            tokensPerSecond: generatingMs > 0 ? ((this.meter.produced - 1) * 1000) / generatingMs : 0,
        };
    }

    /** What failed before its first token costs nothing; what was cancelled while its prompt was read costs the prompt. */
    private async settle(status: UsageStatus, errorReason: string): Promise<void> {
        const {promptTokens, cachedTokens, completionTokens} = this.usage();
        const isFree = completionTokens === 0 && (status === UsageStatus.FAILED || this.sitting === undefined);
        const {ttftMs, totalMs, tokensPerSecond} = this.timings();
        await this.meter.settle({promptTokens: isFree ? 0 : promptTokens, cachedTokens: isFree ? 0 : cachedTokens, status, ttftMs, totalMs, errorReason});
        const {model, kind} = this.ask;
        const {metrics, log} = this.deps;
        if (tokensPerSecond > 0) metrics.tokensPerSecond.set({model: model.modelId}, tokensPerSecond);
        this.call.trace.set({"gen_ai.request.model": model.modelId, "gen_ai.usage.input_tokens": promptTokens, "gen_ai.usage.output_tokens": completionTokens});
        log.event(
            `a ${kindNames[kind]} finished`,
            {request_id: this.call.requestId, model: model.modelId, status: UsageStatus[status], prompt_tokens: promptTokens, completion_tokens: completionTokens, ttft_ms: ttftMs, ms: totalMs},
            this.call.owner,
        );
    }

    private sentAway(): Fault {
        return this.call.signal.aborted ? new Fault(Reason.CANCELLED, "the caller has gone") : new Fault(Reason.MODEL_NOT_LOADED, "the model was unloaded").with("model", this.ask.model.modelId);
    }
}

/** A prompt that leaves no room for an answer. */
export function overflow(promptTokens: number, maxTokens: number, contextSize: number): Fault {
    return new Fault(Reason.CONTEXT_OVERFLOW, "prompt and answer do not fit into the model's context")
        .with("prompt_tokens", promptTokens)
        .with("max_tokens", maxTokens)
        .with("context_size", contextSize);
}
