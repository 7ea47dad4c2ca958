// From tokens to text: pieces that never split a character, and never show any part of a stop text.

/** Makes text of tokens; the tokens before them matter for spaces. */
export type Detokenize = (tokens: readonly number[], before: readonly number[]) => string;

const replacement = "\uFFFD";
/** A character has at most four bytes; tokens may carry one byte each. */
const mostTokensHeldBack = 8;
const tokensBefore = 16;

/** The text of one answer as it grows. */
export class Pieces {
    /** Everything shown so far. */
    text = "";
    /** A stop text has come: the answer has ended. */
    isStopped = false;
    private readonly shownTokens: number[];
    private heldTokens: number[] = [];
    private heldText = "";

    constructor(
        private readonly detokenize: Detokenize,
        private readonly stops: readonly string[],
        private readonly trimsStart: boolean,
        promptTokens: readonly number[],
    ) {
        this.shownTokens = promptTokens.slice(-tokensBefore);
    }

    /** Takes a token; answers what may be shown now, which may be nothing. */
    push(token: number): string {
        this.heldTokens.push(token);
        const text = this.detokenize(this.heldTokens, this.shownTokens);
        if (text.endsWith(replacement) && this.heldTokens.length < mostTokensHeldBack) return "";
        return this.decoded(text);
    }

    /** Answers what was held back, at the end. */
    finish(): string {
        if (this.isStopped) return "";
        const rest = this.heldTokens.length === 0 ? "" : this.detokenize(this.heldTokens, this.shownTokens).replace(/\uFFFD+$/, "");
        const shown = this.decoded(rest);
        // What a stop text has ended holds nothing back.
        const held = this.heldText;
        this.text += held;
        this.heldText = "";
        return shown + held;
    }

    private decoded(text: string): string {
        this.shownTokens.push(...this.heldTokens);
        this.shownTokens.splice(0, this.shownTokens.length - tokensBefore);
        this.heldTokens = [];
        this.heldText += this.trimsStart && this.text === "" && this.heldText === "" ? text.trimStart() : text;
        const stop = this.firstStop();
        if (stop !== undefined) {
            this.isStopped = true;
            return this.show(stop);
        }
        return this.show(this.heldText.length - this.longestStopBeginning());
    }

    private show(length: number): string {
        const shown = this.heldText.slice(0, length);
        this.heldText = this.isStopped ? "" : this.heldText.slice(length);
        this.text += shown;
        return shown;
    }

    private firstStop(): number | undefined {
        const found = this.stops.map((stop) => this.heldText.indexOf(stop)).filter((at) => at >= 0);
        return found.length === 0 ? undefined : Math.min(...found);
    }

    /** How much of the end may be the beginning of a stop text. */
    private longestStopBeginning(): number {
        let longest = 0;
        for (const stop of this.stops) {
            for (let length = Math.min(stop.length - 1, this.heldText.length); length > longest; length--) {
                if (this.heldText.endsWith(stop.slice(0, length))) {
                    longest = length;
                    break;
                }
            }
        }
        return longest;
    }
}
