// A model in memory: renders conversations, hands out sequences with what they still know, and generates token by token.

import {randomInt} from "node:crypto";

import {
    type ChatHistoryItem,
    ChatWrapper,
    type ControlledEvaluateIndexOutput,
    JinjaTemplateChatWrapper,
    type LlamaContext,
    type LlamaContextSequence,
    type LlamaGrammar,
    LlamaGrammarEvaluationState,
    LlamaText,
    type LlamaModel,
    type Token,
    resolveChatWrapper,
} from "node-llama-cpp";

import {Admission} from "./admission.js";
import type {EngineSettings} from "./engine.js";
import {Fault} from "./fault.js";
import type {Header} from "./gguf.js";
import {Vectors} from "./vectors.js";

const penalisedTokens = 64;
/** So many tokens of a prompt are evaluated before a cancel is looked for. */
const prefillTokens = 256;
const topK = 40;

/** One message, as the engine takes it. */
export interface Turn {
    role: "system" | "user" | "assistant";
    content: string;
}

/** A prompt in tokens, and where its answer ends. */
export interface Prompt {
    tokens: readonly number[];
    stopTokens: ReadonlySet<number>;
    stopTexts: readonly string[];
    trimsStart: boolean;
}

/** How tokens are chosen. */
export interface Sampling {
    temperature: number;
    topP: number;
    repeatPenalty: number;
    seed: number | undefined;
}

/** What an answer must fit. */
export type Grammar = LlamaGrammar;

/** What a model is opened with. */
export interface Opening {
    modelId: string;
    header: Header;
    contextSize: number;
    memoryBytes: number;
    settings: EngineSettings;
    onQueueDepth: (change: number) => void;
    signal: AbortSignal;
}

interface Seat {
    sequence: LlamaContextSequence;
    userId: string;
    usedAt: number;
}

/** A loaded model. */
export class LoadedModel {
    /** Aborts when the model is to be unloaded: answers end, those who wait are sent away. */
    readonly stopping = new AbortController();
    readonly admission: Admission;
    readonly vectors: Vectors;
    private readonly idle: Seat[];
    /** Work that unloading has to wait for. */
    private readonly running = new Set<Promise<void>>();
    /** What every prompt begins with; whatever lies beyond it belongs to one person only. */
    private commonTokens = 0;

    private constructor(
        private readonly model: LlamaModel,
        private readonly context: LlamaContext | undefined,
        private readonly wrapper: ChatWrapper | undefined,
        private readonly opening: Opening,
    ) {
        const {sequences, queue, queuePerUser, threads} = opening.settings;
        this.admission = new Admission(sequences, queue, queuePerUser, opening.onQueueDepth);
        this.idle = context === undefined ? [] : Array.from({length: sequences}, () => ({sequence: context.getSequence(), userId: "", usedAt: 0}));
        this.vectors = new Vectors(model, opening.header.isPooled, threads);
    }

    /** Makes the context, resolves the chat template once, and generates a first token. */
    static async open(model: LlamaModel, opening: Opening): Promise<LoadedModel> {
        if (opening.header.isEmbedding) return new LoadedModel(model, undefined, undefined, opening);
        const {sequences, threads} = opening.settings;
        const context = await model.createContext({contextSize: opening.contextSize, sequences, threads, createSignal: opening.signal});
        const loaded = new LoadedModel(model, context, wrapperOf(model), opening);
        await loaded.warmUp();
        return loaded;
    }

    get modelId(): string {
        return this.opening.modelId;
    }

    get contextSize(): number {
        return this.context === undefined ? this.vectors.contextSize : this.opening.contextSize;
    }

    get memoryBytes(): number {
        return this.opening.memoryBytes;
    }

    /** It answers conversations and continues texts. */
    get isGenerating(): boolean {
        return this.context !== undefined;
    }

    /** The tokens of a text as it is. */
    tokenize(text: string): number[] {
        return this.model.tokenize(text);
    }

    /** The tokens of a text as the model would write it at the beginning of an answer. */
    tokenizeAnswer(text: string): number[] {
        return this.model.tokenize(text, false, "trimLeadingSpace");
    }

    /** The text of tokens; special tokens have none. */
    readonly detokenize = (tokens: readonly number[], before: readonly number[]): string => this.model.detokenize(tokens as Token[], false, before as Token[]);

