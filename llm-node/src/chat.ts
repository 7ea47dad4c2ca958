// Chat: a conversation rendered with the model's own template, answered piece by piece.

import type {MessageInitShape} from "@bufbuild/protobuf";

import {type Deps, answer} from "./answer.js";
import {Fault} from "./fault.js";
import {Kind} from "./gen/devstudio/billing/v1/billing_pb.js";
import {type ChatMessage, type ChatRequest, type ChatResponseSchema, MessageRole} from "./gen/devstudio/llm/v1/llm_pb.js";
import {grammarOf} from "./grammar.js";
import type {Call} from "./guard.js";
import type {Sampling, Turn} from "./loaded.js";
import type {Models} from "./models.js";

const defaultMaxTokens = 1_024;

const roles: Partial<Record<MessageRole, Turn["role"]>> = {
    [MessageRole.SYSTEM]: "system",
    [MessageRole.USER]: "user",
    [MessageRole.ASSISTANT]: "assistant",
};

/** Answers a conversation; the last message carries the whole answer. */
export async function chat(
    deps: Deps,
    models: Models,
    request: ChatRequest,
    call: Call,
    send: (message: MessageInitShape<typeof ChatResponseSchema>) => Promise<void>,
): Promise<void> {
    const turns = turnsOf(request.messages, request.prompt);
    const stops = stopsOf(request.stop);
    const rules = request.responseSchema === "" ? undefined : grammarOf(request.responseSchema);
    if (rules !== undefined && stops.length > 0) throw Fault.violation("/stop", "oneOf", "cannot be set beside responseSchema");
    const model = await models.require(request.model, "generate");
    call.model = model.modelId;
    const grammar = rules === undefined ? undefined : await model.grammar(rules);
    let seq = 0n;
    const common = {requestId: call.requestId, model: model.modelId};
    const ask = {model, prompt: model.renderChat(turns), kind: Kind.CHAT, maxTokens: request.maxTokens || defaultMaxTokens, sampling: samplingOf(request), stops, grammar};
    const {text, finishReason, usage, timings} = await answer(deps, call, ask, (delta, usageSoFar) => send({...common, seq: ++seq, delta, usage: usageSoFar}));
    await send({...common, seq: ++seq, text, finishReason, usage, timings});
}

/** The turns of a conversation, or of a prompt that is short for one. Throws SCHEMA_VIOLATION. */
export function turnsOf(messages: readonly ChatMessage[], prompt: string): Turn[] {
    if (prompt !== "" && messages.length > 0) throw Fault.violation("/prompt", "oneOf", "cannot be set beside messages");
    if (prompt !== "") return [{role: "user", content: prompt}];
    if (messages.length === 0) throw Fault.violation("/messages", "required", "must be set, or else prompt");
    if (messages.at(-1)?.role !== MessageRole.USER) throw Fault.violation(`/messages/${messages.length - 1}/role`, "enum", "of the last message must be user");
    return messages.map(({role, content}) => ({role: roles[role] ?? "user", content}));
}

/** How tokens are to be chosen: as asked, or as the contract says. */
export function samplingOf(request: {temperature?: number | undefined; topP?: number | undefined; repeatPenalty?: number | undefined; seed?: number | undefined}): Sampling {
    return {
        temperature: request.temperature ?? 0.7,
        topP: request.topP ?? 0.95,
        repeatPenalty: request.repeatPenalty ?? 1.1,
        seed: request.seed,
    };
}

/** The texts that end an answer. Throws SCHEMA_VIOLATION for an empty one. */
export function stopsOf(stops: readonly string[]): readonly string[] {
    const empty = stops.indexOf("");
    if (empty >= 0) throw Fault.violation(`/stop/${empty}`, "minLength", "is empty");
    return stops;
}
