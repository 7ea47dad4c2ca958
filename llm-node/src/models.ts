// The models: what each is doing, the loaded ones for those who ask, and the jobs that download, load and unload.

import {setFlagsFromString} from "node:v8";
import {runInNewContext} from "node:vm";

import {create} from "@bufbuild/protobuf";

import {type CatalogEntry, type Catalog, fileNameOf} from "./catalog.js";
import type {Config} from "./config.js";
import {download, ensureSpace} from "./download.js";
import {type Engine, availableMemory} from "./engine.js";
import {Fault} from "./fault.js";
import type {Files, LocalFile} from "./files.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {JobKind, type Model, ModelSchema, ModelState} from "./gen/devstudio/llm/v1/llm_pb.js";
import type {Job, Jobs} from "./jobs.js";
import type {LoadedModel} from "./loaded.js";
import type {Log, Owner} from "./logs.js";
import type {Metrics} from "./metrics.js";
import {probe} from "./probe.js";

/** What the models need of the settings. */
export type ModelSettings = Pick<Config, "defaultModel" | "defaultEmbeddingModel" | "maxParams" | "hub">;

/** What a model is asked for; "count" takes any. */
export type Use = "generate" | "embed" | "count";

/** Memory that must stay free beside a model. */
const memoryMarginBytes = 64 * 1024 * 1024;

/** The models of this machine and of the catalogue. */
export class Models {
    private readonly loaded = new Map<string, LoadedModel>();

    constructor(
        private readonly settings: ModelSettings,
        private readonly catalog: Catalog,
        private readonly files: Files,
        private readonly engine: Engine,
        private readonly jobs: Jobs,
        private readonly log: Log,
        private readonly metrics: Metrics,
    ) {}

    /** The loaded models. */
    get all(): LoadedModel[] {
        return [...this.loaded.values()];
    }

    /** The loaded model of a name; the default one for no name. Throws MODEL_UNKNOWN, MODEL_NOT_LOADED or MODEL_LOADING. */
    async require(name: string, use: Use): Promise<LoadedModel> {
        const modelId = name === "" ? this.defaultFor(use) : await this.idOf(name);
        const model = this.loaded.get(modelId);
        const job = this.jobs.running(modelId);
        if (model === undefined && job?.kind === JobKind.LOAD)
            throw new Fault(Reason.MODEL_LOADING, "the model is being loaded").with("progress", job.progress.toFixed(2)).with("job_id", job.id).retryAfter(1_000);
        if (model === undefined || model.stopping.signal.aborted) throw notLoaded(modelId);
        if (use === "generate" && !model.isGenerating) throw new Fault(Reason.NOT_SUPPORTED, "this model makes embeddings, not answers").with("model", modelId);
        return model;
    }

    /** The models of the catalogue and of the models folder, the default one first. */
    async list(): Promise<Model[]> {
        const files = await this.files.scan();
        const others = [...files.values()].filter((file) => file.entry === undefined);
        const models = [
            ...this.catalog.entries.map((entry) => this.describe(entry.id, entry, files.get(entry.id))),
            ...others.map((file) => this.describe(file.modelId, undefined, file)),
        ];
        void this.files.hashUnknown((fileName, error) => this.log.error("a model file could not be read", error, {file: fileName}));
        return models.sort((a, b) => Number(b.isDefault) - Number(a.isDefault));
    }

