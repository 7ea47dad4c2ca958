// The account: budgets, blocks, leases, and a Billing that goes away.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {after, afterEach, before, describe, it} from "node:test";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {Mesh, dev, faultOf, until} from "../double/mesh.js";

describe("the account", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_HEARTBEAT_MS: "100", DEVSTUDIO_LLM_BILLING_RETRY_MS: "600", DEVSTUDIO_LLM_BLOCK_TOKENS: "64"});
    });
    after(() => mesh.stop());
    afterEach(async () => {
        await until("every reservation is settled", () => mesh.billing.open.size === 0);
        await until("the journal is empty", () => mesh.journal.length === 0);
        Object.assign(mesh.billing, {limit: Infinity, leaseMs: 60_000, beforeExtend: () => Promise.resolve()});
    });

    it("refuses a call that its budget does not hold, before anything is generated", async () => {
        mesh.billing.limit = mesh.billing.used + 10;
        const fault = await faultOf(mesh.whole({prompt: "too dear", maxTokens: 50}));
        assert.equal(fault.reason, Reason.TOKEN_BUDGET_EXCEEDED);
        assert.equal(fault.details.scope, "user");
        assert.ok((fault.retryAfterMs ?? 0) > 0);
    });

    it("ends an answer whose next block is refused with finish reason budget, after the block it holds", async () => {
        const requestId = randomUUID();
        const promptTokens = (await mesh.call("countTokens", {prompt: "budget"}, dev)).tokens;
        mesh.billing.limit = mesh.billing.used + promptTokens + 2 * 64 + 10;
        const {pieces, last} = await mesh.whole({prompt: "budget", maxTokens: 1_000}, dev, requestId);
        assert.equal(last.finishReason, "budget");
        assert.equal(last.usage?.completionTokens, 128);
        assert.equal(pieces.map((piece) => piece.delta).join(""), last.text);
        assert.equal(mesh.billing.rows.get(requestId)?.status, UsageStatus.BUDGET);
        assert.equal(mesh.billing.rows.get(requestId)?.completionTokens, 128);
    });

    it("lets at least five of twenty calls through on a budget for five, and is never overdrawn", async () => {
        const promptTokens = (await mesh.call("countTokens", {prompt: "parallel"}, dev)).tokens;
        mesh.billing.limit = mesh.billing.used + 5 * (promptTokens + 32);
        const results = await Promise.allSettled(Array.from({length: 20}, () => mesh.whole({prompt: "parallel", maxTokens: 32})));
        const done = results.filter((one) => one.status === "fulfilled").length;
        assert.ok(done >= 5, `${done} were answered`);
        assert.ok(mesh.billing.used <= mesh.billing.limit);
        for (const result of results.filter((one) => one.status === "rejected"))
            assert.equal((await faultOf(Promise.reject(result.reason as Error))).reason, Reason.TOKEN_BUDGET_EXCEEDED);
    });

    it("takes a request id once", async () => {
        const requestId = randomUUID();
        await mesh.whole({prompt: "once", maxTokens: 2}, dev, requestId);
        assert.equal((await faultOf(mesh.whole({prompt: "once", maxTokens: 2}, dev, requestId))).reason, Reason.ALREADY_EXISTS);
    });

    it("is kept alive while a reader is slow, and held back: little is generated that nobody reads", async () => {
        const requestId = randomUUID();
        const answer = mesh.chat({prompt: "slow", maxTokens: 1_900}, dev, requestId);
        await answer.next();
        const beats = () => mesh.billing.extends.filter((one) => one.requestId === requestId && one.tokens === 0);
        await until("three beats came", () => beats().length >= 3);
        await until("generation stands still", async () => {
            const [before, count] = [beats().at(-1)?.producedTokens, beats().length];
            await until("two more beats came", () => beats().length >= count + 2);
            return before === beats().at(-1)?.producedTokens;
        });
        const standing = beats().at(-1)?.producedTokens ?? 0;
        assert.ok(standing < 1_900, `${standing} tokens were generated`);
        await answer.return(undefined);
    });

    it("ends an answer with finish reason error when its reservation is gone", async () => {
        const requestId = randomUUID();
        let last = "";
        for await (const piece of mesh.chat({prompt: "swept", maxTokens: 1_900}, dev, requestId)) {
            if (piece.seq === 5n) mesh.billing.open.delete(requestId);
            last = piece.finishReason;
        }
        assert.equal(last, "error");
    });

    it("that is not there refuses a new call and keeps nothing of it", async () => {
        mesh.billing.stop();
        const fault = await faultOf(mesh.whole({prompt: "gone", maxTokens: 5}));
        assert.equal(fault.reason, Reason.UPSTREAM_UNAVAILABLE);
        assert.equal(fault.details.service, "billing");
        await mesh.billing.start();
        await until("the journal is empty", () => mesh.journal.length === 0, 20_000);
    });

    it("that goes in the middle lets an answer finish the block it holds, and is settled when it is back", async () => {
        const requestId = randomUUID();
        const answer = mesh.chat({prompt: "cut", maxTokens: 1_000}, dev, requestId);
        mesh.billing.beforeExtend = () => {
            mesh.billing.stop();
            return new Promise(() => undefined);
        };
        const began = Date.now();
        let told;
        for await (const piece of answer) told = piece;
        assert.equal(told?.finishReason, "error");
        assert.equal(told.usage?.completionTokens, 64);
        assert.ok(Date.now() - began >= 600, "it did not wait for Billing");
        assert.equal(mesh.journal.length, 1);
        mesh.billing.beforeExtend = () => Promise.resolve();
        await mesh.billing.start();
        await until("the answer is settled", () => mesh.billing.rows.has(requestId), 20_000);
        assert.equal(mesh.billing.rows.get(requestId)?.completionTokens, 64);
        assert.equal(mesh.billing.rows.get(requestId)?.status, UsageStatus.FAILED);
    });
});
