// Small parts: errors on the wire, the journal, settings, the catalogue, traces, addresses that are not the internet's.

import assert from "node:assert/strict";
import {appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {after, describe, it} from "node:test";

import {create} from "@bufbuild/protobuf";
import type {ServiceError} from "@grpc/grpc-js";

import {Catalog, catalogFile} from "#src/catalog.js";
import {ConfigError, readConfig, usableProcessors} from "#src/config.js";
import {ensureAllowed, isPrivate} from "#src/download.js";
import {availableMemory} from "#src/engine.js";
import {Fault} from "#src/fault.js";
import {idOf} from "#src/files.js";
import {ReserveRequestSchema, UsageStatus} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {EmbedRequestSchema} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Journal} from "#src/journal.js";
import {Log} from "#src/logs.js";
import {parseTraceparent} from "#src/telemetry.js";
import {validate} from "#src/validate.js";
import {normalised} from "#src/vectors.js";

const folder = mkdtempSync(join(tmpdir(), "devstudio-unit-"));
after(() => rmSync(folder, {recursive: true}));

describe("a fault", () => {
    const through = (fault: Fault) => Fault.fromService(fault.toStatus("some-id") as unknown as ServiceError, "other");

    it("survives the way over the wire", () => {
        const back = through(new Fault(Reason.QUEUE_FULL, "full").with("queued", 3).retryAfter(2_000));
        assert.deepEqual([back.reasonName, back.message, back.details.queued, back.retryAfterMs], ["QUEUE_FULL", "full", "3", 2_000]);
    });

    it("of our own tells its request id and nothing of its cause", () => {
        const status = Fault.internal(new Error("/secret/path")).toStatus("some-id");
        assert.ok(!Buffer.concat(status.metadata.get("grpc-status-details-bin") as Buffer[]).includes("secret") && !status.details.includes("secret"));
        assert.equal(through(Fault.internal("x")).details.request_id, "some-id");
    });
});

describe("field rules", () => {
    it("are checked in every message, with pointer and keyword", () => {
        const check = (requestId: string, promptTokens = 1) => validate(ReserveRequestSchema, create(ReserveRequestSchema, {requestId, modelId: "m", promptTokens}));
        const keyword = (expected: string) => (error: unknown) => error instanceof Fault && error.details.keyword === expected;
        check("5b25d93d-5810-4636-af43-67291ba2eb40");
        assert.throws(() => check(""), keyword("required"));
        assert.throws(() => check("no-uuid"), keyword("format"));
        assert.throws(() => check("5b25d93d-5810-4636-af43-67291ba2eb40", -1), keyword("minimum"));
        const odd = create(EmbedRequestSchema, {input: ["a"]});
        Object.assign(odd, {granularity: 9});
        assert.throws(() => validate(EmbedRequestSchema, odd), keyword("enum"));
    });

    it("count bytes of UTF-8, not letters", () => {
        const check = (modelId: string) => validate(ReserveRequestSchema, create(ReserveRequestSchema, {requestId: "5b25d93d-5810-4636-af43-67291ba2eb40", modelId}));
        check("ü".repeat(100));
        assert.throws(() => check("ü".repeat(101)), Fault);
    });
});

describe("the journal", () => {
    const path = join(folder, "journal");
    const opening = {requestId: "one", modelId: "m", promptTokens: 7};

    it("knows the last whole count after a crash, and the ending if there was one", () => {
        const journal = new Journal(path);
        const entry = journal.open(opening);
        entry.mark(1);
        entry.mark(2);
        appendFileSync(join(path, "one.journal"), "12");
        assert.deepEqual(journal.unsettled(), [{opening, produced: 2, ending: undefined}]);
        journal.remove("one");
        const ending = {promptTokens: 7, completionTokens: 3, cachedTokens: 0, status: UsageStatus.OK, ttftMs: 1, totalMs: 2, errorReason: ""};
        const ended = journal.open(opening);
        ended.mark(3);
        ended.end(ending);
        ended.mark(4);
        assert.deepEqual(journal.unsettled(), [{opening, produced: 3, ending}]);
        journal.remove("one");
    });

    it("sets aside what it cannot read, and takes no path for an id", () => {
        const journal = new Journal(path);
        writeFileSync(join(path, "odd.journal"), "{]\n");
        assert.deepEqual(journal.unsettled(), []);
        assert.deepEqual(readdirSync(path), ["odd.journal.unreadable"]);
        assert.throws(() => journal.open({...opening, requestId: "../out"}));
    });
});

