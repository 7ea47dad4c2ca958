// Turns: few at a time, fair between people, bounded, and free for those who leave.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {after, before, describe, it} from "node:test";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {LlmService} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, dev, faultOf, until} from "../double/mesh.js";

describe("the queue", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_SEQUENCES: "2", DEVSTUDIO_LLM_QUEUE: "4", DEVSTUDIO_LLM_QUEUE_PER_USER: "3"});
    });
    after(() => mesh.stop());

    const load = async () => {
        for await (const stats of mesh.client.stream(LlmService.method.watchStats, {}, await mesh.as(dev))) return stats;
        throw new Error("no stats came");
    };

    /** Takes both sequences with answers that nobody reads on. */
    const occupy = async () => {
        const answers = [1, 2].map(() => mesh.chat({prompt: "occupied", maxTokens: 1_900}, {userId: randomUUID(), role: "dev"}));
        await Promise.all(answers.map((answer) => answer.next()));
        return () => Promise.all(answers.map((answer) => answer.return(undefined)));
    };

    it("admits two at a time and finishes all five", async () => {
        const answers = await Promise.all([1, 2, 3, 4, 5].map((one) => mesh.whole({prompt: `number ${one}`, maxTokens: 60}, {userId: String(one), role: "dev"})));
        assert.equal(answers.filter(({last}) => last.finishReason === "length").length, 5);
        assert.ok(answers.filter(({last}) => (last.timings?.queuedMs ?? 0) > 5).length >= 2);
    });

    it("refuses who comes when it is full, and tells when to try again", async () => {
        const free = await occupy();
        const waiting = ["a", "a", "b", "b"].map((userId) => mesh.whole({prompt: "wait", maxTokens: 2}, {userId, role: "dev"}));
        await until("four wait", async () => (await load()).queuedRequests === 4);
        const fault = await faultOf(mesh.whole({prompt: "one too many", maxTokens: 2}, {userId: "c", role: "dev"}));
        assert.equal(fault.reason, Reason.QUEUE_FULL);
        assert.ok((fault.retryAfterMs ?? 0) > 0);
        await free();
        await Promise.all(waiting);
    });

    it("lets who waits leave, unbilled", async () => {
        const free = await occupy();
        const requestId = randomUUID();
        const abort = new AbortController();
        const waiting = faultOf(mesh.chat({prompt: "impatient", maxTokens: 2}, dev, requestId, abort.signal).next());
        await until("it waits", async () => (await load()).queuedRequests === 1 && mesh.billing.open.has(requestId));
        abort.abort();
        await waiting;
        await until("it is settled", () => mesh.billing.rows.has(requestId));
        const row = mesh.billing.rows.get(requestId);
        assert.deepEqual([row?.promptTokens, row?.completionTokens, row?.status], [0, 0, UsageStatus.CANCELLED]);
        assert.equal((await load()).queuedRequests, 0);
        await free();
        await until("nothing stays reserved", () => mesh.billing.open.size === 0);
    });
});
