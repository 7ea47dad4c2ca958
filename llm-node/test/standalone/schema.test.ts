// Answers that must fit a JSON schema, with the tiny model: at random it writes anything that it may.

import assert from "node:assert/strict";
import {after, before, describe, it} from "node:test";

import {Ajv2020} from "ajv/dist/2020.js";

import {grammarOf} from "#src/grammar.js";
import {Reason} from "#src/gen/devstudio/errors/v1/reason_pb.js";
import {Mesh, dev, faultOf} from "../double/mesh.js";

const ajv = new Ajv2020({strict: false});
const rounds = 25;

/** One of each kind, bounded so that it ends. */
const schemas: Record<string, object> = {
    "an action of several kinds": {
        oneOf: [
            {type: "object", properties: {kind: {const: "write"}, path: {type: "string", minLength: 1, maxLength: 12}, text: {type: "string", maxLength: 20}}, required: ["kind", "path", "text"], additionalProperties: false},
            {type: "object", properties: {kind: {const: "run"}, argv: {type: "array", items: {type: "string", maxLength: 4}, minItems: 1, maxItems: 3}}, required: ["kind", "argv"], additionalProperties: false},
            {type: "object", properties: {kind: {const: "finish"}}, required: ["kind"], additionalProperties: false},
        ],
    },
    "numbers, whole and broken": {type: "array", items: {type: "object", properties: {whole: {type: "integer"}, any: {type: "number"}}, required: ["whole", "any"], additionalProperties: false}, minItems: 2, maxItems: 4},
    "a choice of values": {enum: ["a \"quoted\" text", "back\\slash", "ünïcödé 🙂", 1.5, true, null]},
    "a value of several types": {type: "array", items: {type: ["boolean", "null", "integer"]}, maxItems: 5},
    "names that are not known before": {type: "object", additionalProperties: {type: "boolean"}, maxProperties: 2},
    "texts of a pattern": {
        type: "array",
        items: {type: "string", pattern: String.raw`^(\.?[a-z0-9]{1,3}/){0,2}\w[^\s/~"\\]{0,5}(\.(rs|py))?$|^"\d\t[\\🙂]$`},
        minItems: 3,
        maxItems: 3,
    },
    "a tree": {
        // A JSON pointer writes a slash in a name as ~1.
        $ref: "#/$defs/node~10",
        $defs: {"node/0": {type: "object", properties: {name: {enum: ["x", "y"]}, left: {anyOf: [{type: "null"}, {$ref: "#/$defs/leaf"}]}}, required: ["name", "left"], additionalProperties: false}, leaf: {const: "leaf"}},
    },
    "an exact number of items": {type: "array", items: {type: "string", minLength: 2, maxLength: 2}, minItems: 3, maxItems: 3},
};

describe("an answer that must fit a schema", () => {
    let mesh: Mesh;
    before(async () => {
        mesh = await Mesh.start({DEVSTUDIO_LLM_SEQUENCES: "2"});
    });
    after(() => mesh.stop());

    for (const [name, schema] of Object.entries(schemas)) {
        it(`fits it whatever the temperature: ${name}`, async () => {
            const fits = ajv.compile(schema);
            for (let seed = 0; seed < rounds; seed++) {
                const {pieces, last} = await mesh.whole({prompt: "go", maxTokens: 1_000, temperature: seed % 2 === 0 ? 1 : 2, seed, responseSchema: JSON.stringify(schema)});
                assert.equal(last.finishReason, "stop", last.text);
                assert.equal(pieces.map((piece) => piece.delta).join(""), last.text);
                assert.ok(fits(JSON.parse(last.text)), `${last.text}: ${ajv.errorsText(fits.errors)}`);
            }
        });
    }

    it("is cut short by max_tokens, and says so", async () => {
        const {last} = await mesh.whole({prompt: "go", maxTokens: 3, responseSchema: JSON.stringify({type: "string", minLength: 500})});
        assert.equal(last.finishReason, "length");
        assert.equal(last.usage?.completionTokens, 3);
    });

    it("is as free as before when the next request has no schema", async () => {
        await mesh.whole({prompt: "go", maxTokens: 50, responseSchema: '{"const":"yes"}'});
        const {last} = await mesh.whole({prompt: "go", maxTokens: 50, temperature: 0});
        assert.throws(() => JSON.parse(last.text) as unknown);
    });

    it("is refused beside stop texts, which could cut it", async () => {
        const fault = await faultOf(mesh.whole({prompt: "go", stop: ["}"], responseSchema: '{"const":1}'}));
        assert.deepEqual([fault.reason, fault.details.pointer], [Reason.SCHEMA_VIOLATION, "/stop"]);
    });

    it("is refused, and nothing is billed, where llama.cpp cannot hold its schema", async () => {
        const before = mesh.billing.reserves.length;
        const endless = {$ref: "#/$defs/a", $defs: {a: {anyOf: [{$ref: "#/$defs/a"}]}}};
        const fault = await faultOf(mesh.whole({prompt: "go", responseSchema: JSON.stringify(endless)}));
        assert.deepEqual([fault.reason, fault.details.pointer], [Reason.SCHEMA_VIOLATION, "/responseSchema"]);
        assert.equal(mesh.billing.reserves.length, before);
        assert.equal((await mesh.call("countTokens", {text: "still there"}, dev)).tokens > 0, true);
    });
});