    /** Renders a conversation with the model's own template, ready for its answer. */
    renderChat(turns: readonly Turn[]): Prompt {
        if (this.wrapper === undefined) throw new Error("a model without a chat template was asked to chat");
        const history: ChatHistoryItem[] = turns.map(({role, content}) =>
            role === "assistant" ? {type: "model", response: [content]} : {type: role, text: content},
        );
        const state = this.wrapper.generateContextState({chatHistory: [...history, {type: "model", response: []}]});
        const stopTokens = new Set<number>();
        const stopTexts: string[] = [];
        for (const trigger of state.stopGenerationTriggers) {
            const first = LlamaText(trigger).tokenize(this.model.tokenizer)[0];
            if (first === undefined) continue;
            if (this.model.isSpecialToken(first) || this.model.isEogToken(first)) stopTokens.add(first);
            else stopTexts.push(trigger.toString());
        }
        const trimsStart = this.wrapper instanceof JinjaTemplateChatWrapper && this.wrapper.trimLeadingWhitespaceInResponses;
        return {tokens: state.contextText.tokenize(this.model.tokenizer), stopTokens, stopTexts, trimsStart};
    }

    /** A text to be continued. */
    renderText(text: string): Prompt {
        const {bos, shouldPrependBosToken} = this.model.tokens;
        const tokens = this.model.tokenize(text);
        return {tokens: shouldPrependBosToken && bos !== null ? [bos, ...tokens] : tokens, stopTokens: new Set(), stopTexts: [], trimsStart: false};
    }

    /** A grammar, tried on this model. Throws SCHEMA_VIOLATION where llama.cpp does not take it. */
    async grammar(rules: string): Promise<Grammar> {
        try {
            const grammar = await this.model.llama.createGrammar({grammar: rules});
            new LlamaGrammarEvaluationState({model: this.model, grammar});
            return grammar;
        } catch (error) {
            throw Fault.violation("/responseSchema", "type", `makes no grammar: ${error instanceof Error ? error.message : String(error)}`);
        }
    }

    /**
     * Takes the idle sequence that knows most of the prompt, and forgets what it knows beyond.
     * Another person's text is never reused: its speed would tell that it was there.
     */
    async sit(prompt: Prompt, userId: string): Promise<Sitting> {
        const knows = ({sequence, userId: owner}: Seat): number => {
            const {firstDifferentIndex} = sequence.compareContextTokens(prompt.tokens as Token[]);
            const same = Math.min(firstDifferentIndex, prompt.tokens.length - 1);
            return owner === userId ? same : Math.min(same, this.commonTokens);
        };
        const [seat] = this.idle.toSorted((a, b) => knows(b) - knows(a) || a.usedAt - b.usedAt);
        if (seat === undefined) throw new Error("more answers were admitted than there are sequences");
        this.idle.splice(this.idle.indexOf(seat), 1);
        const known = knows(seat);
        Object.assign(seat, {userId, usedAt: performance.now()});
        const leave = this.hold();
        const stand = () => {
            if (!this.idle.includes(seat)) this.idle.push(seat);
            leave();
        };
        try {
            await seat.sequence.adaptStateToTokens(prompt.tokens.slice(0, known) as Token[], false);
        } catch (error) {
            stand();
            throw error;
        }
        return new Sitting(this.model, seat.sequence, prompt, stand);
    }

    /** Keeps the model in memory until the answer is called. */
    hold(): () => void {
        const held: {leave: () => void} = {leave: () => undefined};
        const isRunning = new Promise<void>((resolve) => {
            held.leave = () => {
                this.running.delete(isRunning);
                resolve();
            };
        });
        this.running.add(isRunning);
        return held.leave;
    }

    /** Ends what runs, and gives the memory back. */
    async dispose(): Promise<void> {
        this.stopping.abort();
        while (this.running.size > 0) await Promise.all(this.running);
        await this.vectors.dispose();
        await this.context?.dispose();
        await this.model.dispose();
    }

    /** Generates one token on every sequence, so that each knows what all prompts begin with. */
    private async warmUp(): Promise<void> {
        const render = (content: string) => this.renderChat([{role: "user", content}]);
        const [prompt, other] = [render("a"), render("b")];
        while (this.commonTokens < prompt.tokens.length && prompt.tokens[this.commonTokens] === other.tokens[this.commonTokens]) this.commonTokens++;
        const sampling = {temperature: 0, topP: 1, repeatPenalty: 1, seed: 0};
        for (const seat of [...this.idle]) {
            await seat.sequence.clearHistory();
            const sitting = new Sitting(this.model, seat.sequence, prompt, () => undefined);
            const tokens = sitting.generate(sampling, this.opening.signal);
            await tokens.next();
            await tokens.return(undefined);
        }
        this.opening.signal.throwIfAborted();
    }
}