describe("the settings", () => {
    const least = {DEVSTUDIO_LINK_BILLING: "b", DEVSTUDIO_SERVICE_KEY: "k", DEVSTUDIO_PUBLIC_KEYS: "p", DEVSTUDIO_STATE_DIR: "s"};

    it("have defaults, and name what is wrong", () => {
        const config = readConfig(least);
        assert.deepEqual([config.blockTokens, config.sequences, config.maxParams, config.hub], [128, 2, 3.5e9, "https://huggingface.co"]);
        assert.throws(() => readConfig({...least, DEVSTUDIO_LLM_THREADS: "many"}), /DEVSTUDIO_LLM_THREADS is many/);
        assert.throws(() => readConfig({...least, DEVSTUDIO_LOG_FORMAT: "xml"}), ConfigError);
        assert.throws(() => readConfig({...least, HF_ENDPOINT: "file:///etc"}), ConfigError);
    });

    it("count the processors and the memory of the cgroup", () => {
        const v2 = join(folder, "v2");
        mkdirSync(v2);
        writeFileSync(join(v2, "cpu.max"), "100000 100000\n");
        assert.equal(usableProcessors(v2), 1);
        writeFileSync(join(v2, "memory.max"), "1000000\n");
        writeFileSync(join(v2, "memory.current"), "400000\n");
        assert.equal(availableMemory(v2), 600_000);
        assert.ok(availableMemory(join(folder, "none")) > 1_000_000);
    });
});

describe("the catalogue", () => {
    it("has the three names that were asked for, none oversize, and each source well-formed", () => {
        const catalog = Catalog.read(catalogFile);
        for (const alias of ["nous-hermes", "codellama", "mistral-instruct"]) assert.ok((catalog.find(alias)?.aboutParameters ?? 9e9) <= 3.5e9, alias);
        assert.deepEqual(catalog.find("codellama")?.allowedQuants, ["Q4_K_M"]);
        assert.equal(catalog.ofFile("SmolLM2-135M-Instruct.Q4_1.gguf")?.id, "smollm2-135m-instruct");
        assert.equal(catalog.ofFile("qwen2.5-coder-1.5b-instruct.Q4_K_M.gguf")?.id, "qwen2.5-coder-1.5b-instruct");
    });

    it("refuses a name twice and a source that is none", () => {
        const write = (models: unknown) => {
            writeFileSync(join(folder, "catalog.json"), JSON.stringify({models}));
            return () => Catalog.read(join(folder, "catalog.json"));
        };
        const entry = {id: "a", name: "A", source: "hf:o/r:F16", allowedQuants: ["F16"], license: "MIT"};
        assert.throws(write([entry, entry]), /twice/);
        for (const source of ["https://example.org/a.gguf", "hf:o/r/../../x.gguf", "hf:o:F16"]) assert.throws(write([{...entry, source}]), /source/);
    });

    it("makes an id of a file's name", () => {
        assert.equal(idOf("My Model (v2).gguf"), "my-model-v2-");
    });
});

describe("a redirect of the hub", () => {
    const hub = new URL("https://hub.example");

    it("leads into no private network", async () => {
        for (const target of ["http://hub.example/a", "https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest", "https://192.168.1.1/", "https://172.20.0.1/", "https://100.64.0.1/", "https://0.0.0.0/", "https://[::1]/", "https://[fd00::1]/", "https://[fe80::1]/", "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://2130706433/", "https://localhost/", "ftp://93.184.216.34/"])
            await assert.rejects(ensureAllowed(new URL(target), hub), Fault, target);
        await ensureAllowed(new URL("https://hub.example/else"), hub);
        await ensureAllowed(new URL("https://93.184.216.34/blob"), hub);
    });

    it("stays on loopback only where the hub is there", async () => {
        await ensureAllowed(new URL("http://127.0.0.1:9/x"), new URL("http://localhost:8"));
        await assert.rejects(ensureAllowed(new URL("http://10.0.0.1/x"), new URL("http://localhost:8")), Fault);
        assert.ok(isPrivate("::ffff:127.0.0.1") && !isPrivate("8.8.8.8") && !isPrivate("2606:4700::1111"));
    });
});

describe("small things", () => {
    it("read a traceparent, and nothing that is none", () => {
        assert.equal(parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?.traceFlags, 1);
        for (const wrong of ["", "00-0-0-01", `00-${"0".repeat(32)}-b7ad6b7169203331-01`, "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]) assert.equal(parseTraceparent(wrong), undefined);
    });

    it("make a vector of length 1, and leave nothing as it is", () => {
        assert.deepEqual(normalised([3, 4]), [0.6, 0.8]);
        assert.deepEqual(normalised([0, 0]), [0, 0]);
    });

    it("write a log line as JSON or for people, with the cause of an error", () => {
        const lines: string[] = [];
        new Log("json", undefined, (line) => lines.push(line)).error("failed", new Error("why"), {count: 3n});
        new Log("pretty", undefined, (line) => lines.push(line)).info("hello", {a: 1, b: undefined});
        const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
        assert.deepEqual([line.level, line.message, line.count], ["error", "failed", "3"]);
        assert.match(String(line.cause), /why/);
        assert.match(lines[1] ?? "", /INFO {2}hello a=1\n$/);
    });
});
