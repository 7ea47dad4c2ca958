// Keys and tokens as the services of the mesh make them.

import {generateKeyPairSync, randomUUID} from "node:crypto";
import {mkdirSync, writeFileSync} from "node:fs";
import {join} from "node:path";

import {Metadata} from "@grpc/grpc-js";
import {type JWTPayload, SignJWT, importPKCS8} from "jose";

/** A person. */
export interface Person {
    userId: string;
    role: "admin" | "dev";
}

/** The keys of a test's mesh, in a folder of its own. */
export class MeshKeys {
    readonly publicFolder: string;
    private readonly pem = new Map<string, string>();

    constructor(readonly folder: string) {
        this.publicFolder = join(folder, "public");
        mkdirSync(this.publicFolder, {recursive: true});
        for (const service of ["auth", "billing", "sandbox", "edge", "llm"]) {
            const {privateKey, publicKey} = generateKeyPairSync("ed25519");
            const pem = privateKey.export({type: "pkcs8", format: "pem"}).toString();
            this.pem.set(service, pem);
            writeFileSync(join(folder, `${service}.key`), pem, {mode: 0o600});
            writeFileSync(join(this.publicFolder, `${service}.pem`), publicKey.export({type: "spki", format: "pem"}));
        }
    }

    /** Signs anything as a service, so that wrong tokens can be made too. */
    async sign(service: string, claims: JWTPayload, kid = service): Promise<string> {
        const now = Math.floor(Date.now() / 1000);
        const payload = {iss: service, aud: "devstudio:mesh", iat: now, exp: now + 60, ...claims};
        return new SignJWT(payload).setProtectedHeader({alg: "EdDSA", kid}).sign(await importPKCS8(this.pem.get(service) ?? "", "EdDSA"));
    }

    serviceToken(service = "edge"): Promise<string> {
        return this.sign(service, {sub: service, use: "service"});
    }

    identityToken({userId, role}: Person, requestId: string = randomUUID()): Promise<string> {
        return this.sign("edge", {sub: userId, role, rid: requestId, use: "identity", email: "someone@example.org"});
    }

    /** What a call of a person carries. */
    async metadata(person: Person, requestId: string = randomUUID()): Promise<Metadata> {
        const metadata = new Metadata();
        metadata.set("x-devstudio-service", await this.serviceToken());
        metadata.set("x-devstudio-identity", await this.identityToken(person, requestId));
        metadata.set("x-request-id", requestId);
        return metadata;
    }
}
