// Metered work that reads tokens and generates none: its reservation at the exact count, its turn, its settlement.

import {type Deps, kindNames} from "./answer.js";
import {Fault} from "./fault.js";
import {type Kind, UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import type {Call} from "./guard.js";
import type {LoadedModel} from "./loaded.js";
import {Meter} from "./meter.js";

/** What is to be read. */
export interface Reading {
    model: LoadedModel;
    kind: Kind;
    /** Exactly: what is reserved and, if it succeeds, billed. What fails costs nothing. */
    promptTokens: number;
}

/** Reserves, waits for its turn, works, and settles. The signal comes when the caller goes or the model is unloaded. */
export async function metered<T>(deps: Deps, call: Call, {model, kind, promptTokens}: Reading, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const began = performance.now();
    const signal = AbortSignal.any([call.signal, model.stopping.signal]);
    const spot = model.admission.enter(call.identity.userId);
    try {
        const order = {requestId: call.requestId, modelId: model.modelId, kind, promptTokens, maxTokens: 0, settingsJson: "{}"};
        const meter = await Meter.open(deps.billing, deps.journal, deps.settings, order, call.identity, call.trace.traceparent);
        const settle = (status: UsageStatus, errorReason: string) =>
            meter.settle({promptTokens: status === UsageStatus.OK ? promptTokens : 0, cachedTokens: 0, status, ttftMs: 0, totalMs: Math.round(performance.now() - began), errorReason});
        try {
            if (!(await spot.turn(signal))) signal.throwIfAborted();
            const result = await work(signal);
            await settle(UsageStatus.OK, "");
            deps.log.event(`a ${kindNames[kind]} finished`, {request_id: call.requestId, model: model.modelId, prompt_tokens: promptTokens, ms: Math.round(performance.now() - began)}, call.owner);
            return result;
        } catch (error) {
            const isUnloaded = !call.signal.aborted && model.stopping.signal.aborted;
            const fault = isUnloaded ? new Fault(Reason.MODEL_NOT_LOADED, "the model was unloaded", {cause: error}).with("model", model.modelId) : Fault.of(error);
            await settle(call.signal.aborted ? UsageStatus.CANCELLED : UsageStatus.FAILED, call.signal.aborted ? "CANCELLED" : fault.reasonName);
            throw fault;
        }
    } finally {
        spot.leave();
    }
}
