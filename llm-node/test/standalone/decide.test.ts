// Decide, with the tiny model: probabilities that add up, agree with what is generated, and are billed as read.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {after, before, describe, it} from "node:test";

import {Kind, UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {Mesh, dev, faultOf} from "../double/mesh.js";

describe("a choice among options", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_SEQUENCES: "1"});
    });
    after(() => mesh.stop());

    const near = (a: number, b: number, what: string) => assert.ok(Math.abs(a - b) < 1e-4, `${what}: ${a} and ${b}`);
    const decide = (options: string[], prompt = "which one?") => mesh.call("decide", {prompt, options}, dev);

    it("names the likeliest, and probabilities of 1 together", async () => {
        const {choice, options} = await decide(["yes", "no", "perhaps"]);
        assert.deepEqual(options.map(({option}) => option), ["yes", "no", "perhaps"]);
        near(options.reduce((sum, {probability}) => sum + probability, 0), 1, "the sum");
        const most = options.toSorted((a, b) => b.probability - a.probability)[0];
        assert.equal(choice, most?.option);
    });

    it("depends neither on the order of the options nor on what was asked before", async () => {
        const one = await decide(["yes", "no", "a longer answer"]);
        await decide(["something", "else"], "another question");
        const other = await decide(["a longer answer", "no", "yes"]);
        for (const {option, probability} of one.options) near(other.options.find((same) => same.option === option)?.probability ?? 0, probability, option);
        assert.equal(other.choice, one.choice);
    });

    it("finds what the model would answer the likeliest of all", async () => {
        const greedy = (await mesh.whole({prompt: "which one?", maxTokens: 1, temperature: 0, repeatPenalty: 1})).last.text;
        const others = ["q", "Z", "%", "7"].filter((text) => text !== greedy);
        // Of two answers of a token each, the model's own is the likelier unless their ends differ by more.
        const {choice} = await decide([...others, greedy]);
        assert.equal(choice, greedy);
    });

    it("has the same odds between two, whatever else may be chosen", async () => {
        const odds = (options: {option: string; probability: number}[]) => {
            const of = (name: string) => options.find(({option}) => option === name)?.probability ?? 0;
            return Math.log(of("yes") / of("no"));
        };
        near(odds((await decide(["yes", "no"])).options), odds((await decide(["no", "maybe", "yes", "never"])).options), "the odds");
    });

    it("is billed at the tokens of its prompt and its options, and generates none", async () => {
        const requestId = randomUUID();
        const options = ["yes", "no"];
        const {usage} = await mesh.call("decide", {prompt: "which one?", options}, dev, requestId);
        const prompt = await mesh.call("countTokens", {prompt: "which one?"}, dev);
        const answers = await Promise.all(options.map((text) => mesh.call("countTokens", {text}, dev)));
        const expected = answers.reduce((sum, {tokens}) => sum + tokens, prompt.tokens);
        const reserve = mesh.billing.reserves.find((one) => one.requestId === requestId);
        const row = mesh.billing.rows.get(requestId);
        assert.deepEqual([usage?.promptTokens, usage?.completionTokens], [expected, 0]);
        assert.deepEqual([reserve?.kind, reserve?.promptTokens, reserve?.completionTokens], [Kind.DECIDE, expected, 0]);
        assert.deepEqual([row?.promptTokens, row?.completionTokens, row?.status], [expected, 0, UsageStatus.OK]);
    });

    it("refuses options that are no choice, by their place, and bills nothing", async () => {
        const reserved = mesh.billing.reserves.length;
        const at = async (options: string[]) => (await faultOf(decide(options))).details.pointer;
        assert.equal(await at([]), "/options");
        assert.equal(await at(["one"]), "/options");
        assert.equal(await at(["one", ""]), "/options/1");
        assert.equal(await at(["one", "two", "one"]), "/options/2");
        const fault = await faultOf(decide(["yes", "no"], "x ".repeat(3_000)));
        assert.deepEqual([fault.reason, mesh.billing.reserves.length], [Reason.CONTEXT_OVERFLOW, reserved]);
    });

    it("lets the next answer be as if it had never been", async () => {
        const free = async () => (await mesh.whole({prompt: "which one?", maxTokens: 20, temperature: 0})).last.text;
        const before = await free();
        await decide(["yes", "no", "perhaps not"]);
        assert.equal(await free(), before);
    });
});