    /** Begins or joins a download. */
    async beginDownload(name: string, wanted: string, owner: Owner): Promise<Job> {
        const entry = this.catalog.find(name);
        if (entry === undefined) {
            const own = (await this.files.scan()).get(name);
            throw own === undefined ? unknown(name) : new Fault(Reason.ALREADY_EXISTS, "the model is on this machine");
        }
        const quant = wanted === "" ? (entry.allowedQuants[0] ?? "") : wanted.toUpperCase();
        if (!entry.allowedQuants.includes(quant))
            throw new Fault(Reason.QUANT_NOT_ALLOWED, `this model is not to be had as ${quant}`).with("quant", quant).with("allowed", entry.allowedQuants.join(", "));
        if (entry.aboutParameters > this.settings.maxParams) throw this.tooLarge(entry.aboutParameters);
        const fileName = fileNameOf(entry, quant);
        const running = this.joinable(entry.id, JobKind.DOWNLOAD);
        if (running !== undefined) return running;
        if ((await this.files.scan()).get(entry.id)?.fileName === fileName) throw new Fault(Reason.ALREADY_EXISTS, "the model is on this machine");
        const {folder} = this.files;
        ensureSpace(folder, quant === entry.allowedQuants[0] ? entry.sizeBytes : 0);
        const pinned = this.files.pinned(fileName);
        // Scanning took a moment: somebody else may have begun.
        return (
            this.joinable(entry.id, JobKind.DOWNLOAD) ??
            this.jobs.begin(JobKind.DOWNLOAD, entry.id, async (work) => {
                const order = {hub: this.settings.hub, entry, quant, folder, fileName, maxParams: this.settings.maxParams, pinned};
                const {sha256, sizeBytes} = await download(order, work);
                this.files.remember(fileName, {sha256, isFromHub: true});
                this.log.event("a model was downloaded", {model: entry.id, quant, bytes: sizeBytes, sha256}, owner);
            })
        );
    }

    /** Begins or joins loading. */
    async beginLoad(name: string, owner: Owner): Promise<Job> {
        const modelId = await this.idOf(name);
        const running = this.joinable(modelId, JobKind.LOAD);
        if (running !== undefined) return running;
        if (this.loaded.has(modelId)) {
            const done = this.jobs.begin(JobKind.LOAD, modelId, () => Promise.resolve());
            await done.ended;
            return done;
        }
        const file = (await this.files.scan()).get(modelId);
        if (file === undefined) {
            const about = this.catalog.find(modelId)?.aboutParameters ?? 0;
            if (about > this.settings.maxParams) throw this.tooLarge(about);
            throw new Fault(Reason.STATE_CONFLICT, "the model is not downloaded").with("model", modelId);
        }
        const {estimate} = file;
        if (estimate === undefined) throw new Fault(Reason.NOT_SUPPORTED, "the file is not a model in GGUF form").with("file", file.fileName);
        if (estimate.header.parameters > this.settings.maxParams) throw this.tooLarge(estimate.header.parameters);
        const available = availableMemory();
        if (estimate.memoryBytes + memoryMarginBytes > available)
            throw new Fault(Reason.STATE_CONFLICT, "this machine has too little memory for the model").with("memory_needed", estimate.memoryBytes).with("memory_available", available);
        return (
            this.joinable(modelId, JobKind.LOAD) ??
            this.jobs.begin(JobKind.LOAD, modelId, async (work) => {
                const began = performance.now();
                if (!this.files.isProven(file.fileName)) {
                    await probe(file.path, work.signal);
                    this.files.remember(file.fileName, {isProven: true});
                }
                const model = await this.engine.load(modelId, file.path, estimate, work.progress, work.signal);
                this.loaded.set(modelId, model);
                this.metrics.modelLoaded.set({model: modelId}, 1);
                this.log.event("a model was loaded", {model: modelId, context: model.contextSize, ms: Math.round(performance.now() - began)}, owner);
            })
        );
    }

    /** Begins or joins unloading: answers end, then the memory is given back. */
    async beginUnload(name: string, owner: Owner): Promise<Job> {
        const modelId = await this.idOf(name);
        const running = this.joinable(modelId, JobKind.UNLOAD);
        if (running !== undefined) return running;
        const model = this.loaded.get(modelId);
        if (model === undefined) throw notLoaded(modelId);
        return this.jobs.begin(JobKind.UNLOAD, modelId, async () => {
            await model.dispose();
            this.loaded.delete(modelId);
            collectGarbage();
            this.metrics.modelLoaded.set({model: modelId}, 0);
            this.log.event("a model was unloaded", {model: modelId}, owner);
        });
    }

    /** Loads the default model if its file is there, and waits for it. */
    async loadDefault(): Promise<void> {
        const name = this.settings.defaultModel;
        if (name === "none") return;
        try {
            await (await this.beginLoad(name, {})).ended;
        } catch (error) {
            this.log.warn("the default model is not loaded", {model: name, reason: Fault.of(error).message});
        }
    }

