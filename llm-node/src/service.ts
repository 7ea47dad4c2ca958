// The methods of devstudio.llm.v1.LlmService: unpacks a request, calls the one who does it, packs the answer.

import type {Deps} from "./answer.js";
import {chat, turnsOf} from "./chat.js";
import {complete} from "./complete.js";
import {decide} from "./decide.js";
import {embed} from "./embed.js";
import {Fault} from "./fault.js";
import type {CountTokensRequest, LlmService} from "./gen/devstudio/llm/v1/llm_pb.js";
import type {Methods} from "./guard.js";
import type {Jobs} from "./jobs.js";
import type {Models} from "./models.js";

/** Binds the methods to what does their work. `closing` ends the watches. */
export function llmMethods(deps: Deps, models: Models, jobs: Jobs, closing: AbortSignal): Methods<typeof LlmService> {
    return {
        chat: (request, call, send) => chat(deps, models, request, call, send),
        complete: (request, call) => complete(deps, models, request, call),
        decide: (request, call) => decide(deps, models, request, call),
        embed: (request, call) => embed(deps, models, request, call),
        countTokens: (request) => countTokens(models, request),
        listModels: async () => ({models: await models.list()}),
        downloadModel: async ({model, quant}, {owner}) => started(await models.beginDownload(model, quant, owner)),
        loadModel: async ({model}, {owner}) => started(await models.beginLoad(model, owner)),
        unloadModel: async ({model}, {owner}) => started(await models.beginUnload(model, owner)),
        watchJob: async ({jobId}, {signal}, send) => {
            for await (const job of jobs.watch(jobId, AbortSignal.any([signal, closing]))) await send({job});
        },
        listJobs: () => Promise.resolve({jobs: jobs.list().map((job) => job.toMessage())}),
        cancelJob: async ({jobId}) => ({job: (await jobs.cancel(jobId)).toMessage()}),
        watchStats: async (_request, {signal}, send) => {
            for await (const stats of deps.stats.watch(AbortSignal.any([signal, closing]))) await send(stats);
        },
    };
}

async function countTokens(models: Models, {text, messages, prompt, model: name}: CountTokensRequest) {
    if (text !== "" && (prompt !== "" || messages.length > 0)) throw Fault.violation("/text", "oneOf", "cannot be set beside messages or prompt");
    const model = await models.require(name, text === "" ? "generate" : "count");
    const tokens = text === "" && prompt === "" && messages.length === 0 ? [] : text === "" ? model.renderChat(turnsOf(messages, prompt)).tokens : model.tokenize(text);
    return {tokens: tokens.length, contextSize: model.contextSize};
}

function started({id, state}: {id: string; state: ReturnType<Jobs["get"]>["state"]}) {
    return {jobId: id, state};
}
