// The meter of one request: a reservation that is taken block by block, kept alive, and settled exactly once.

import type {Billing} from "./billing.js";
import {Fault} from "./fault.js";
import {type Kind, UsageStatus} from "./gen/devstudio/billing/v1/billing_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import type {Identity} from "./identity.js";
import type {Ending, Entry, Journal} from "./journal.js";

const retryPauseMs = 200;

/** What the meter needs of the service's settings. */
export interface MeterSettings {
    blockTokens: number;
    heartbeatMs: number;
    billingRetryMs: number;
}

/** What is to be metered. */
export interface MeterOrder {
    requestId: string;
    modelId: string;
    kind: Kind;
    promptTokens: number;
    maxTokens: number;
    settingsJson: string;
}

/** Whether the next token may be generated; if not, why the answer ends. */
export type Leave = "go" | "budget" | "error";

/** One request's account. */
export class Meter {
    /** Tokens generated so far. */
    produced = 0;
    private granted: number;
    private leaseUntil = Infinity;
    private isRefused = false;
    private isLost = false;
    private isSettled = false;
    private extending: Promise<void> | undefined;
    private blockedSince: number | undefined;
    private readonly heartbeat: NodeJS.Timeout;

    private constructor(
        private readonly billing: Billing,
        private readonly settings: MeterSettings,
        private readonly order: MeterOrder,
        private readonly traceparent: string,
        private readonly entry: Entry,
        lease: Date | undefined,
    ) {
        this.granted = firstBlock(order, settings);
        this.renewed(lease);
        this.heartbeat = setInterval(() => void this.beat(), settings.heartbeatMs);
    }

    /** Opens the request's record, then reserves its prompt and first block. Throws Billing's refusal. */
    static async open(billing: Billing, journal: Journal, settings: MeterSettings, order: MeterOrder, identity: Identity, traceparent: string): Promise<Meter> {
        if (journal.has(order.requestId)) throw new Fault(Reason.ALREADY_EXISTS, "this request id was used already");
        const entry = journal.open({requestId: order.requestId, modelId: order.modelId, promptTokens: order.promptTokens});
        try {
            const completionTokens = firstBlock(order, settings);
            const lease = await billing.reserve({...order, completionTokens}, identity, traceparent);
            return new Meter(billing, settings, order, traceparent, entry, lease);
        } catch (error) {
            const fault = Fault.of(error);
            // Billing may have reserved although its answer was lost: then the record settles it at nothing, later.
            if (fault.reason === Reason.UPSTREAM_UNAVAILABLE || fault.reason === Reason.INTERNAL)
                void billing.settle(entry, emptyEnding(fault.reasonName), traceparent);
            else {
                entry.end(emptyEnding(fault.reasonName));
                journal.remove(order.requestId);
            }
            throw fault;
        }
    }

    /** Asks before each token; waits for the next block where the last is used up, but no longer than until the signal. */
    async leave(signal: AbortSignal): Promise<Leave> {
        while (!signal.aborted) {
            if (this.isLost || Date.now() > this.leaseUntil) return "error";
            const left = this.granted - this.produced;
            const isAtEnd = this.granted >= this.order.maxTokens;
            if (!isAtEnd && !this.isRefused && left <= this.aheadTokens) this.extending ??= this.extend();
            if (left > 0 || isAtEnd) {
                this.blockedSince = undefined;
                return "go";
            }
            if (this.isRefused) return "budget";
            this.blockedSince ??= Date.now();
            if (this.extending !== undefined) await Promise.race([this.extending, aborted(signal)]);
            // The extension may have failed for want of an answer: then it is tried again, for a while.
            if (this.granted - this.produced > 0 || this.refusedOrLost()) continue;
            if (Date.now() - this.blockedSince >= this.settings.billingRetryMs) return "error";
            await Promise.race([pause(), aborted(signal)]);
        }
        return "go";
    }

    /** Counts a token, on disk before anything of it is shown. */
    count(): void {
        this.produced++;
        this.entry.mark(this.produced);
    }

    /** Settles at what was used; later calls do nothing. */
    async settle(ending: Omit<Ending, "completionTokens">): Promise<void> {
        if (this.isSettled) return;
        this.isSettled = true;
        clearInterval(this.heartbeat);
        await this.billing.settle(this.entry, {...ending, completionTokens: this.produced}, this.traceparent);
    }

    private get aheadTokens(): number {
        return Math.min(32, Math.floor(this.settings.blockTokens / 2));
    }

    private refusedOrLost(): boolean {
        return this.isRefused || this.isLost;
    }

    private renewed(lease: Date | undefined): void {
        if (lease !== undefined) this.leaseUntil = lease.getTime();
    }

    private async extend(): Promise<void> {
        const tokens = Math.min(this.settings.blockTokens, this.order.maxTokens - this.granted);
        try {
            this.renewed(await this.billing.extend(this.order.requestId, tokens, this.produced, this.traceparent));
            this.granted += tokens;
        } catch (error) {
            const {reason} = Fault.of(error);
            if (reason === Reason.TOKEN_BUDGET_EXCEEDED) this.isRefused = true;
            else this.failed(reason);
            // Not again before a moment has passed: Billing is not to be stormed.
            if (!this.refusedOrLost()) await pause();
        } finally {
            this.extending = undefined;
        }
    }

    private async beat(): Promise<void> {
        try {
            this.renewed(await this.billing.extend(this.order.requestId, 0, this.produced, this.traceparent));
        } catch (error) {
            this.failed(Fault.of(error).reason);
        }
    }

    private failed(reason: Reason): void {
        // The reservation is gone: somebody settled it. Without an answer the lease decides.
        if (reason === Reason.NOT_FOUND || reason === Reason.STATE_CONFLICT) this.isLost = true;
    }
}

function firstBlock(order: MeterOrder, settings: MeterSettings): number {
    return Math.min(settings.blockTokens, order.maxTokens);
}

function emptyEnding(errorReason: string): Ending {
    return {promptTokens: 0, completionTokens: 0, cachedTokens: 0, status: UsageStatus.FAILED, ttftMs: 0, totalMs: 0, errorReason};
}

function pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, retryPauseMs));
}

function aborted(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), {once: true}));
}
