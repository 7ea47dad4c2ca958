// The end of the service, orderly and not: nothing that was generated goes unbilled.

import assert from "node:assert/strict";
import {spawnSync} from "node:child_process";
import {randomUUID} from "node:crypto";
import {after, before, describe, it} from "node:test";
import {fileURLToPath} from "node:url";

import {UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {type ChatResponse} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, dev, until} from "../double/mesh.js";

const main = fileURLToPath(new URL("../../main.js", import.meta.url));

describe("the service", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_DRAIN_MS: "2500"});
    });
    after(() => mesh.stop());

    it("killed in the middle of an answer settles it at its next start, at what was shown", async () => {
        for (const after of [1, 3, 10, 40, 90]) {
            const requestId = randomUUID();
            let shown: ChatResponse | undefined;
            const abort = new AbortController();
            try {
                for await (const piece of mesh.chat({prompt: "killed", maxTokens: 1_900}, dev, requestId, abort.signal)) {
                    shown = piece;
                    if (piece.seq === BigInt(after)) await mesh.killService("SIGKILL");
                }
            } catch {
                // The connection broke with the service.
            }
            await mesh.startService();
            await until("the answer is settled", () => mesh.billing.rows.has(requestId));
            const row = mesh.billing.rows.get(requestId);
            assert.equal(row?.status, UsageStatus.SWEPT);
            // What the client had not read yet when the process was killed was sent, and counts.
            assert.ok(row.completionTokens >= (shown?.usage?.completionTokens ?? 0));
            assert.ok(row.promptTokens > 0);
            await until("the journal is empty", () => mesh.journal.length === 0);
        }
    });

    it("told to end lets a short answer finish, cuts a long one, settles both and exits with 0", async () => {
        const [short, long] = [randomUUID(), randomUUID()];
        const shortAnswer = mesh.whole({prompt: "short", maxTokens: 60}, dev, short);
        const longAnswer = mesh.chat({prompt: "long", maxTokens: 1_900}, dev, long);
        await longAnswer.next();
        const exit = mesh.killService("SIGTERM");
        assert.equal((await shortAnswer).last.finishReason, "length");
        // Nobody reads on until the service cuts it.
        await until("the long answer is settled", () => mesh.billing.rows.has(long));
        let last: ChatResponse | undefined;
        for await (const piece of longAnswer) last = piece;
        assert.equal(last?.finishReason, "unloaded");
        assert.equal(mesh.billing.rows.get(long)?.completionTokens, last.usage?.completionTokens);
        assert.equal(await exit, 0);
        assert.deepEqual(mesh.journal, []);
        await mesh.startService();
    });

    it("tells its settings and its version, and names a setting that is missing", () => {
        const run = (args: string[], env = {}) => spawnSync(process.execPath, [main, ...args], {env: {PATH: process.env.PATH, ...env}, encoding: "utf8"});
        assert.match(run(["--help"]).stdout, /DEVSTUDIO_LLM_BLOCK_TOKENS .*\[128\]/);
        assert.match(run(["--version"]).stdout, /^\d+\.\d+\.\d+\n$/);
        const missing = run([]);
        assert.equal(missing.status, 2);
        assert.match(missing.stderr, /DEVSTUDIO_LINK_BILLING is not set/);
    });
});