/** One answer on one sequence. */
export class Sitting {
    /** Tokens of the prompt that need no evaluation. */
    readonly cachedTokens: number;

    constructor(
        private readonly model: LlamaModel,
        private readonly sequence: LlamaContextSequence,
        private readonly prompt: Prompt,
        private readonly leave: () => void,
    ) {
        this.cachedTokens = sequence.nextTokenIndex;
    }

    /** Generates until the model ends its answer or the signal comes, whichever is first; each token once it is asked for. */
    async *generate({temperature, topP, repeatPenalty, seed}: Sampling, signal: AbortSignal, grammar?: Grammar): AsyncGenerator<number> {
        const isAborted = () => signal.aborted;
        const rest = await this.prefill(prefillTokens, signal);
        if (isAborted()) return;
        const generated: Token[] = [];
        const tokens = this.sequence.evaluate(rest, {
            temperature,
            topP,
            topK,
            seed: seed ?? randomInt(2 ** 31),
            ...(grammar === undefined ? {} : {grammarEvaluationState: new LlamaGrammarEvaluationState({model: this.model, grammar})}),
            ...(repeatPenalty === 1 ? {} : {repeatPenalty: {penalty: repeatPenalty, maxPunishTokens: penalisedTokens, punishTokens: () => generated.slice(-penalisedTokens)}}),
        });
        for await (const token of tokens) {
            if (isAborted() || this.prompt.stopTokens.has(token) || this.model.isEogToken(token)) return;
            generated.push(token);
            yield token;
        }
    }

    /**
     * How likely each of these answers is: the natural logarithm of the product of its tokens' probabilities and of that
     * of the answer's end. Throws when the signal comes.
     */
    async likelihoods(answers: readonly (readonly number[])[], signal: AbortSignal): Promise<number[]> {
        const last = await this.prefill(1, signal);
        const {eos} = this.model.tokens;
        const ends = this.prompt.stopTokens.size > 0 ? [...this.prompt.stopTokens] : eos === null ? [] : [eos];
        const found: number[] = [];
        for (const answer of answers) {
            signal.throwIfAborted();
            const start = this.sequence.nextTokenIndex;
            const wanted = [...answer.map((token) => [token]), ends] as Token[][];
            const read = await this.sequence.controlledEvaluate(
                [...last, ...(answer as Token[])].map((token, index) => [token, {generateNext: {logits: {filter: {tokens: wanted[index] ?? [], includeTop: 1}}, totalLogitWeight: true}}]),
            );
            await this.sequence.eraseContextTokenRanges([{start, end: this.sequence.nextTokenIndex}]);
            found.push(wanted.reduce((sum, tokens, index) => sum + Math.log(probabilityOf(tokens, read[index]?.next)), 0));
        }
        return found;
    }

    /** Evaluates the prompt but for its end, of at most so many tokens and at least one; answers that. */
    private async prefill(mostLeft: number, signal: AbortSignal): Promise<Token[]> {
        let rest = this.prompt.tokens.slice(this.cachedTokens) as Token[];
        while (rest.length > mostLeft && !signal.aborted) {
            const next = rest.slice(0, Math.min(prefillTokens, rest.length - 1));
            await this.sequence.evaluateWithoutGeneratingNewTokens(next);
            rest = rest.slice(next.length);
        }
        return rest;
    }

    /** Gives the sequence back. */
    stand(): void {
        this.leave();
    }
}

/** The probability of one of these tokens being the next, where the logits of these and of the likeliest were read. */
function probabilityOf(tokens: readonly Token[], next: ControlledEvaluateIndexOutput["next"] | undefined): number {
    if (next?.logits === undefined || next.totalLogitWeight === undefined) throw new Error("the engine did not show its logits");
    const {logits, totalLogitWeight} = next;
    const most = Math.max(...logits.values());
    return tokens.reduce((sum, token) => sum + Math.exp((logits.get(token) ?? -Infinity) - most) / totalLogitWeight, 0);
}

/** The model's own template, which is exact; where it has none or a broken one, the wrapper that fits best. */
function wrapperOf(model: LlamaModel): ChatWrapper {
    const template = model.fileInfo.metadata.tokenizer.chat_template;
    if (template !== undefined) {
        try {
            const wrapper = new JinjaTemplateChatWrapper({template, tokenizer: model.tokenizer});
            wrapper.generateContextState({chatHistory: [{type: "user", text: "a"}, {type: "model", response: []}]});
            return wrapper;
        } catch {
            // A template that this engine cannot read is no reason not to load the model.
        }
    }
    return resolveChatWrapper(model);
}
