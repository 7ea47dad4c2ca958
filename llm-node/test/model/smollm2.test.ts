// The bundled model, for real: exact prompts, speed, cancel, and its vectors. DEVSTUDIO_TEST_MODEL names its file.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {existsSync} from "node:fs";
import {homedir} from "node:os";
import {join} from "node:path";
import {after, before, describe, it} from "node:test";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Granularity, MessageRole} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, dev, until} from "../double/mesh.js";

const file = process.env.DEVSTUDIO_TEST_MODEL ?? join(homedir(), ".cache/devstudio/models/SmolLM2-135M-Instruct.Q4_1.gguf");
const skip = existsSync(file) ? false : `SmolLM2 is not at ${file}; DEVSTUDIO_TEST_MODEL names another place`;
const codePrompt = "Write a Python function that adds two numbers. Answer with one code block.";

describe("SmolLM2", {skip}, () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_DEFAULT_MODEL: "smollm2-135m-instruct", DEVSTUDIO_LLM_CONTEXT: "4096", DEVSTUDIO_LLM_THREADS: process.env.DEVSTUDIO_LLM_THREADS ?? "auto"}, [file]);
    });
    after(() => mesh.stop());

    it("is prompted exactly as its template says", async () => {
        const {tokens} = await mesh.call("countTokens", {prompt: "Hi"}, dev);
        // <|im_start|>system\nYou are … Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n
        assert.equal(tokens, 31);
        const withSystem = await mesh.call("countTokens", {messages: [{role: MessageRole.SYSTEM, content: "Hi"}, {role: MessageRole.USER, content: "Hi"}]}, dev);
        assert.equal(withSystem.tokens, 16);
    });

    it("answers code within three seconds, median of five", async () => {
        const runs = [];
        for (let round = 0; round < 5; round++) {
            const began = performance.now();
            const {last} = await mesh.whole({prompt: codePrompt, maxTokens: 96, temperature: 0});
            runs.push({wall: performance.now() - began, last});
        }
        const [, , median] = runs.sort((a, b) => a.wall - b.wall);
        const {ttftMs = 0, totalMs = 0, tokensPerSecond = 0} = median?.last.timings ?? {};
        console.log(`median of five: ${ttftMs} ms to the first token, ${totalMs} ms in all, ${tokensPerSecond.toFixed(1)} tokens/s, ${median?.last.usage?.completionTokens ?? 0} tokens`);
        assert.ok((median?.wall ?? Infinity) <= 3_000);
        assert.match(median?.last.text ?? "", /```/);
    });

    it("writes eight answers of eight that fit their schema, at temperature 1", async () => {
        const responseSchema = JSON.stringify({
            oneOf: [
                {type: "object", properties: {kind: {const: "write_file"}, path: {type: "string", minLength: 1, maxLength: 40}, text: {type: "string", maxLength: 120}}},
                {type: "object", properties: {kind: {const: "run"}, argv: {type: "array", items: {type: "string", maxLength: 20}, minItems: 1, maxItems: 4}}},
                {type: "object", properties: {kind: {const: "finish"}, summary: {type: "string", maxLength: 80}}},
            ],
        });
        const kinds = [];
        for (let seed = 0; seed < 8; seed++) {
            const {last} = await mesh.whole({prompt: "You write code. Answer with the next action as JSON: write a file that adds two numbers in Python.", maxTokens: 300, temperature: 1, seed, responseSchema});
            assert.equal(last.finishReason, "stop", last.text);
            kinds.push((JSON.parse(last.text) as {kind: string}).kind);
        }
        assert.ok(kinds.every((kind) => ["write_file", "run", "finish"].includes(kind)), kinds.join());
    });

    it("chooses what is so rather than what is not", async () => {
        const {choice, options} = await mesh.call("decide", {prompt: "What is the capital of France?", options: ["A banana.", "The capital of France is Paris."]}, dev);
        assert.equal(choice, "The capital of France is Paris.", JSON.stringify(options));
    });

    it("counts as its tokenizer does, and so does the ledger", async () => {
        const requestId = randomUUID();
        const {pieces, last} = await mesh.whole({prompt: "Sag etwas auf Deutsch, mit Umlauten und 🙂.", maxTokens: 60, temperature: 0.8, seed: 3}, dev, requestId);
        const row = mesh.billing.rows.get(requestId);
        assert.equal(pieces.map((piece) => piece.delta).join(""), last.text);
        assert.deepEqual([row?.promptTokens, row?.completionTokens], [last.usage?.promptTokens, last.usage?.completionTokens]);
        assert.ok(!/<\|/.test(last.text));
    });

    it("stops within a token when its caller goes", async () => {
        const requestId = randomUUID();
        let told = 0;
        for await (const piece of mesh.chat({prompt: "Tell me a very long story.", maxTokens: 1_000, temperature: 0}, dev, requestId)) {
            told = piece.usage?.completionTokens ?? 0;
            if (told >= 8) break;
        }
        await until("it is settled", () => mesh.billing.rows.has(requestId), 5_000);
        const row = mesh.billing.rows.get(requestId);
        assert.equal(row?.status, UsageStatus.CANCELLED);
        // What was on its way when the caller went is billed too: a few tokens at this speed.
        assert.ok(row.completionTokens - told <= 4, `${row.completionTokens} billed, ${told} seen`);
    });

    it("knows the beginning of a conversation that goes on", async () => {
        const first = await mesh.whole({messages: [{role: MessageRole.USER, content: "Name a colour."}], maxTokens: 12, temperature: 0});
        const next = await mesh.whole({
            messages: [
                {role: MessageRole.USER, content: "Name a colour."},
                {role: MessageRole.ASSISTANT, content: first.last.text},
                {role: MessageRole.USER, content: "And another one."},
            ],
            maxTokens: 4,
            temperature: 0,
        });
        assert.ok((next.last.usage?.cachedTokens ?? 0) >= (first.last.usage?.promptTokens ?? 0), JSON.stringify([first.last.usage, next.last.usage]));
    });

    it("gives the last token the vector of the whole text, and alike texts alike vectors", async () => {
        const text = "a token has a vector";
        const whole = await mesh.call("embed", {input: [text, "a token has one vector", "Bananas grow in Ecuador."]}, dev);
        const single = await mesh.call("embed", {input: [text], granularity: Granularity.TOKEN}, dev);
        const dot = (a: readonly number[] = [], b: readonly number[] = []) => a.reduce((sum, one, index) => sum + one * (b[index] ?? 0), 0);
        const [one, alike, other] = whole.embeddings.map(({vector}) => vector);
        assert.equal(whole.dimensions, 576);
        assert.ok(dot(single.embeddings.at(-1)?.vector, one) > 0.9999);
        assert.ok(dot(one, alike) > dot(one, other));
    });

    it("serves four people with two sequences, all to the end", async () => {
        const answers = await Promise.all([1, 2, 3, 4].map((one) => mesh.whole({prompt: `Count to ${one}.`, maxTokens: 24, temperature: 0}, {userId: String(one), role: "dev"})));
        assert.ok(answers.every(({last}) => ["stop", "length"].includes(last.finishReason)));
        assert.equal(mesh.billing.open.size, 0);
    });
});
