// Embed: texts as vectors of length 1, one a text or one a token, billed at their exact tokens.

import type {MessageInitShape} from "@bufbuild/protobuf";

import {type Deps, overflow} from "./answer.js";
import {Fault} from "./fault.js";
import {Kind} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {type EmbedRequest, type EmbedResponseSchema, type EmbeddingSchema, Granularity} from "./gen/devstudio/llm/v1/llm_pb.js";
import {maxMessageBytes} from "./grpc.js";
import type {Call} from "./guard.js";
import type {LoadedModel} from "./loaded.js";
import {metered} from "./metered.js";
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
    const embeddings = await metered(deps, call, {model, kind: Kind.EMBEDDING, promptTokens}, async (signal) => {
        const letGo = model.hold();
        return vectorsOf(model, inputs, isByToken, signal).finally(letGo);
    });
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

/** One vector a token is a lot: bounded by the contract, and by what a message holds. */
function ensureFits(tokens: number, dimensions: number): void {
    const most = Math.min(mostTokensByToken, Math.floor(maxMessageBytes / (dimensions * bytesANumber + bytesAVector)));
    if (tokens > most) throw Fault.violation("/input", "maxItems", `has ${tokens} tokens; with one vector a token at most ${most} are taken`);
}
