// Downloads, from a hub on loopback.

import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {after, afterEach, before, describe, it} from "node:test";

import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {JobState, LlmService, ModelState} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {HubDouble, type HubFile} from "../double/hub.js";
import {Mesh, admin, dev, faultOf, tinyModel, until} from "../double/mesh.js";

const body = readFileSync(tinyModel);
const path = "/someone/Small-GGUF/resolve/main/small-f16.gguf";

describe("a download", () => {
    let mesh: Mesh;
    let hub: HubDouble;
    const folder = mkdtempSync(join(tmpdir(), "devstudio-catalog-"));
    before(async () => {
        hub = await new HubDouble().start();
        const common = {name: "Small", license: "Apache-2.0"};
        const models = [
            {...common, id: "small", aliases: ["little"], source: "hf:someone/Small-GGUF:F16", allowedQuants: ["F16"]},
            {...common, id: "named", source: "hf:someone/Named/deep/named.gguf", allowedQuants: ["F16"]},
            {...common, id: "mislabelled", source: "hf:someone/Wrong/wrong.gguf", allowedQuants: ["Q4_K_M"]},
        ];
        writeFileSync(join(folder, "catalog.json"), JSON.stringify({models}));
        mesh = await Mesh.start({HF_ENDPOINT: hub.address, DEVSTUDIO_LLM_CATALOG: join(folder, "catalog.json")});
    });
    after(async () => {
        await mesh.stop();
        hub.stop();
        rmSync(folder, {recursive: true});
    });
    afterEach(() => {
        for (const name of readdirSync(mesh.modelsFolder)) if (name !== "tiny.gguf") rmSync(join(mesh.modelsFolder, name));
    });

    const begin = (file: Partial<HubFile>, model = "small", at = path) => {
        hub.files.clear();
        hub.files.set(at, {body, ...file});
        return mesh.call("downloadModel", {model});
    };
    const failed = async (file: Partial<HubFile>, model = "small", at = path) => {
        const {job} = await mesh.job((await begin(file, model, at)).jobId);
        assert.equal(job.state, JobState.FAILED);
        assert.deepEqual(readdirSync(mesh.modelsFolder), ["tiny.gguf"]);
        return job;
    };

    it("brings the file, with progress and its hash, ready to be loaded", async () => {
        const {job} = await mesh.job((await begin({}, "little")).jobId);
        assert.equal(job.state, JobState.SUCCEEDED);
        assert.deepEqual([job.doneBytes, job.totalBytes, job.progress], [238_496n, 238_496n, 1]);
        assert.deepEqual(readFileSync(join(mesh.modelsFolder, "small.F16.gguf")), body);
        const model = (await mesh.call("listModels", {}, dev)).models.find((one) => one.modelId === "small");
        assert.equal(model?.state, ModelState.DOWNLOADED);
        assert.equal(model.sha256, createHash("sha256").update(body).digest("hex"));
        assert.equal((await faultOf(mesh.call("downloadModel", {model: "small"}))).reason, Reason.ALREADY_EXISTS);
        await mesh.job((await mesh.call("loadModel", {model: "small"})).jobId);
        assert.equal((await mesh.whole({prompt: "a", model: "little", maxTokens: 2})).last.model, "small");
        await mesh.job((await mesh.call("unloadModel", {model: "small"})).jobId);
    });

    it("follows a redirect on loopback, since the hub is there", async () => {
        hub.files.clear();
        hub.files.set("/someone/Named/resolve/main/deep/named.gguf", {body, location: `${hub.address}/store/blob`});
        hub.files.set("/store/blob", {body});
        const {job} = await mesh.job((await mesh.call("downloadModel", {model: "named"})).jobId);
        assert.equal(job.state, JobState.SUCCEEDED);
        assert.ok(readdirSync(mesh.modelsFolder).includes("named.gguf"));
    });

    it("is one for two admins, told to both", async () => {
        let goOn: () => void = () => undefined;
        const until = new Promise<void>((resolve) => (goOn = resolve));
        const one = await begin({waitAfter: {bytes: 100_000, until}});
        const two = await mesh.call("downloadModel", {model: "small"});
        assert.equal(one.jobId, two.jobId);
        goOn();
        assert.equal((await mesh.job(two.jobId)).job.state, JobState.SUCCEEDED);
    });

    it("that is cancelled leaves nothing", async () => {
        const {jobId} = await begin({waitAfter: {bytes: 100_000, until: new Promise(() => undefined)}});
        await until("a part is there", () => readdirSync(mesh.modelsFolder).some((name) => name.endsWith(".part")));
        const {job} = await mesh.call("cancelJob", {jobId});
        assert.equal(job?.state, JobState.CANCELLED);
        assert.deepEqual(readdirSync(mesh.modelsFolder), ["tiny.gguf"]);
    });

    it("that is cut off, at any point, fails and leaves nothing", async () => {
        for (const cutAfter of [1, 5_000, 119_248, 238_495]) assert.equal((await failed({cutAfter})).errorReason, "UPSTREAM_UNAVAILABLE");
    });

    it("of a file with another hash than declared fails", async () => {
        const job = await failed({sha256: "0".repeat(64)}, "named", "/someone/Named/resolve/main/deep/named.gguf");
        assert.match(job.errorMessage, /hash/);
    });

    it("of something that is no model fails", async () => {
        assert.equal((await failed({body: Buffer.from("<html>")}, "mislabelled", "/someone/Wrong/resolve/main/wrong.gguf")).errorReason, "NOT_SUPPORTED");
    });

    it("of another quantisation than allowed fails, by the file's own word", async () => {
        assert.equal((await failed({}, "mislabelled", "/someone/Wrong/resolve/main/wrong.gguf")).errorReason, "QUANT_NOT_ALLOWED");
        assert.equal((await faultOf(mesh.call("downloadModel", {model: "codellama", quant: "Q8_0"}))).reason, Reason.QUANT_NOT_ALLOWED);
    });

    it("tells what the hub refuses", async () => {
        assert.equal((await failed({status: 404}, "named", "/someone/Named/resolve/main/deep/named.gguf")).errorReason, "NOT_FOUND");
        for (const status of [401, 403]) assert.match((await failed({status}, "named", "/someone/Named/resolve/main/deep/named.gguf")).errorMessage, /terms/);
        assert.equal((await failed({status: 500}, "named", "/someone/Named/resolve/main/deep/named.gguf")).errorReason, "UPSTREAM_UNAVAILABLE");
    });

    it("follows no redirect away from the hub to another machine without https", async () => {
        const job = await failed({location: "http://192.0.2.1/blob"}, "named", "/someone/Named/resolve/main/deep/named.gguf");
        assert.match(job.errorMessage, /not https/);
    });

    it("of an oversize or unknown model is refused at once", async () => {
        assert.equal((await faultOf(mesh.call("downloadModel", {model: "codellama-7b-instruct"}))).reason, Reason.MODEL_TOO_LARGE);
        assert.equal((await faultOf(mesh.call("downloadModel", {model: "unheard-of"}))).reason, Reason.MODEL_UNKNOWN);
    });

    it("is remembered among the jobs, newest first", async () => {
        const {jobs} = await mesh.call("listJobs", {});
        assert.ok(jobs.length > 5);
        assert.ok(jobs.every((job, index) => index === 0 || (jobs[index - 1]?.startedAt?.seconds ?? 0n) >= (job.startedAt?.seconds ?? 0n)));
    });

    it("is shown at most five times a second", async () => {
        let goOn: () => void = () => undefined;
        const end = new Promise<void>((resolve) => (goOn = resolve));
        const {jobId} = await begin({waitAfter: {bytes: 1_000, until: end}});
        const began = Date.now();
        setTimeout(goOn, 500);
        let count = 0;
        for await (const {job} of mesh.client.stream(LlmService.method.watchJob, {jobId}, await mesh.as(admin))) if (job !== undefined) count++;
        assert.ok(count <= 2 + (Date.now() - began) / 200, `${count} messages`);
    });
});
