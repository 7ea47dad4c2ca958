// Model files that are broken, a little or a lot: refused by their reason, and the service lives on.

import assert from "node:assert/strict";
import {readFileSync, rmSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {after, before, describe, it} from "node:test";

import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {JobState} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Mesh, faultOf, tinyModel} from "../double/mesh.js";

describe("a model", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_MAX_PARAMS: "116000"});
        writeFileSync(join(mesh.modelsFolder, "broken.gguf"), readFileSync(tinyModel).subarray(0, 5_000));
        writeFileSync(join(mesh.modelsFolder, "cut.gguf"), readFileSync(tinyModel).subarray(0, 100_000));
        writeFileSync(join(mesh.modelsFolder, "nonsense.gguf"), "GGUF" + "x".repeat(3_000));
    });
    after(() => mesh.stop());

    it("whose file is broken is refused, and the service lives on", async () => {
        for (const broken of ["broken", "nonsense", "cut"]) assert.equal((await faultOf(mesh.call("loadModel", {model: broken}))).reason, Reason.NOT_SUPPORTED);
        assert.equal((await mesh.whole({prompt: "still there", maxTokens: 2})).last.finishReason, "length");
    });

    it("whose bytes were turned here and there fails or works, and the service lives on", async () => {
        const {pid} = mesh;
        // Into the header, and into everything: two lanes, since each try is a process of its own.
        const lanes = [600, 12_000].map(async (reach, lane) => {
            const random = seeded(lane + 1);
            const name = `turned-${lane}`;
            for (let round = 0; round < 13; round++) {
                const bytes = Buffer.from(readFileSync(tinyModel));
                for (let edit = 0; edit < 1 + random(4); edit++) bytes[random(reach)] = random(256);
                writeFileSync(join(mesh.modelsFolder, `${name}.gguf`), bytes);
                const loading = await mesh.call("loadModel", {model: name}).catch(() => undefined);
                if (loading === undefined || (await mesh.job(loading.jobId)).job.state !== JobState.SUCCEEDED) continue;
                await mesh.whole({prompt: "a", model: name, maxTokens: 2});
                await mesh.job((await mesh.call("unloadModel", {model: name})).jobId);
            }
            rmSync(join(mesh.modelsFolder, `${name}.gguf`));
        });
        await Promise.all(lanes);
        assert.equal(mesh.pid, pid);
        assert.equal((await mesh.whole({prompt: "still there", maxTokens: 2})).last.finishReason, "length");
    });
});

/** Numbers below a bound, the same in every run. */
function seeded(seed: number): (bound: number) => number {
    return (bound) => {
        seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
        return seed % bound;
    };
}
