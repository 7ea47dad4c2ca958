// Errors that a client may act on: one table from Reason to gRPC code, and the way to a status and back.

import {create, fromBinary, toBinary} from "@bufbuild/protobuf";
import {anyPack, anyUnpack, durationFromMs} from "@bufbuild/protobuf/wkt";
import {type ServiceError, Metadata, status} from "@grpc/grpc-js";

import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {BadRequestSchema, ErrorInfoSchema, RetryInfoSchema} from "./gen/google/rpc/error_details_pb.js";
import {StatusSchema} from "./gen/google/rpc/status_pb.js";

const domain = "devstudio";
const detailsKey = "grpc-status-details-bin";

/** The reasons that this service tells, and the code of each (requirements.md, chapter 3). */
const codes = new Map<Reason, status>([
    [Reason.SCHEMA_VIOLATION, status.INVALID_ARGUMENT],
    [Reason.CONTEXT_OVERFLOW, status.INVALID_ARGUMENT],
    [Reason.QUANT_NOT_ALLOWED, status.INVALID_ARGUMENT],
    [Reason.UNKNOWN_METHOD, status.UNIMPLEMENTED],
    [Reason.NOT_SUPPORTED, status.UNIMPLEMENTED],
    [Reason.TOKEN_MISSING, status.UNAUTHENTICATED],
    [Reason.TOKEN_INVALID, status.UNAUTHENTICATED],
    [Reason.TOKEN_EXPIRED, status.UNAUTHENTICATED],
    [Reason.KEY_REVOKED, status.UNAUTHENTICATED],
    [Reason.ROLE_REQUIRED, status.PERMISSION_DENIED],
    [Reason.USER_DISABLED, status.PERMISSION_DENIED],
    [Reason.MODEL_NOT_LOADED, status.FAILED_PRECONDITION],
    [Reason.MODEL_TOO_LARGE, status.FAILED_PRECONDITION],
    [Reason.STATE_CONFLICT, status.FAILED_PRECONDITION],
    [Reason.IDEMPOTENCY_CONFLICT, status.FAILED_PRECONDITION],
    [Reason.MODEL_UNKNOWN, status.NOT_FOUND],
    [Reason.NOT_FOUND, status.NOT_FOUND],
    [Reason.ALREADY_EXISTS, status.ALREADY_EXISTS],
    [Reason.TOKEN_BUDGET_EXCEEDED, status.RESOURCE_EXHAUSTED],
    [Reason.RATE_LIMITED, status.RESOURCE_EXHAUSTED],
    [Reason.QUEUE_FULL, status.RESOURCE_EXHAUSTED],
    [Reason.BODY_TOO_LARGE, status.RESOURCE_EXHAUSTED],
    [Reason.MODEL_LOADING, status.UNAVAILABLE],
    [Reason.DISK_FULL, status.UNAVAILABLE],
    [Reason.UPSTREAM_UNAVAILABLE, status.UNAVAILABLE],
    [Reason.DEADLINE, status.DEADLINE_EXCEEDED],
    [Reason.CANCELLED, status.CANCELLED],
    [Reason.INTERNAL, status.INTERNAL],
]);

/** A field that breaks its rule. */
export interface Violation {
    /** JSON pointer in camelCase, such as /messages/0/content. */
    pointer: string;
    /** The rule, such as maxLength. */
    keyword: string;
    /** In words. */
    description: string;
}

/** A failure with its reason, told to the caller; its cause is only for the log. */
export class Fault extends Error {
    readonly details: Record<string, string> = {};
    retryAfterMs: number | undefined;
    violation: Violation | undefined;

    constructor(
        readonly reason: Reason,
        message: string,
        options?: ErrorOptions,
    ) {
        super(message, options);
    }

    /** A fault of our own: the caller learns the request id only, the log the cause. */
    static internal(cause: unknown): Fault {
        return new Fault(Reason.INTERNAL, "DevStudio failed; the log has the cause", {cause});
    }

    /** A field that breaks its rule. */
    static violation(pointer: string, keyword: string, description: string): Fault {
        const fault = new Fault(Reason.SCHEMA_VIOLATION, `${pointer === "" ? "the request" : pointer} ${description}`)
            .with("pointer", pointer)
            .with("keyword", keyword);
        fault.violation = {pointer, keyword, description};
        return fault;
    }

    /** Reads a fault out of what another service answered. */
    static fromService(error: ServiceError, service: string): Fault {
        const packed = error.metadata.get(detailsKey)[0];
        const details = packed instanceof Buffer ? readDetails(packed) : [];
        const info = details.map((one) => anyUnpack(one, ErrorInfoSchema)).find((one) => one?.domain === domain);
        const reason = info === undefined ? undefined : reasonOf(info.reason);
        if (info === undefined || reason === undefined) {
            if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED || error.code === status.CANCELLED)
                return Fault.unavailable(service, error);
            return Fault.internal(error);
        }
        const fault = new Fault(reason, error.details, {cause: error});
        Object.assign(fault.details, info.metadata);
        const retry = details.map((one) => anyUnpack(one, RetryInfoSchema)).find((one) => one !== undefined)?.retryDelay;
        if (retry !== undefined) fault.retryAfterMs = Number(retry.seconds) * 1000 + retry.nanos / 1e6;
        return fault;
    }

    /** A service that is needed does not answer. */
    static unavailable(service: string, cause: unknown): Fault {
        return new Fault(Reason.UPSTREAM_UNAVAILABLE, `${service} does not answer`, {cause}).with("service", service);
    }

    /** Anything thrown, as a fault. */
    static of(thrown: unknown): Fault {
        return thrown instanceof Fault ? thrown : Fault.internal(thrown);
    }

    /** Adds a fact. */
    with(key: string, value: string | number | bigint): this {
        this.details[key] = String(value);
        return this;
    }

    /** Tells when to try again. */
    retryAfter(ms: number): this {
        this.retryAfterMs = ms;
        return this.with("retry_after_ms", ms);
    }

    /** The gRPC code. */
    get code(): status {
        return codes.get(this.reason) ?? status.INTERNAL;
    }

    /** The reason's stable name, such as QUEUE_FULL. */
    get reasonName(): string {
        return Reason[this.reason];
    }

    /** The status that the caller gets, with the call's id so that the log can be found. */
    toStatus(requestId: string): {code: status; details: string; metadata: Metadata} {
        const info = {reason: this.reasonName, domain, metadata: {...this.details, ...(requestId === "" ? {} : {request_id: requestId})}};
        const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, info))];
        if (this.violation !== undefined) {
            const {pointer: field, description} = this.violation;
            details.push(anyPack(BadRequestSchema, create(BadRequestSchema, {fieldViolations: [{field, description}]})));
        }
        if (this.retryAfterMs !== undefined)
            details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, {retryDelay: durationFromMs(Math.ceil(this.retryAfterMs))})));
        const metadata = new Metadata();
        metadata.set(detailsKey, Buffer.from(toBinary(StatusSchema, create(StatusSchema, {code: this.code, message: this.message, details}))));
        return {code: this.code, details: this.message, metadata};
    }
}

function reasonOf(name: string): Reason | undefined {
    const value = (Reason as unknown as Record<string, Reason | string>)[name];
    return typeof value === "number" ? value : undefined;
}

function readDetails(packed: Buffer) {
    try {
        return fromBinary(StatusSchema, packed).details;
    } catch {
        return [];
    }
}
