// Embed: texts as vectors of length 1, one a text or one a token, billed at their exact tokens.

import type {MessageInitShape} from "@bufbuild/protobuf";

import {type Deps, overflow} from "./answer.js";
import {Fault} from "./fault.js";
import {Kind, UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {type EmbedRequest, type EmbedResponseSchema, type EmbeddingSchema, Granularity} from "./gen/devstudio/llm/v1/llm_pb.js";
import {maxMessageBytes} from "./grpc.js";
import type {Call} from "./guard.js";
import type {LoadedModel} from "./loaded.js";
import {Meter} from "./meter.js";
import type {Models} from "./models.js";

const mostTokensByToken = 512;
const bytesANumber = 4;
/** What a vector takes beside its numbers. */
const bytesAVector = 64;

/** Embeds texts. */
export async function embed(deps: Deps, models: Models, request: EmbedRequest, call: Call): Promise<MessageInitShape<typeof EmbedResponseSchema>> {
    const empty = request.input.indexOf("");
    if (empty >= 0) throw Fault.violation(`/input/${empty}`, "minLength", "is empty");
    const model = await models.require(request.model, "embed");
    call.model = model.modelId;
    const isByToken = request.granularity === Granularity.TOKEN;
    if (isByToken && !model.vectors.hasTokenVectors)
        throw new Fault(Reason.NOT_SUPPORTED, "this model has no vectors of single tokens: it pools them, or this version of the engine does not show them").with("model", model.modelId);
    const inputs = request.input.map((text) => model.vectors.tokenize(text));
    const longest = Math.max(...inputs.map((tokens) => tokens.length));
    if (longest >= model.vectors.contextSize) throw overflow(longest, 0, model.vectors.contextSize);
    const promptTokens = inputs.reduce((sum, tokens) => sum + tokens.length, 0);
    if (isByToken) ensureFits(promptTokens, model.vectors.dimensions);
    const embeddings = await metered(deps, call, model, promptTokens, (signal) => vectorsOf(model, inputs, isByToken, signal));
    return {embeddings, dimensions: model.vectors.dimensions, usage: {promptTokens}, requestId: call.requestId, model: model.modelId};
}

async function vectorsOf(model: LoadedModel, inputs: readonly number[][], isByToken: boolean, signal: AbortSignal): Promise<MessageInitShape<typeof EmbeddingSchema>[]> {
    const embeddings: MessageInitShape<typeof EmbeddingSchema>[] = [];
    for (const [index, tokens] of inputs.entries()) {
        signal.throwIfAborted();
        if (!isByToken) {
            embeddings.push({index, vector: await model.vectors.ofText(tokens)});
            continue;
        }
        for (const [at, vector] of (await model.vectors.ofTokens(tokens, signal)).entries()) {
            const tokenId = tokens[at] ?? 0;
            embeddings.push({index, vector, token: {tokenId, text: model.detokenize([tokenId], tokens.slice(0, at))}});
        }
    }
    return embeddings;
}

/** Reserves the exact tokens, waits for a turn, works, and settles. */
async function metered<T>(deps: Deps, call: Call, model: LoadedModel, promptTokens: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const began = performance.now();
    const signal = AbortSignal.any([call.signal, model.stopping.signal]);
    const spot = model.admission.enter(call.identity.userId);
    try {
        const order = {requestId: call.requestId, modelId: model.modelId, kind: Kind.EMBEDDING, promptTokens, maxTokens: 0, settingsJson: "{}"};
        const meter = await Meter.open(deps.billing, deps.journal, deps.settings, order, call.identity, call.trace.traceparent);
        const settle = (status: UsageStatus, errorReason: string) =>
            meter.settle({promptTokens: status === UsageStatus.OK ? promptTokens : 0, cachedTokens: 0, status, ttftMs: 0, totalMs: Math.round(performance.now() - began), errorReason});
        try {
            if (!(await spot.turn(signal))) signal.throwIfAborted();
            const letGo = model.hold();
            const result = await work(signal).finally(letGo);
            await settle(UsageStatus.OK, "");
            deps.log.event("an embedding finished", {request_id: call.requestId, model: model.modelId, prompt_tokens: promptTokens, ms: Math.round(performance.now() - began)}, call.owner);
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

/** One vector a token is a lot: bounded by the contract, and by what a message holds. */
function ensureFits(tokens: number, dimensions: number): void {
    const most = Math.min(mostTokensByToken, Math.floor(maxMessageBytes / (dimensions * bytesANumber + bytesAVector)));
    if (tokens > most) throw Fault.violation("/input", "maxItems", `has ${tokens} tokens; with one vector a token at most ${most} are taken`);
}
