// Work that takes its time (downloads, loading, unloading): begun or joined, watched, cancelled, remembered for an hour.

import {randomUUID} from "node:crypto";
import {EventEmitter, once} from "node:events";

import {create} from "@bufbuild/protobuf";
import {timestampFromDate} from "@bufbuild/protobuf/wkt";

import {Fault} from "./fault.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {type Job as JobMessage, type JobKind, JobSchema, JobState} from "./gen/devstudio/llm/v1/llm_pb.js";

const rememberedMs = 3_600_000;
const tellEveryMs = 200;

/** What a job's work may do to its job. */
export interface Work {
    signal: AbortSignal;
    /** How far it is, 0 to 1. */
    progress: (share: number) => void;
    /** How many bytes are done, of how many, at how many a second. */
    bytes: (done: number, total: number, perSecond: number) => void;
}

/** One job. */
export class Job {
    readonly id = randomUUID();
    state = JobState.RUNNING;
    progress = 0;
    doneBytes = 0;
    totalBytes = 0;
    bytesPerSecond = 0;
    fault: Fault | undefined;
    readonly startedAt = new Date();
    endedAt: Date | undefined;
    /** Resolves when the job has ended, however it did. */
    ended: Promise<void> = Promise.resolve();
    /** @internal */
    readonly abort = new AbortController();
    /** @internal */
    readonly changes = new EventEmitter().setMaxListeners(0);

    constructor(
        readonly kind: JobKind,
        readonly modelId: string,
    ) {}

    /** The job as the contract tells it. */
    toMessage(): JobMessage {
        return create(JobSchema, {
            jobId: this.id,
            kind: this.kind,
            modelId: this.modelId,
            state: this.state,
            progress: this.progress,
            doneBytes: BigInt(this.doneBytes),
            totalBytes: BigInt(this.totalBytes),
            bytesPerSecond: BigInt(Math.round(this.bytesPerSecond)),
            errorReason: this.fault?.reasonName ?? "",
            errorMessage: this.fault?.message ?? "",
            startedAt: timestampFromDate(this.startedAt),
            ...(this.endedAt === undefined ? {} : {endedAt: timestampFromDate(this.endedAt)}),
        });
    }
}

/** The jobs of this process. */
export class Jobs {
    private readonly jobs = new Map<string, Job>();

    constructor(private readonly onFault: (job: Job, fault: Fault) => void) {}

    /** The job that works on a model now. */
    running(modelId: string): Job | undefined {
        return [...this.jobs.values()].find((job) => job.modelId === modelId && job.state === JobState.RUNNING);
    }

    /** Begins a job. */
    begin(kind: JobKind, modelId: string, work: (work: Work) => Promise<void>): Job {
        const job = new Job(kind, modelId);
        this.forgetOld();
        this.jobs.set(job.id, job);
        const tell = () => job.changes.emit("change");
        job.ended = work({
            signal: job.abort.signal,
            progress: (share) => {
                job.progress = Math.max(job.progress, Math.min(1, share));
                tell();
            },
            bytes: (done, total, perSecond) => {
                Object.assign(job, {doneBytes: done, totalBytes: total, bytesPerSecond: perSecond});
                job.progress = total === 0 ? 0 : done / total;
                tell();
            },
        }).then(
            () => {
                job.progress = 1;
                job.state = JobState.SUCCEEDED;
            },
            (error: unknown) => {
                const fault = job.abort.signal.aborted ? new Fault(Reason.CANCELLED, "the job was cancelled") : Fault.of(error);
                job.fault = fault;
                job.state = job.abort.signal.aborted ? JobState.CANCELLED : JobState.FAILED;
                if (job.state === JobState.FAILED) this.onFault(job, fault);
            },
        );
        job.ended = job.ended.then(() => {
            job.endedAt = new Date();
            tell();
        });
        return job;
    }

    /** A job by its id. Throws NOT_FOUND. */
    get(jobId: string): Job {
        const job = this.jobs.get(jobId);
        if (job === undefined) throw new Fault(Reason.NOT_FOUND, "there is no such job");
        return job;
    }

    /** Jobs that run, and those that ended in the last hour, newest first. */
    list(): Job[] {
        this.forgetOld();
        return [...this.jobs.values()].reverse();
    }

    /** Asks a job to stop, and waits until it has. */
    async cancel(jobId: string): Promise<Job> {
        const job = this.get(jobId);
        if (job.state === JobState.RUNNING) job.abort.abort();
        await job.ended;
        return job;
    }

    /** Cancels everything that runs. */
    async close(): Promise<void> {
        await Promise.all([...this.jobs.keys()].map((id) => this.cancel(id)));
    }

    /** A job as it changes, at most five times a second, until it has ended. */
    async *watch(jobId: string, signal: AbortSignal): AsyncGenerator<JobMessage> {
        const job = this.get(jobId);
        while (!signal.aborted) {
            const isOver = job.endedAt !== undefined;
            const changed = isOver ? undefined : once(job.changes, "change", {signal}).catch(() => undefined);
            yield job.toMessage();
            if (isOver) return;
            await changed;
            if (job.endedAt === undefined) await Promise.race([job.ended, new Promise((resolve) => setTimeout(resolve, tellEveryMs))]);
        }
    }

    private forgetOld(): void {
        for (const [id, job] of this.jobs) if (job.endedAt !== undefined && Date.now() - job.endedAt.getTime() > rememberedMs) this.jobs.delete(id);
    }
}
