// The grammar of an answer, made of a JSON schema. A keyword that a grammar cannot hold is refused, not passed over.

import {Fault} from "./fault.js";
import {PatternError, ruleOf} from "./pattern.js";

/** Where the schema stands in the request. */
const field = "/responseSchema";
const mostDepth = 16;
const mostSchemas = 1_000;
/** llama.cpp repeats a rule no more often. */
const mostRepetitions = 2_000;
/** Each takes room and time while the grammar is read: so many some 50 ms. */
const mostRepetitionsInAll = 20_000;
/** What tells people something, and a grammar nothing. */
const annotations = ["title", "description", "examples", "default", "$comment", "$schema", "$id"];

/**
 * What every grammar may name. Numbers are finite, and whole ones exact; an escape is never half a character, so that
 * lengths are those of JSON schema: in code points.
 */
const common = String.raw`
hex ::= [0-9a-fA-F]
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-Ce-fE-F] hex{3} | [dD] [0-7] hex{2}))
integer ::= "-"? ("0" | [1-9] [0-9]{0,14})
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
string ::= "\"" char* "\""
comma ::= "," " "?
`;
const basicTypes = ["string", "number", "integer", "boolean", "null"];

type Json = null | boolean | number | string | Json[] | Schema;
interface Schema {
    [keyword: string]: Json;
}

/** The grammar of a schema, in llama.cpp's notation. Throws SCHEMA_VIOLATION, with the place in the schema, for one that is not taken. */
export function grammarOf(schema: string): string {
    let json: Json;
    try {
        json = JSON.parse(schema) as Json;
    } catch {
        throw Fault.violation(field, "format", "is not JSON");
    }
    return new Writer(object(json, "")).whole();
}

class Writer {
    private readonly definitions: Schema;
    private readonly schema: Schema;
    private readonly rules: string[] = [];
    private schemas = 0;
    private repetitions = 0;

    constructor({$defs = {}, ...schema}: Schema) {
        this.definitions = object($defs, "/$defs");
        this.schema = schema;
    }

    whole(): string {
        const root = this.write(this.schema, "", 0);
        const named = Object.entries(this.definitions).map(([name, schema], index) => `def${index} ::= ${this.write(schema, join("/$defs", name), 0)}`);
        return [`root ::= ${root}`, ...named, ...this.rules].join("\n") + common;
    }

    /** What stands for a schema in a rule. */
    private write(json: Json, at: string, depth: number): string {
        const schema = object(json, at);
        if (depth > mostDepth) throw refused(at, "maxDepth", `is deeper than ${mostDepth} schemas`);
        if (++this.schemas > mostSchemas) throw refused(at, "maxItems", `is one of more than ${mostSchemas} schemas`);
        if (schema.$ref !== undefined) return this.reference(schema, at);
        if (schema.const !== undefined) return literal(only(schema, ["const", "type"], at).const, join(at, "const"));
        if (schema.enum !== undefined) return this.choice(only(schema, ["enum", "type"], at), "enum", at, literal);
        for (const keyword of ["oneOf", "anyOf"])
            if (schema[keyword] !== undefined) return this.choice(only(schema, [keyword], at), keyword, at, (one, place) => this.write(one, place, depth + 1));
        if (schema.type === "object") return this.object(schema, at, depth);
        if (schema.type === "array") return this.array(schema, at, depth);
        if (schema.type === "string") return this.string(schema, at);
        const types = [schema.type].flat();
        const basic = types.filter((one) => typeof one === "string").filter((one) => basicTypes.includes(one));
        if (basic.length === 0 || basic.length < types.length) throw refused(at, "type", `needs a type: object, array, ${basicTypes.join(", ")}, or a list of the latter five`);
        only(schema, ["type"], at);
        return this.rule(basic.join(" | "));
    }

    private reference(schema: Schema, at: string): string {
        const {$ref} = only(schema, ["$ref"], at);
        const index = Object.keys(this.definitions).findIndex((name) => $ref === `#${join("/$defs", name)}`);
        if (index < 0) throw refused(join(at, "$ref"), "$ref", "does not name one of the schema's $defs");
        return `def${index}`;
    }

    private choice(schema: Schema, keyword: string, at: string, write: (one: Json, place: string) => string): string {
        const place = join(at, keyword);
        return this.rule(list(schema[keyword], place).map((one, index) => write(one, join(place, index))).join(" | "));
    }

