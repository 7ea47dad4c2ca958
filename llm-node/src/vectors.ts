// Texts as vectors. One vector a token needs an accessor that node-llama-cpp keeps to itself: it is used here only.

import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {dirname, join} from "node:path";

import {type LlamaContextSequence, type LlamaEmbeddingContext, type LlamaModel, LlamaVocabularyType, type Token} from "node-llama-cpp";

/** The version whose inner accessor was tried; another one answers NOT_SUPPORTED. */
export const triedVersion = "3.22.1";
const mostContext = 2_048;

interface Inner {
    _sequence: LlamaContextSequence;
    _llamaContext: {_ctx: {getEmbedding(inputTokens: number): Float64Array}};
}

/** Makes vectors with one model; its context is made at the first call. */
export class Vectors {
    private context: Promise<LlamaEmbeddingContext> | undefined;
    private turn: Promise<unknown> = Promise.resolve();

    constructor(
        private readonly model: LlamaModel,
        private readonly isPooled: boolean,
        private readonly threads: number,
    ) {}

    /** Most tokens of a text. */
    get contextSize(): number {
        return Math.min(mostContext, this.model.trainContextSize);
    }

    /** Numbers a vector. */
    get dimensions(): number {
        return this.model.embeddingVectorSize;
    }

    /** Whether each token can have a vector of its own. */
    get hasTokenVectors(): boolean {
        return !this.isPooled && installedVersion() === triedVersion;
    }

    /** The tokens of a text as they are evaluated, the model's frame included. */
    tokenize(text: string): number[] {
        const {bos, eos, sep, shouldPrependBosToken, shouldAppendEosToken} = this.model.tokens;
        const isWordPiece = this.model.vocabularyType === LlamaVocabularyType.wpm;
        const isUnigram = this.model.vocabularyType === LlamaVocabularyType.ugm;
        const begin = isWordPiece || (shouldPrependBosToken && !isUnigram) ? bos : null;
        const end = isWordPiece ? sep : isUnigram || shouldAppendEosToken ? eos : null;
        return [...(begin === null ? [] : [begin]), ...this.model.tokenize(text), ...(end === null ? [] : [end])];
    }

    /** The vector of a text, of length 1. */
    async ofText(tokens: readonly number[]): Promise<number[]> {
        const context = await this.open();
        return this.inTurn(async () => normalised((await context.getEmbeddingFor([...tokens] as Token[])).vector));
    }

    /** A vector for each token: that of the text up to it. */
    async ofTokens(tokens: readonly number[], signal: AbortSignal): Promise<number[][]> {
        if (!this.hasTokenVectors) throw new Error("this model or version has no vectors of tokens");
        const inner = (await this.open()) as unknown as Inner;
        return this.inTurn(async () => {
            const vectors: number[][] = [];
            await inner._sequence.clearHistory();
            for (const [index, token] of tokens.entries()) {
                signal.throwIfAborted();
                const evaluation = inner._sequence.evaluate([token as Token], {_noSampling: true} as object);
                await evaluation.next();
                await evaluation.return();
                vectors.push(normalised(inner._llamaContext._ctx.getEmbedding(index + 1)));
            }
            return vectors;
        });
    }

    /** Gives the memory back. */
    async dispose(): Promise<void> {
        await this.turn.catch(() => undefined);
        await (await this.context)?.dispose();
    }

    private open(): Promise<LlamaEmbeddingContext> {
        this.context ??= this.model.createEmbeddingContext({contextSize: this.contextSize, threads: this.threads}).catch((error: unknown) => {
            this.context = undefined;
            throw error;
        });
        return this.context;
    }

    /** One after another: there is one sequence. */
    private inTurn<T>(work: () => Promise<T>): Promise<T> {
        const result = this.turn.then(work, work);
        this.turn = result.catch(() => undefined);
        return result;
    }
}

/** A vector of length 1 in the same direction. */
export function normalised(vector: ArrayLike<number>): number[] {
    const numbers = Array.from(vector);
    const length = Math.sqrt(numbers.reduce((sum, one) => sum + one * one, 0));
    return length === 0 ? numbers : numbers.map((one) => one / length);
}

function installedVersion(): string {
    const main = createRequire(import.meta.url).resolve("node-llama-cpp");
    const manifest: unknown = JSON.parse(readFileSync(join(dirname(main), "..", "package.json"), "utf8"));
    return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}
