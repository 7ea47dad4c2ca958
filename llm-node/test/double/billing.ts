// A stand-in for Billing that speaks the real contract: one budget, reservations as leases, settled once.

import {type Server, type ServerUnaryCall, type sendUnaryData} from "@grpc/grpc-js";
import {create} from "@bufbuild/protobuf";
import {timestampFromDate} from "@bufbuild/protobuf/wkt";

import {Fault} from "#src/fault.js";
import {
    BillingService,
    type ExtendRequest,
    type ExtendResponse,
    ExtendResponseSchema,
    type ReserveRequest,
    type ReserveResponse,
    ReserveResponseSchema,
    type SettleRequest,
    type SettleResponse,
    SettleResponseSchema,
    UsageRowSchema,
} from "#src/gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {listen, newServer, serviceDefinition} from "#src/grpc.js";
import {Keys} from "#src/identity.js";

/** A row of the ledger. */
export interface Row extends Pick<SettleRequest, "requestId" | "promptTokens" | "completionTokens" | "cachedTokens" | "status" | "errorReason"> {
    userId: string;
}

interface Reservation {
    userId: string;
    reserved: number;
}

/** Keeps one budget for everybody. */
export class BillingDouble {
    limit = Infinity;
    used = 0;
    leaseMs = 60_000;
    readonly open = new Map<string, Reservation>();
    readonly rows = new Map<string, Row>();
    readonly reserves: ReserveRequest[] = [];
    readonly extends: ExtendRequest[] = [];
    readonly traceparents: string[] = [];
    settles = 0;
    /** Called before an extension is answered; may wait. */
    beforeExtend: (request: ExtendRequest) => Promise<void> = () => Promise.resolve();
    private server: Server | undefined;

    constructor(
        private readonly address: string,
        private readonly keys: Keys,
    ) {}

    get reserved(): number {
        return [...this.open.values()].reduce((sum, one) => sum + one.reserved, 0);
    }

    async start(): Promise<void> {
        this.server = newServer();
        this.server.addService(serviceDefinition(BillingService), {
            reserve: this.unary((request: ReserveRequest, call) => this.reserve(request, call)),
            extend: this.unary((request: ExtendRequest) => this.extend(request)),
            settle: this.unary((request: SettleRequest) => this.settle(request)),
        });
        await listen(this.server, this.address);
    }

    /** Goes away at once, as a crash would. */
    stop(): void {
        this.server?.forceShutdown();
        this.server = undefined;
    }

    private unary<I, O>(answer: (request: I, call: ServerUnaryCall<I, O>) => Promise<O>) {
        return (call: ServerUnaryCall<I, O>, callback: sendUnaryData<O>) => {
            this.keys
                .caller(call.metadata)
                .then(() => answer(call.request, call))
                .then(
                    (response) => callback(null, response),
                    (error: unknown) => callback(Fault.of(error).toStatus("")),
                );
        };
    }

    private async reserve(request: ReserveRequest, call: ServerUnaryCall<ReserveRequest, ReserveResponse>): Promise<ReserveResponse> {
        const {userId, requestId} = await this.keys.identity(call.metadata);
        if (requestId !== request.requestId) throw new Fault(Reason.TOKEN_INVALID, "the identity is of another request");
        this.reserves.push(request);
        this.traceparents.push(String(call.metadata.get("traceparent")[0] ?? ""));
        if (this.open.has(requestId) || this.rows.has(requestId)) throw new Fault(Reason.ALREADY_EXISTS, "there is such a reservation");
        this.take(request.promptTokens + request.completionTokens);
        this.open.set(requestId, {userId, reserved: request.promptTokens + request.completionTokens});
        return create(ReserveResponseSchema, {leaseUntil: this.lease()});
    }

    private async extend(request: ExtendRequest): Promise<ExtendResponse> {
        this.extends.push(request);
        await this.beforeExtend(request);
        const reservation = this.open.get(request.requestId);
        if (reservation === undefined) throw new Fault(this.rows.has(request.requestId) ? Reason.STATE_CONFLICT : Reason.NOT_FOUND, "there is no open reservation");
        this.take(request.tokens);
        reservation.reserved += request.tokens;
        return create(ExtendResponseSchema, {leaseUntil: this.lease(), reserved: BigInt(reservation.reserved)});
    }

    private settle(request: SettleRequest): Promise<SettleResponse> {
        this.settles++;
        const reservation = this.open.get(request.requestId);
        const standing = this.rows.get(request.requestId);
        if (reservation === undefined && standing === undefined) throw new Fault(Reason.NOT_FOUND, "there is no such reservation");
        if (reservation !== undefined) {
            this.open.delete(request.requestId);
            this.used += request.promptTokens + request.completionTokens;
            this.rows.set(request.requestId, {...request, userId: reservation.userId});
        }
        return Promise.resolve(create(SettleResponseSchema, {row: create(UsageRowSchema, {requestId: request.requestId}), alreadySettled: standing !== undefined}));
    }

    private take(tokens: number): void {
        if (tokens > 0 && this.used + this.reserved + tokens > this.limit)
            throw new Fault(Reason.TOKEN_BUDGET_EXCEEDED, "the token budget is used up").with("scope", "user").with("limit", this.limit).with("used", this.used).retryAfter(60_000);
    }

    private lease() {
        return timestampFromDate(new Date(Date.now() + this.leaseMs));
    }
}
