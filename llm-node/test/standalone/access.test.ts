// Who may call: tokens, roles, health, and what a caller learns of a refusal.

import assert from "node:assert/strict";
import {randomUUID} from "node:crypto";
import {connect} from "node:net";
import {after, before, describe, it} from "node:test";

import {Metadata} from "@grpc/grpc-js";

import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {LlmService} from "#src/gen/devstudio/llm/v1/llm_pb.js";
import {Serving} from "#src/health.js";
import {Mesh, admin, dev, faultOf} from "../double/mesh.js";

describe("a call", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_METRICS_LISTEN: "127.0.0.1:0"});
    });
    after(() => mesh.stop());

    const listWith = (tokens: Record<string, string>) => {
        const metadata = new Metadata();
        for (const [key, value] of Object.entries(tokens)) metadata.set(key, value);
        return mesh.client.unary(LlmService.method.listModels, {}, {metadata, timeoutMs: 5_000});
    };

    it("without a service token is refused, whoever it speaks for", async () => {
        const identity = await mesh.keys.identityToken(admin);
        assert.equal((await faultOf(listWith({}))).reason, Reason.TOKEN_MISSING);
        assert.equal((await faultOf(listWith({"x-devstudio-identity": identity}))).reason, Reason.TOKEN_MISSING);
    });

    it("without an identity is refused", async () => {
        assert.equal((await faultOf(listWith({"x-devstudio-service": await mesh.keys.serviceToken()}))).reason, Reason.TOKEN_MISSING);
    });

    it("with a wrong token is refused", async () => {
        const now = Math.floor(Date.now() / 1000);
        const good = {sub: dev.userId, role: "dev", rid: randomUUID(), use: "identity"};
        const [header, payload] = (await mesh.keys.identityToken(dev)).split(".");
        const none = Buffer.from(JSON.stringify({alg: "none", kid: "edge"})).toString("base64url");
        const wrong: Record<string, string> = {
            "not a token": "nonsense",
            "without signature": `${header}.${payload}.`,
            "algorithm none": `${none}.${payload}.`,
            "signed by a service that may not": await mesh.keys.sign("billing", good),
            "signed with another key than it names": await mesh.keys.sign("billing", {...good, iss: "edge"}, "edge"),
            "for another audience": await mesh.keys.sign("edge", {...good, aud: "devstudio:api"}),
            "for another use": await mesh.keys.sign("edge", {...good, use: "access"}),
            "a service token": await mesh.keys.serviceToken(),
            expired: await mesh.keys.sign("edge", {...good, iat: now - 120, exp: now - 60}),
            "living too long": await mesh.keys.sign("edge", {...good, exp: now + 3_600}),
            "of no role": await mesh.keys.sign("edge", {...good, role: "root"}),
            "of nobody": await mesh.keys.sign("edge", {...good, sub: ""}),
            "with a path as its key": await mesh.keys.sign("edge", good, "../edge"),
        };
        const service = await mesh.keys.serviceToken();
        for (const [name, token] of Object.entries(wrong))
            assert.equal((await faultOf(listWith({"x-devstudio-service": service, "x-devstudio-identity": token}))).reason, Reason.TOKEN_INVALID, name);
    });

    it("of an admin's method is refused to a dev", async () => {
        for (const method of ["loadModel", "unloadModel", "downloadModel"] as const)
            assert.equal((await faultOf(mesh.call(method, {model: "tiny"}, dev))).reason, Reason.ROLE_REQUIRED);
        assert.equal((await faultOf(mesh.call("listJobs", {}, dev))).reason, Reason.ROLE_REQUIRED);
        await mesh.call("listJobs", {}, admin);
    });

    it("with an identity that Auth signed is taken", async () => {
        const identity = await mesh.keys.sign("auth", {sub: dev.userId, role: "dev", rid: randomUUID(), use: "identity"});
        await listWith({"x-devstudio-service": await mesh.keys.serviceToken("sandbox"), "x-devstudio-identity": identity});
    });

    it("that names no job gets NOT_FOUND and its request id", async () => {
        const requestId = randomUUID();
        const fault = await faultOf(mesh.call("cancelJob", {jobId: randomUUID()}, admin, requestId));
        assert.equal(fault.reason, Reason.NOT_FOUND);
        assert.equal(fault.details.request_id, requestId);
        assert.equal((await faultOf(mesh.call("cancelJob", {jobId: "none"}))).details.keyword, "format");
    });

    it("may ask for health without a token", async () => {
        assert.equal(await mesh.health(), Serving.SERVING);
        assert.equal(await mesh.health("devstudio.llm.v1.LlmService"), Serving.SERVING);
        assert.equal(await mesh.health("devstudio.llm.v1.Other"), undefined);
    });

    it("of over four mebibytes is refused and the next one is served", async () => {
        await assert.rejects(mesh.call("countTokens", {text: "x".repeat(5 * 1024 * 1024)}, dev), /larger|RESOURCE_EXHAUSTED/i);
        assert.equal((await mesh.call("countTokens", {text: "x"}, dev)).tokens, 1);
    });

    it("of nonsense bytes does not end the service", async () => {
        const socket = connect(mesh.address("llm").slice("unix:".length));
        socket.on("error", () => undefined);
        socket.resume().end("GET / HTTP/1.1\r\n\r\n");
        await new Promise((resolve) => socket.once("close", resolve));
        assert.equal(await mesh.health(), Serving.SERVING);
    });
});
