// A regular expression as a rule of llama.cpp's grammars, for texts inside JSON. Read by @eslint-community/regexpp (MIT).

import {RegExpParser, type AST} from "@eslint-community/regexpp";

/** Why a pattern is not taken. */
export class PatternError extends Error {}

/** From one code point to another, both included. */
type Range = readonly [number, number];

const last = 0x10FFFF;
/** Code points that are no characters: halves of pairs. */
const halves: Range = [0xD800, 0xDFFF];
const classes = {
    digit: [[0x30, 0x39]],
    word: [[0x30, 0x39], [0x41, 0x5A], [0x5F, 0x5F], [0x61, 0x7A]],
    // ECMA-262, WhiteSpace and LineTerminator.
    space: [[0x09, 0x0D], [0x20, 0x20], [0xA0, 0xA0], [0x1680, 0x1680], [0x2000, 0x200A], [0x2028, 0x2029], [0x202F, 0x202F], [0x205F, 0x205F], [0x3000, 0x3000], [0xFEFF, 0xFEFF]],
} satisfies Record<string, Range[]>;
const lineEnds: Range[] = [[0x0A, 0x0A], [0x0D, 0x0D], [0x2028, 0x2029]];
/** What JSON writes with a backslash, and how; other control characters are never written. */
const escapes = new Map([["\b", "b"], ["\t", "t"], ["\n", "n"], ["\f", "f"], ["\r", "r"], ['"', '"'], ["\\", "\\"]].map(([character = "", name = ""]) => [character.codePointAt(0) ?? 0, name]));
const unwritten: Range[] = [[0x00, 0x1F], [0x22, 0x22], [0x5C, 0x5C], [0x7F, 0x7F], halves];

/**
 * What stands for a pattern between the quotes of a JSON text. `repeat` is told every bound of a repetition, so that the
 * caller can limit them. Throws PatternError for what is no expression in ECMA-262's Unicode mode, does not say how the
 * text begins and ends (`^` and `$`), or looks around or back.
 */
export function ruleOf(pattern: string, repeat: (times: number) => void): string {
    let parsed: AST.Pattern;
    try {
        parsed = new RegExpParser({ecmaVersion: 2022}).parsePattern(pattern, undefined, undefined, {unicode: true});
    } catch (error) {
        throw new PatternError(`is no regular expression: ${error instanceof Error ? error.message : String(error)}`);
    }
    const whole = parsed.alternatives.map(({elements}) => {
        const [first, ...rest] = elements;
        const end = rest.pop();
        if (first?.type !== "Assertion" || first.kind !== "start" || end?.type !== "Assertion" || end.kind !== "end")
            throw new PatternError("needs ^ at its start and $ at its end, in each of its alternatives");
        return sequence(rest, repeat);
    });
    return `(${whole.join(" | ")})`;
}

const sequence = (elements: readonly AST.Element[], repeat: (times: number) => void): string => elements.map((element) => write(element, repeat)).join(" ") || '""';

function write(element: AST.Element, repeat: (times: number) => void): string {
    switch (element.type) {
        case "Group":
        case "CapturingGroup":
            return `(${element.alternatives.map(({elements}) => sequence(elements, repeat)).join(" | ")})`;
        case "Quantifier": {
            const {min, max} = element;
            repeat(Number.isFinite(max) ? max : min);
            return `${write(element.element, repeat)}{${min},${Number.isFinite(max) ? max : ""}}`;
        }
        case "Character":
        case "CharacterSet":
        case "CharacterClass":
            return characters(rangesOf(element));
        default:
            throw new PatternError(`has ${element.raw}, which no grammar can hold`);
    }
}

function rangesOf(element: AST.ClassRangesCharacterClassElement | AST.Element | AST.CharacterClassElement): Range[] {
    switch (element.type) {
        case "Character":
            return [[element.value, element.value]];
        case "CharacterClassRange":
            return [[element.min.value, element.max.value]];
        case "CharacterClass":
            return but(element.elements.flatMap((one) => rangesOf(one)), element.negate);
        case "CharacterSet":
            if (element.kind === "any") return but(lineEnds, true);
            if (element.kind !== "property") return but(classes[element.kind], element.negate);
    }
    throw new PatternError(`has ${element.raw}, which no grammar can hold`);
}

/** The ranges in order without overlaps; or, negated, all else. */
function but(ranges: readonly Range[], negate: boolean): Range[] {
    const merged: [number, number][] = [];
    for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
        const before = merged.at(-1);
        if (before !== undefined && from <= before[1] + 1) before[1] = Math.max(before[1], to);
        else merged.push([from, to]);
    }
    if (!negate) return merged;
    const others: Range[] = [];
    let next = 0;
    for (const [from, to] of merged) {
        if (from > next) others.push([next, from - 1]);
        next = to + 1;
    }
    if (next <= last) others.push([next, last]);
    return others;
}

/** One character of these, as JSON writes it. */
function characters(ranges: readonly Range[]): string {
    const ordered = but(ranges, false);
    const plain = but([...but(ordered, true), ...unwritten], true);
    const ways = [...escapes].filter(([point]) => ordered.some(([from, to]) => from <= point && point <= to)).map(([, name]) => `"\\\\${name === '"' || name === "\\" ? `\\${name}` : name}"`);
    if (plain.length > 0) ways.unshift(`[${plain.map(([from, to]) => (from === to ? point(from) : `${point(from)}-${point(to)}`)).join("")}]`);
    if (ways.length === 0) throw new PatternError("has a place where no character fits");
    return `(${ways.join(" | ")})`;
}

const point = (code: number): string => `\\U${code.toString(16).toUpperCase().padStart(8, "0")}`;
