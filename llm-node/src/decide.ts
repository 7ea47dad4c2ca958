// Decide: how likely each of some options is as the answer to a conversation, without generating any.

import type {MessageInitShape} from "@bufbuild/protobuf";

import {type Deps, overflow} from "./answer.js";
import {turnsOf} from "./chat.js";
import {Fault} from "./fault.js";
import {Kind} from "./gen/devstudio/billing/v1/billing_pb.js";
import type {DecideRequest, DecideResponseSchema} from "./gen/devstudio/llm/v1/llm_pb.js";
import type {Call} from "./guard.js";
import {metered} from "./metered.js";
import type {Models} from "./models.js";

/** Chooses among options. */
export async function decide(deps: Deps, models: Models, request: DecideRequest, call: Call): Promise<MessageInitShape<typeof DecideResponseSchema>> {
    const {options} = request;
    ensureDistinct(options);
    const turns = turnsOf(request.messages, request.prompt);
    const model = await models.require(request.model, "generate");
    call.model = model.modelId;
    const prompt = model.renderChat(turns);
    const answers = options.map((option) => model.tokenizeAnswer(option));
    const longest = Math.max(...answers.map((tokens) => tokens.length));
    if (prompt.tokens.length + longest >= model.contextSize) throw overflow(prompt.tokens.length, longest, model.contextSize);
    const promptTokens = answers.reduce((sum, tokens) => sum + tokens.length, prompt.tokens.length);
    const {logarithms, cachedTokens} = await metered(deps, call, {model, kind: Kind.DECIDE, promptTokens}, async (signal) => {
        const sitting = await model.sit(prompt, call.identity.userId);
        try {
            return {logarithms: await sitting.likelihoods(answers, signal), cachedTokens: sitting.cachedTokens};
        } finally {
            sitting.stand();
        }
    });
    const probabilities = shares(logarithms);
    const likeliest = probabilities.indexOf(Math.max(...probabilities));
    return {
        choice: options[likeliest] ?? "",
        options: options.map((option, index) => ({option, probability: probabilities[index] ?? 0})),
        usage: {promptTokens, cachedTokens},
        requestId: call.requestId,
        model: model.modelId,
    };
}

function ensureDistinct(options: readonly string[]): void {
    if (options.length < 2) throw Fault.violation("/options", "minItems", "has fewer than 2 entries");
    for (const [index, option] of options.entries()) {
        if (option === "") throw Fault.violation(`/options/${index}`, "minLength", "is empty");
        if (options.indexOf(option) < index) throw Fault.violation(`/options/${index}`, "uniqueItems", "stands there twice");
    }
}

/** Softmax: from the logarithms of likelihoods to shares of 1. */
function shares(logarithms: readonly number[]): number[] {
    const most = Math.max(...logarithms);
    const weights = logarithms.map((logarithm) => Math.exp(logarithm - most));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
}
