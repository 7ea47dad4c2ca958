// The link to Billing: reserve, extend and settle, and the journal's leftovers settled when Billing is back.

import {timestampDate} from "@bufbuild/protobuf/wkt";
import {Metadata, type ServiceError} from "@grpc/grpc-js";

import {Fault} from "./fault.js";
import {BillingService, type Kind, UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {Client} from "./grpc.js";
import {type Identity, type Keys, identityTokenKey, serviceTokenKey} from "./identity.js";
import type {Ending, Entry, Journal, Unsettled} from "./journal.js";
import type {Log} from "./logs.js";
import {traceparentKey} from "./telemetry.js";

const reserveTimeoutMs = 5_000;
const extendTimeoutMs = 2_000;
const settleTimeoutMs = 3_000;
const firstRetryMs = 500;
const longestRetryMs = 15_000;

/** What a reservation asks for. */
export interface Order {
    requestId: string;
    modelId: string;
    kind: Kind;
    promptTokens: number;
    completionTokens: number;
    settingsJson: string;
}

/** Speaks to Billing in this service's name. */
export class Billing {
    private readonly client: Client;
    private readonly waiting = new Map<string, Unsettled>();
    private timer: NodeJS.Timeout | undefined;
    private retryMs = firstRetryMs;
    private isClosed = false;

    constructor(
        address: string,
        private readonly keys: Keys,
        private readonly journal: Journal,
        private readonly log: Log,
        private readonly onWaiting: (count: number) => void,
    ) {
        this.client = new Client(address);
    }

    /** Reserves in the name of the caller; answers the end of the lease. */
    async reserve(order: Order, identity: Identity, traceparent: string): Promise<Date | undefined> {
        const metadata = await this.metadata(order.requestId, traceparent);
        metadata.set(identityTokenKey, identity.token);
        const {leaseUntil} = await told(this.client.unary(BillingService.method.reserve, order, {metadata, timeoutMs: reserveTimeoutMs}));
        return leaseUntil === undefined ? undefined : timestampDate(leaseUntil);
    }

    /** Takes further tokens, or with 0 only renews the lease; answers the end of the lease. */
    async extend(requestId: string, tokens: number, producedTokens: number, traceparent: string): Promise<Date | undefined> {
        const metadata = await this.metadata(requestId, traceparent);
        const {leaseUntil} = await told(this.client.unary(BillingService.method.extend, {requestId, tokens, producedTokens}, {metadata, timeoutMs: extendTimeoutMs}));
        return leaseUntil === undefined ? undefined : timestampDate(leaseUntil);
    }

    /** Settles a request. If Billing does not answer, its record stays in the journal and is settled later. */
    async settle(entry: Entry, ending: Ending, traceparent: string): Promise<void> {
        entry.end(ending);
        const record: Unsettled = {opening: entry.opening, produced: ending.completionTokens, ending};
        if (!(await this.trySettle(record, traceparent))) this.keep(record);
    }

    /** Takes up what an earlier process left in the journal. */
    recover(): void {
        for (const record of this.journal.unsettled()) this.keep(record);
    }

    /** Stops trying; what is left stays in the journal for the next start. */
    close(): void {
        this.isClosed = true;
        clearTimeout(this.timer);
        this.client.close();
    }

    private keep(record: Unsettled): void {
        this.waiting.set(record.opening.requestId, record);
        this.onWaiting(this.waiting.size);
        if (!this.isClosed) this.timer ??= setTimeout(() => void this.settleWaiting(), this.retryMs);
    }

    private async settleWaiting(): Promise<void> {
        for (const [requestId, record] of this.waiting) {
            if (this.isClosed || !(await this.trySettle(record, ""))) break;
            this.waiting.delete(requestId);
            this.onWaiting(this.waiting.size);
        }
        this.timer = undefined;
        this.retryMs = this.waiting.size === 0 ? firstRetryMs : Math.min(longestRetryMs, this.retryMs * 2);
        if (this.waiting.size > 0 && !this.isClosed) this.timer = setTimeout(() => void this.settleWaiting(), this.retryMs);
    }

    private async trySettle(record: Unsettled, traceparent: string): Promise<boolean> {
        const {requestId} = record.opening;
        try {
            const metadata = await this.metadata(requestId, traceparent);
            await told(this.client.unary(BillingService.method.settle, {requestId, ...(record.ending ?? sweptEnding(record))}, {metadata, timeoutMs: settleTimeoutMs}));
        } catch (error) {
            const fault = Fault.of(error);
            const isFinal = fault.reason === Reason.NOT_FOUND || fault.reason === Reason.SCHEMA_VIOLATION;
            // A reservation that Billing never got needs no settling.
            if (!isFinal) {
                this.log.warn("a request is not settled yet", {request_id: requestId, reason: fault.reasonName, cause: fault.message});
                return false;
            }
            if (record.produced > 0) this.log.error("Billing knows no reservation of a request that was answered", fault, {request_id: requestId});
        }
        this.journal.remove(requestId);
        return true;
    }

    private async metadata(requestId: string, traceparent: string): Promise<Metadata> {
        const metadata = new Metadata();
        metadata.set(serviceTokenKey, await this.keys.ownToken());
        metadata.set("x-request-id", requestId);
        if (traceparent !== "") metadata.set(traceparentKey, traceparent);
        return metadata;
    }
}

/** How a request ended that a crash broke off: at its last count; without a token it costs nothing. */
function sweptEnding({opening, produced}: Unsettled): Ending {
    return {
        promptTokens: produced > 0 ? opening.promptTokens : 0,
        completionTokens: produced,
        cachedTokens: 0,
        status: produced > 0 ? UsageStatus.SWEPT : UsageStatus.FAILED,
        ttftMs: 0,
        totalMs: 0,
        errorReason: "INTERNAL",
    };
}

async function told<T>(answer: Promise<T>): Promise<T> {
    try {
        return await answer;
    } catch (error) {
        throw Fault.fromService(error as ServiceError, "billing");
    }
}
