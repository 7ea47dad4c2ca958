// The life of a model: listed, loaded, asked too early, unloaded in the middle of an answer, refused when too large.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {copyFileSync, readFileSync} from "node:fs";
import {join} from "node:path";
import {after, before, describe, it} from "node:test";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {JobState, ModelState} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, dev, faultOf, tinyModel, until} from "../double/mesh.js";

describe("a model", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_MAX_PARAMS: "116000"});
        copyFileSync(tinyModel, join(mesh.modelsFolder, "other.gguf"));
    });
    after(() => mesh.stop());

    const model = async (modelId: string) => (await mesh.call("listModels", {}, dev)).models.find((one) => one.modelId === modelId);

    it("is listed with what its file says, the default one first", async () => {
        const {models} = await mesh.call("listModels", {}, dev);
        const [first] = models;
        assert.equal(first?.modelId, "tiny");
        assert.equal(first.isDefault, true);
        assert.equal(first.state, ModelState.LOADED);
        assert.equal(first.parameters, 115_904n);
        assert.equal(first.quant, "F16");
        assert.equal(first.contextSize, 2_048);
        assert.equal(first.sizeBytes, 238_496n);
        assert.ok(first.memoryBytes > 1_000_000n);
        for (const alias of ["nous-hermes", "codellama", "mistral-instruct"]) {
            const found = models.find((one) => one.aliases.includes(alias));
            assert.ok(found !== undefined && found.parameters <= 3_500_000_000n && !found.oversize, alias);
        }
        assert.ok(models.filter((one) => one.oversize).length >= 2);
        await until("its hash is known", async () => (await model("tiny"))?.sha256.length === 64);
    });

    it("that nobody knows is MODEL_UNKNOWN, one that is not here MODEL_NOT_LOADED", async () => {
        assert.equal((await faultOf(mesh.whole({prompt: "a", model: "gpt-9"}))).reason, Reason.MODEL_UNKNOWN);
        assert.equal((await faultOf(mesh.whole({prompt: "a", model: "codellama"}))).reason, Reason.MODEL_NOT_LOADED);
        assert.equal((await faultOf(mesh.call("countTokens", {text: "a", model: "other"}, dev))).reason, Reason.MODEL_NOT_LOADED);
        assert.equal((await faultOf(mesh.call("loadModel", {model: "codellama"}))).reason, Reason.STATE_CONFLICT);
        assert.equal((await faultOf(mesh.call("unloadModel", {model: "other"}))).reason, Reason.MODEL_NOT_LOADED);
        assert.equal(mesh.billing.reserves.length, 0);
    });

    it("with too many parameters is not loaded", async () => {
        assert.equal((await faultOf(mesh.call("loadModel", {model: "mistral-7b-instruct-v0.2"}))).reason, Reason.MODEL_TOO_LARGE);
    });

    it("is loaded once by two who ask, answers, and is unloaded", async () => {
        const [one, two] = await Promise.all([mesh.call("loadModel", {model: "other"}), mesh.call("loadModel", {model: "other"})]);
        assert.equal(one.jobId, two.jobId);
        assert.equal((await mesh.job(one.jobId)).job.state, JobState.SUCCEEDED);
        assert.equal((await mesh.whole({prompt: "a", model: "other", maxTokens: 2})).last.model, "other");
        assert.equal((await mesh.job((await mesh.call("loadModel", {model: "other"})).jobId)).job.state, JobState.SUCCEEDED);
        await mesh.job((await mesh.call("unloadModel", {model: "other"})).jobId);
        assert.equal((await model("other"))?.state, ModelState.DOWNLOADED);
    });

    it("that is unloaded ends its answers in good order, and is there again when it is loaded again", async () => {
        const requestId = randomUUID();
        const answer = mesh.chat({prompt: "long", maxTokens: 1_900}, dev, requestId);
        await answer.next();
        const unloading = mesh.call("unloadModel", {model: "tiny"});
        let last;
        for await (const piece of answer) last = piece;
        assert.equal(last?.finishReason, "unloaded");
        const row = mesh.billing.rows.get(requestId);
        assert.equal(row?.completionTokens, last.usage?.completionTokens);
        assert.equal(row?.status, UsageStatus.FAILED);
        await mesh.job((await unloading).jobId);
        assert.equal((await faultOf(mesh.whole({prompt: "a"}))).reason, Reason.MODEL_NOT_LOADED);
        await mesh.job((await mesh.call("loadModel", {model: "tiny"})).jobId);
        assert.equal((await mesh.whole({prompt: "a", maxTokens: 2})).last.finishReason, "length");
    });

    it("gives its memory back, fifty times", async () => {
        const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${mesh.pid}/status`, "utf8"))?.[1]);
        const cycle = async () => {
            await mesh.job((await mesh.call("loadModel", {model: "other"})).jobId);
            await mesh.whole({prompt: "a", model: "other", maxTokens: 2});
            await mesh.job((await mesh.call("unloadModel", {model: "other"})).jobId);
        };
        // What is used goes up and down with the garbage; what stays is the least of several rounds. It rises by less and less
        // for some fifty, until the heap and the allocator have their size; what leaks rises on.
        const least = async (rounds: number) => {
            const seen = [];
            for (let round = 0; round < rounds; round++) seen.push((await cycle(), rss()));
            return Math.min(...seen.slice(-10));
        };
        const before = await least(60);
        const growth = await least(50) / before - 1;
        console.log(`resident memory after 50 rounds: ${(growth * 100).toFixed(1)} %`);
        assert.ok(growth < 0.05, `it grew by ${(growth * 100).toFixed(1)} %`);
    });
});