describe("a schema", () => {
    /** The place and the rule that a schema breaks. */
    const refusal = (schema: unknown) => {
        try {
            grammarOf(typeof schema === "string" ? schema : JSON.stringify(schema));
        } catch (error) {
            return (error as {violation?: {pointer: string; keyword: string}}).violation;
        }
        return undefined;
    };
    const at = (schema: unknown) => refusal(schema)?.pointer;

    it("with a keyword that would be passed over is refused by its place", () => {
        assert.equal(at({type: "string", pattern: "^a$", maxLength: 3}), "/responseSchema/maxLength");
        assert.equal(at({type: "string", format: "email"}), "/responseSchema/format");
        assert.equal(at({type: "object", properties: {"a/b": {type: "integer", minimum: 3}}}), "/responseSchema/properties/a~1b/minimum");
        assert.equal(at({type: "array", items: {type: "string", format: "email"}}), "/responseSchema/items/format");
        assert.equal(at({allOf: [{type: "string"}]}), "/responseSchema");
        assert.equal(at({type: ["string", "null"], maxLength: 3}), "/responseSchema/maxLength");
        assert.equal(at({type: "object", properties: {a: {const: 1}}, minProperties: 2}), "/responseSchema/minProperties");
        assert.equal(at({type: "object", properties: {a: {const: 1}}, additionalProperties: {type: "null"}}), "/responseSchema/additionalProperties");
        assert.equal(at({type: "array", items: {$defs: {}, const: 1}}), "/responseSchema/items/$defs");
    });

    it("that is none is refused by its place", () => {
        assert.equal(at("{"), "/responseSchema");
        assert.equal(at("[]"), "/responseSchema");
        assert.equal(at({}), "/responseSchema");
        assert.equal(at({type: "thing"}), "/responseSchema");
        assert.equal(at({enum: []}), "/responseSchema/enum");
        assert.equal(at({const: {}}), "/responseSchema/const");
        assert.equal(at({$ref: "#/$defs/gone"}), "/responseSchema/$ref");
        assert.equal(at({$ref: "other.json"}), "/responseSchema/$ref");
        assert.equal(at({type: "array"}), "/responseSchema");
        assert.equal(at({type: "object", required: ["a"]}), "/responseSchema/required/0");
        assert.equal(at({type: "object", additionalProperties: true}), "/responseSchema/additionalProperties");
        assert.equal(at({type: "object", properties: []}), "/responseSchema/properties");
        assert.equal(at({type: "string", minLength: 3, maxLength: 2}), "/responseSchema/minLength");
    });

    it("whose pattern no grammar can hold is refused by its place", () => {
        for (const pattern of ["a", "^a", "a$", "^a$|b", "(", "^a(?=b)$", "^(a)\\1$", "^\\ba$", "^\\p{L}$", "^[^\\s\\S]$", 1])
            assert.equal(at({type: "string", pattern}), "/responseSchema/pattern", String(pattern));
        assert.equal(at({type: "string", pattern: "^a{3000}$"}), "/responseSchema/pattern");
        assert.equal(at({type: "string", pattern: "^$"}), undefined);
    });

    it("that would grow without bound is refused before a grammar is made", () => {
        assert.equal(at({type: "string", maxLength: 2_001}), "/responseSchema/maxLength");
        assert.equal(at({type: "array", items: {const: 1}, maxItems: 1e12}), "/responseSchema/maxItems");
        const long = Object.fromEntries(Array.from({length: 11}, (_, index) => [index, {type: "string", maxLength: 2_000}]));
        assert.equal(at({type: "object", properties: long}), "/responseSchema/properties/10/maxLength");
        let deep: object = {const: 1};
        for (let depth = 0; depth < 30; depth++) deep = {type: "array", items: deep};
        assert.equal(refusal(deep)?.keyword, "maxDepth");
        assert.equal(refusal({oneOf: Array.from({length: 1_001}, () => ({const: 1}))})?.keyword, "maxItems");
    });

    it("may say more to people than to a grammar", () => {
        assert.equal(at({title: "A number", description: "of things", type: "integer", default: 1, examples: [2]}), undefined);
    });
});