    /** Ends every answer and frees every model. */
    async close(): Promise<void> {
        await Promise.all(this.all.map((model) => model.dispose()));
        this.loaded.clear();
    }

    private defaultFor(use: Use): string {
        const {defaultModel, defaultEmbeddingModel} = this.settings;
        const resolve = (name: string) => this.catalog.find(name)?.id ?? name;
        if (use === "embed") {
            if (defaultEmbeddingModel !== "") return resolve(defaultEmbeddingModel);
            const embedding = this.all.find((model) => !model.isGenerating);
            if (embedding !== undefined) return embedding.modelId;
        }
        if (defaultModel !== "none") return resolve(defaultModel);
        return this.all.find((model) => use !== "generate" || model.isGenerating)?.modelId ?? "none";
    }

    private async idOf(name: string): Promise<string> {
        const entry = this.catalog.find(name);
        if (entry !== undefined) return entry.id;
        if (this.loaded.has(name) || (await this.files.scan()).has(name)) return name;
        throw unknown(name);
    }

    /** The running job to join; throws STATE_CONFLICT if another kind of work is being done. */
    private joinable(modelId: string, kind: JobKind): Job | undefined {
        const running = this.jobs.running(modelId);
        if (running === undefined || running.kind === kind) return running;
        throw new Fault(Reason.STATE_CONFLICT, `the model is busy: ${JobKind[running.kind].toLowerCase()}`).with("job_id", running.id);
    }

    private tooLarge(parameters: number): Fault {
        return new Fault(Reason.MODEL_TOO_LARGE, "the model has more parameters than allowed").with("parameters", parameters).with("limit", this.settings.maxParams);
    }

    private describe(modelId: string, entry: CatalogEntry | undefined, file: LocalFile | undefined): Model {
        const model = this.loaded.get(modelId);
        const job = this.jobs.running(modelId);
        const header = file?.estimate?.header;
        const notes = [entry?.note ?? "", file !== undefined && header === undefined ? "The file is not a model in GGUF form." : ""];
        return create(ModelSchema, {
            modelId,
            name: entry?.name ?? (header?.name || modelId),
            aliases: [...(entry?.aliases ?? [])],
            state: stateOf(job, model !== undefined, file !== undefined),
            source: entry?.source.text ?? "",
            sizeBytes: BigInt(file?.sizeBytes ?? entry?.sizeBytes ?? 0),
            parameters: BigInt(header?.parameters ?? 0),
            quant: header?.quant || (entry?.allowedQuants[0] ?? ""),
            sha256: file?.sha256 || (entry?.sha256 ?? ""),
            contextSize: model?.contextSize ?? 0,
            license: entry?.license ?? header?.license ?? "",
            oversize: (header?.parameters ?? entry?.aboutParameters ?? 0) > this.settings.maxParams,
            note: notes.filter((note) => note !== "").join(" "),
            isDefault: modelId === this.defaultFor("generate"),
            embedding: header?.isEmbedding ?? entry?.isEmbedding ?? false,
            memoryBytes: BigInt(Math.round(model?.memoryBytes ?? file?.estimate?.memoryBytes ?? 0)),
            jobId: job?.id ?? "",
        });
    }
}

setFlagsFromString("--expose-gc");
/** A vocabulary is large, and an idle process would keep it for long. */
const collectGarbage = runInNewContext("gc") as () => void;

function stateOf(job: Job | undefined, isLoaded: boolean, isHere: boolean): ModelState {
    if (job?.kind === JobKind.UNLOAD) return ModelState.UNLOADING;
    if (isLoaded) return ModelState.LOADED;
    if (job?.kind === JobKind.LOAD) return ModelState.LOADING;
    if (job?.kind === JobKind.DOWNLOAD) return ModelState.DOWNLOADING;
    return isHere ? ModelState.DOWNLOADED : ModelState.AVAILABLE;
}

function unknown(name: string): Fault {
    return new Fault(Reason.MODEL_UNKNOWN, "there is no such model").with("model", name);
}

function notLoaded(modelId: string): Fault {
    return new Fault(Reason.MODEL_NOT_LOADED, "the model is not loaded").with("model", modelId);
}
