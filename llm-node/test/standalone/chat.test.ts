// Chat, Complete, Embed and CountTokens, with the tiny model.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {after, before, describe, it} from "node:test";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {Granularity, LlmService, MessageRole} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, collect, dev, faultOf, until} from "../double/mesh.js";

describe("an answer", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_SEQUENCES: "2"});
    });
    after(() => mesh.stop());

    it("comes piece by piece and ends with the whole of it", async () => {
        const {pieces, last} = await mesh.whole({prompt: "hello", maxTokens: 40, temperature: 0});
        assert.ok(pieces.length > 10);
        assert.equal(pieces.map((piece) => piece.delta).join(""), last.text);
        assert.deepEqual([...pieces, last].map((piece) => piece.seq), Array.from({length: pieces.length + 1}, (_, index) => BigInt(index + 1)));
        assert.equal(last.finishReason, "length");
        assert.equal(last.usage?.completionTokens, 40);
        assert.equal(last.model, "tiny");
        assert.ok((last.timings?.ttftMs ?? -1) >= 0 && (last.timings?.totalMs ?? -1) >= (last.timings?.ttftMs ?? 0));
    });

    it("is billed at exactly the tokens that were reserved, told and counted", async () => {
        const requestId = randomUUID();
        const messages = [
            {role: MessageRole.SYSTEM, content: "Be brief."},
            {role: MessageRole.USER, content: "Wie heißt du? 🙂"},
            {role: MessageRole.ASSISTANT, content: "Tiny."},
            {role: MessageRole.USER, content: "<|im_end|> Danke!"},
        ];
        const counted = await mesh.call("countTokens", {messages}, dev);
        const {last} = await mesh.whole({messages, maxTokens: 30}, dev, requestId);
        const reserve = mesh.billing.reserves.find((one) => one.requestId === requestId);
        const row = mesh.billing.rows.get(requestId);
        assert.equal(counted.tokens, last.usage?.promptTokens);
        assert.equal(reserve?.promptTokens, counted.tokens);
        assert.equal(reserve.completionTokens, 30);
        assert.equal(row?.promptTokens, counted.tokens);
        assert.equal(row.completionTokens, last.usage?.completionTokens);
        assert.equal(row.status, UsageStatus.OK);
        assert.equal(row.userId, dev.userId);
        assert.equal(last.requestId, requestId);
        const text = await mesh.call("countTokens", {text: last.text}, dev);
        assert.equal(text.tokens, last.usage?.completionTokens);
    });

    it("knows the prompt when it is asked again", async () => {
        const prompt = "the same question, word for word";
        const first = await mesh.whole({prompt, maxTokens: 4});
        const second = await mesh.whole({prompt, maxTokens: 4});
        assert.equal(second.last.usage?.promptTokens, first.last.usage?.promptTokens);
        assert.equal(second.last.usage?.cachedTokens, (first.last.usage?.promptTokens ?? 0) - 1);
    });

    it("does not tell one person what another asked before", async () => {
        const prompt = "a secret question that nobody else may notice";
        await mesh.whole({prompt, maxTokens: 4});
        const other = await mesh.whole({prompt, maxTokens: 4}, {userId: randomUUID(), role: "dev"});
        assert.ok((other.last.usage?.cachedTokens ?? 99) < 20);
    });

    it("is the same again with the same seed, and another with another", async () => {
        const ask = async (seed: number) => (await mesh.whole({prompt: "dice", maxTokens: 24, temperature: 1.5, seed})).last.text;
        const [first, again, other] = [await ask(1), await ask(1), await ask(2)];
        assert.equal(first, again);
        assert.notEqual(first, other);
    });

    it("ends before a stop text and does not show any part of it", async () => {
        const free = (await mesh.whole({prompt: "hello", maxTokens: 40, temperature: 0})).last.text;
        const stop = free.slice(10, 13);
        const {pieces, last} = await mesh.whole({prompt: "hello", maxTokens: 40, temperature: 0, stop: [stop]});
        assert.equal(last.text, free.slice(0, free.indexOf(stop)));
        assert.equal(pieces.map((piece) => piece.delta).join(""), last.text);
        assert.equal(last.finishReason, "stop");
    });

    it("reserves block by block and never more than asked for", async () => {
        const requestId = randomUUID();
        const {last} = await mesh.whole({prompt: "go on", maxTokens: 300}, dev, requestId);
        assert.equal(last.usage?.completionTokens, 300);
        const blocks = mesh.billing.extends.filter((one) => one.requestId === requestId && one.tokens > 0).map((one) => one.tokens);
        assert.deepEqual(blocks, [128, 44]);
    });

    it("never outgrows the context", async () => {
        const {last} = await mesh.whole({prompt: "x".repeat(1_900), maxTokens: 60_000});
        assert.equal(last.finishReason, "length");
        assert.equal((last.usage?.promptTokens ?? 0) + (last.usage?.completionTokens ?? 0), 2_048);
    });

    it("is refused where the prompt fills the context, before anything is reserved", async () => {
        const before = mesh.billing.reserves.length;
        const fault = await faultOf(mesh.whole({prompt: "x".repeat(3_000)}));
        assert.equal(fault.reason, Reason.CONTEXT_OVERFLOW);
        assert.deepEqual(Object.keys(fault.details).filter((key) => key !== "request_id").sort(), ["context_size", "max_tokens", "prompt_tokens"]);
        assert.equal(mesh.billing.reserves.length, before);
    });

    it("stops when its caller goes, and costs what was generated", async () => {
        const requestId = randomUUID();
        let told = 0;
        for await (const piece of mesh.chat({prompt: "on and on", maxTokens: 1_500}, dev, requestId)) {
            told = piece.usage?.completionTokens ?? 0;
            if (told >= 20) break;
        }
        await until("the cancelled answer is settled", () => mesh.billing.rows.has(requestId));
        const row = mesh.billing.rows.get(requestId);
        assert.equal(row?.status, UsageStatus.CANCELLED);
        assert.ok(row.completionTokens >= told && row.completionTokens < 1_500, String(row.completionTokens));
        assert.equal(mesh.billing.open.size, 0);
    });

    it("completes a text in one go, the same with temperature 0", async () => {
        const [first, again] = [await mesh.call("complete", {prompt: "def f(", maxTokens: 12, temperature: 0}, dev), await mesh.call("complete", {prompt: "def f(", maxTokens: 12, temperature: 0}, dev)];
        assert.equal(first.text, again.text);
        assert.equal(first.usage?.completionTokens, 12);
        assert.equal(first.usage.promptTokens, (await mesh.call("countTokens", {text: "def f("}, dev)).tokens);
    });

    it("embeds each text as a vector of length 1, billed at its tokens", async () => {
        const requestId = randomUUID();
        const {embeddings, dimensions, usage} = await mesh.call("embed", {input: ["one", "two words"]}, dev, requestId);
        assert.equal(dimensions, 64);
        for (const {vector} of embeddings) {
            assert.equal(vector.length, 64);
            assert.ok(Math.abs(vector.reduce((sum, one) => sum + one * one, 0) - 1) < 1e-5);
        }
        assert.equal(mesh.billing.rows.get(requestId)?.promptTokens, usage?.promptTokens);
    });

    it("embeds each token, the last like the whole text and each like the text up to it", async () => {
        const text = "vectors of tokens";
        const whole = await mesh.call("embed", {input: [text]}, dev);
        const single = await mesh.call("embed", {input: [text], granularity: Granularity.TOKEN}, dev);
        assert.equal(single.embeddings.length, whole.usage?.promptTokens);
        assert.equal(single.embeddings.map((one) => one.token?.text).join(""), text);
        assert.ok(cosine(single.embeddings.at(-1)?.vector, whole.embeddings[0]?.vector) > 0.9999);
        const half = await mesh.call("embed", {input: [single.embeddings.slice(0, 5).map((one) => one.token?.text).join("")]}, dev);
        assert.ok(cosine(single.embeddings[4]?.vector, half.embeddings[0]?.vector) > 0.9999);
    });

    it("refuses what breaks a rule, naming the field", async () => {
        const cases: [Parameters<Mesh["chat"]>[0], string, string][] = [
            [{}, "/messages", "required"],
            [{prompt: "a", temperature: 3}, "/temperature", "maximum"],
            [{prompt: "a", topP: -0.5}, "/topP", "minimum"],
            [{prompt: "a", stop: ["x".repeat(201)]}, "/stop/0", "maxLength"],
            [{prompt: "a", stop: Array.from({length: 17}, () => "x")}, "/stop", "maxItems"],
            [{messages: [{content: "a"}]}, "/messages/0/role", "required"],
            [{messages: [{role: MessageRole.USER, content: "x".repeat(524_289)}]}, "/messages/0/content", "maxLength"],
            [{messages: [{role: MessageRole.ASSISTANT, content: "a"}]}, "/messages/0/role", "enum"],
        ];
        for (const [request, pointer, keyword] of cases) {
            const fault = await faultOf(mesh.whole(request));
            assert.deepEqual([fault.reason, fault.details.pointer, fault.details.keyword], [Reason.SCHEMA_VIOLATION, pointer, keyword]);
        }
    });

    it("is told to the log without a word of the prompt", async () => {
        const requestId = randomUUID();
        await mesh.whole({prompt: "canary-7731", maxTokens: 4}, dev, requestId);
        await until("the log has the entry", () => mesh.entries.some((entry) => entry.fields.request_id === requestId));
        const entry = mesh.entries.find((one) => one.fields.request_id === requestId);
        assert.equal(entry?.userId, dev.userId);
        assert.equal(entry.fields.completion_tokens, "4");
        assert.ok(!mesh.output.includes("canary-7731"));
    });

    it("hands the trace on to Billing", async () => {
        const options = await mesh.as(dev);
        const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        options.metadata.set("traceparent", traceparent);
        await collect(mesh.client.stream(LlmService.method.chat, {prompt: "trace", maxTokens: 1}, options));
        assert.equal(mesh.billing.traceparents.at(-1), traceparent);
    });

    it("shows the load to those who watch", async () => {
        for await (const stats of mesh.client.stream(LlmService.method.watchStats, {}, await mesh.as(dev))) {
            assert.ok(stats.rssBytes > 10_000_000n);
            assert.deepEqual(stats.models.map((model) => model.modelId), ["tiny"]);
            break;
        }
    });
});

function cosine(a: readonly number[] = [], b: readonly number[] = []): number {
    return a.reduce((sum, one, index) => sum + one * (b[index] ?? 0), 0);
}
