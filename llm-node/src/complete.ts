// Complete: a text continued as it is, without a chat template.

import type {MessageInitShape} from "@bufbuild/protobuf";

import {type Deps, answer} from "./answer.js";
import {samplingOf, stopsOf} from "./chat.js";
import {Kind} from "./gen/devstudio/billing/v1/billing_pb.js";
import type {CompleteRequest, CompleteResponseSchema} from "./gen/devstudio/llm/v1/llm_pb.js";
import type {Call} from "./guard.js";
import type {Models} from "./models.js";

const defaultMaxTokens = 256;

/** Continues a text. */
export async function complete(deps: Deps, models: Models, request: CompleteRequest, call: Call): Promise<MessageInitShape<typeof CompleteResponseSchema>> {
    const stops = stopsOf(request.stop);
    const model = await models.require(request.model, "generate");
    call.model = model.modelId;
    const prompt = model.renderText(request.prompt);
    const ask = {model, prompt, kind: Kind.COMPLETION, maxTokens: request.maxTokens || defaultMaxTokens, sampling: samplingOf(request), stops};
    const whole = await answer(deps, call, ask, () => Promise.resolve());
    return {...whole, requestId: call.requestId, model: model.modelId};
}
