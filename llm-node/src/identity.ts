// Who calls: checks the service token and the identity token of a call, and mints this service's own token.

import {createHash} from "node:crypto";
import {readFileSync} from "node:fs";
import {join} from "node:path";

import type {Metadata} from "@grpc/grpc-js";
import {type CryptoKey, type JWTPayload, SignJWT, decodeProtectedHeader, errors, importPKCS8, importSPKI, jwtVerify} from "jose";

import {Fault} from "./fault.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";

const audience = "devstudio:mesh";
const services = ["auth", "billing", "sandbox", "agent", "edge", "llm"];
const identityIssuers = ["edge", "auth"];
const lifeSeconds = 60;
const clockToleranceSeconds = 5;
const rememberedTokens = 2_000;

/** Metadata key of the token that every call inside the mesh carries. */
export const serviceTokenKey = "x-devstudio-service";
/** Metadata key of the token that tells in whose name a call is made. */
export const identityTokenKey = "x-devstudio-identity";

/** The person, or the person's key, in whose name a call is made. */
export interface Identity {
    userId: string;
    role: string;
    keyId: string | undefined;
    requestId: string;
    /** The token itself, to be handed on. */
    token: string;
}

/** Checks tokens with the public keys of a folder, and signs with the private key of this service. */
export class Keys {
    private readonly publicKeys = new Map<string, CryptoKey>();
    /** Tokens that were verified, by their hash, with the second they expire in. */
    private readonly verified = new Map<string, {payload: JWTPayload; until: number}>();
    private own: {token: string; renewAt: number} | undefined;

    private constructor(
        private readonly folder: string,
        private readonly privateKey: CryptoKey,
        private readonly service: string,
    ) {}

    /** Reads the private key; public keys are read when they are needed. */
    static async open(privateKeyFile: string, publicKeysFolder: string, service = "llm"): Promise<Keys> {
        return new Keys(publicKeysFolder, await importPKCS8(readFileSync(privateKeyFile, "utf8"), "EdDSA"), service);
    }

    /** The service that calls. Throws TOKEN_MISSING or TOKEN_INVALID. */
    async caller(metadata: Metadata): Promise<string> {
        const token = one(metadata, serviceTokenKey);
        if (token === undefined) throw new Fault(Reason.TOKEN_MISSING, "the call carries no service token");
        const payload = await this.verify(token, "service", services);
        if (payload.sub !== payload.iss) throw invalid("the service token's subject is not its issuer");
        return payload.sub ?? "";
    }

    /** In whose name the call is made. Throws TOKEN_MISSING or TOKEN_INVALID. */
    async identity(metadata: Metadata): Promise<Identity> {
        const token = one(metadata, identityTokenKey);
        if (token === undefined) throw new Fault(Reason.TOKEN_MISSING, "the call carries no identity");
        const payload = await this.verify(token, "identity", identityIssuers);
        const {sub, role, key, rid} = payload;
        if (typeof sub !== "string" || sub === "" || (role !== "admin" && role !== "dev") || typeof rid !== "string" || rid === "")
            throw invalid("the identity token lacks subject, role or request id");
        return {userId: sub, role, keyId: typeof key === "string" && key !== "" ? key : undefined, requestId: rid, token};
    }

    /** This service's own token, to show at other services. */
    async ownToken(): Promise<string> {
        const now = Math.floor(Date.now() / 1000);
        if (this.own === undefined || this.own.renewAt <= now) {
            const token = await new SignJWT({use: "service"})
                .setProtectedHeader({alg: "EdDSA", kid: this.service, typ: "JWT"})
                .setIssuer(this.service)
                .setSubject(this.service)
                .setAudience(audience)
                .setIssuedAt(now)
                .setExpirationTime(now + lifeSeconds)
                .sign(this.privateKey);
            this.own = {token, renewAt: now + lifeSeconds / 2};
        }
        return this.own.token;
    }

    private async verify(token: string, use: string, issuers: readonly string[]): Promise<JWTPayload> {
        const now = Date.now() / 1000;
        const hash = createHash("sha256").update(token).digest("base64");
        const known = this.verified.get(hash);
        const payload = known !== undefined && known.until > now ? known.payload : await this.verifySignature(token);
        if (payload.use !== use) throw invalid(`the token is not for use as ${use}`);
        if (payload.iss === undefined || !issuers.includes(payload.iss)) throw invalid("the token's issuer may not issue it");
        if (known?.payload !== payload) {
            if (this.verified.size >= rememberedTokens) this.verified.clear();
            this.verified.set(hash, {payload, until: payload.exp ?? 0});
        }
        return payload;
    }

    private async verifySignature(token: string): Promise<JWTPayload> {
        try {
            const {kid} = decodeProtectedHeader(token);
            if (kid === undefined || !services.includes(kid)) throw invalid("the token names no known key");
            const {payload} = await jwtVerify(token, await this.publicKey(kid), {
                algorithms: ["EdDSA"],
                audience,
                issuer: kid,
                requiredClaims: ["sub", "iat", "exp"],
                clockTolerance: clockToleranceSeconds,
            });
            if ((payload.exp ?? 0) - (payload.iat ?? 0) > lifeSeconds) throw invalid("the token lives too long");
            return payload;
        } catch (error) {
            if (error instanceof Fault) throw error;
            throw invalid(error instanceof errors.JWTExpired ? "the token has expired" : "the token is not valid", error);
        }
    }

    private async publicKey(service: string): Promise<CryptoKey> {
        let key = this.publicKeys.get(service);
        if (key === undefined) {
            key = await importSPKI(readFileSync(join(this.folder, `${service}.pem`), "utf8"), "EdDSA");
            this.publicKeys.set(service, key);
        }
        return key;
    }
}

function invalid(message: string, cause?: unknown): Fault {
    return new Fault(Reason.TOKEN_INVALID, message, {cause});
}

function one(metadata: Metadata, key: string): string | undefined {
    const values = metadata.get(key);
    const value = values[0];
    if (values.length > 1) throw invalid(`the call carries ${key} more than once`);
    return typeof value === "string" && value !== "" ? value : undefined;
}