    /** All properties are written, so all that are required. Names not known before come without any that are: none is written twice. */
    private object(schema: Schema, at: string, depth: number): string {
        const {properties = {}, additionalProperties: others = false, required = []} = schema;
        const entries = Object.entries(object(properties, join(at, "properties")));
        const missing = list(required, join(at, "required"), 0).findIndex((name) => !entries.some(([known]) => known === name));
        if (missing >= 0) throw refused(join(join(at, "required"), missing), "required", "is not one of the properties");
        if (others === false || entries.length > 0) {
            only(schema, ["type", "properties", "required", ...(others === false ? ["additionalProperties"] : [])], at);
            const pairs = entries.map(([name, one]) => `${literal(name, at)} ":" " "? ${this.write(one, join(join(at, "properties"), name), depth + 1)}`);
            return this.rule(`"{" ${pairs.join(" comma ")} "}"`);
        }
        only(schema, ["type", "properties", "required", "additionalProperties", "maxProperties"], at);
        const pair = `string ":" " "? ${this.write(others, join(at, "additionalProperties"), depth + 1)}`;
        return this.rule(`"{" ${repeated(this.rule(pair), this.bounds(schema, "minProperties", "maxProperties", at))} "}"`);
    }

    private array(schema: Schema, at: string, depth: number): string {
        const {items} = only(schema, ["type", "items", "minItems", "maxItems"], at);
        if (items === undefined) throw refused(at, "required", "needs items");
        const item = this.write(items, join(at, "items"), depth + 1);
        return this.rule(`"[" ${repeated(item, this.bounds(schema, "minItems", "maxItems", at))} "]"`);
    }

    private string(schema: Schema, at: string): string {
        if (schema.pattern !== undefined) return this.pattern(only(schema, ["type", "pattern"], at).pattern, join(at, "pattern"));
        only(schema, ["type", "minLength", "maxLength"], at);
        const {least, most} = this.bounds(schema, "minLength", "maxLength", at);
        if (most === 0) return String.raw`"\"\""`;
        return this.rule(String.raw`"\"" char{${least},${most ?? ""}} "\""`);
    }

    private pattern(pattern: Json | undefined, at: string): string {
        if (typeof pattern !== "string") throw refused(at, "type", "is not a text");
        try {
            return this.rule(String.raw`"\"" ${ruleOf(pattern, (times) => this.count(times, at))} "\""`);
        } catch (error) {
            if (error instanceof PatternError) throw refused(at, "pattern", error.message);
            throw error;
        }
    }

    /** Counts what is repeated, in one place and in all. */
    private count(times: number, at: string): void {
        if (times > mostRepetitions) throw refused(at, "maximum", `repeats more than ${mostRepetitions} times`);
        this.repetitions += times;
        if (this.repetitions > mostRepetitionsInAll) throw refused(at, "maximum", `makes the bounds more than ${mostRepetitionsInAll} in all`);
    }

    private bounds(schema: Schema, least: string, most: string, at: string): Bounds {
        const read = (keyword: string): number | undefined => {
            const value = schema[keyword];
            if (value === undefined) return undefined;
            if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > mostRepetitions)
                throw refused(join(at, keyword), "maximum", `is not a whole number from 0 to ${mostRepetitions}`);
            this.count(value, join(at, keyword));
            return value;
        };
        const found = {least: read(least) ?? 0, most: read(most)};
        if (found.most !== undefined && found.least > found.most) throw refused(join(at, least), "maximum", `is more than ${most}`);
        return found;
    }

    /** A rule of its own, so that it can be repeated and chosen. */
    private rule(body: string): string {
        this.rules.push(`rule${this.rules.length} ::= ${body}`);
        return `rule${this.rules.length - 1}`;
    }
}

interface Bounds {
    least: number;
    most: number | undefined;
}

/** So many of them, with commas between. */
function repeated(one: string, {least, most}: Bounds): string {
    if (most === 0) return "";
    const all = `${one} (comma ${one}){${Math.max(0, least - 1)},${most === undefined ? "" : most - 1}}`;
    return least === 0 ? `(${all})?` : all;
}

function literal(value: Json | undefined, at: string): string {
    if (value === undefined || (typeof value === "object" && value !== null)) throw refused(at, "type", "is neither a text, a number, a boolean nor null");
    return `"${JSON.stringify(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function object(value: Json, at: string): Schema {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused(at, "type", "is not an object");
    return value;
}

function list(value: Json | undefined, at: string, least = 1): Json[] {
    if (!Array.isArray(value) || value.length < least) throw refused(at, "minItems", `is not a list of at least ${least}`);
    return value;
}

/** The schema, if it has no keyword beside these. */
function only(schema: Schema, keywords: readonly string[], at: string): Schema {
    const other = Object.keys(schema).find((keyword) => !keywords.includes(keyword) && !annotations.includes(keyword));
    if (other !== undefined) throw refused(join(at, other), "additionalProperties", `is a keyword that is not taken here; these are: ${keywords.join(", ")}`);
    return schema;
}

/** A JSON pointer that goes one step further. */
function join(at: string, step: string | number): string {
    return `${at}/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function refused(at: string, keyword: string, description: string): Fault {
    return Fault.violation(`${field}${at}`, keyword, description);
}
