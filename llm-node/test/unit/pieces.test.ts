// Pieces of text: whole characters, and nothing of a stop text.

import assert from "node:assert/strict";
import {describe, it} from "node:test";

import {Pieces} from "#src/pieces.js";

/** A tokenizer whose tokens are the bytes of UTF-8. */
const bytes = (tokens: readonly number[]) => Buffer.from(tokens).toString("utf8");
const tokensOf = (text: string) => [...Buffer.from(text, "utf8")];

function feed(text: string, stops: string[] = [], trimsStart = false) {
    const pieces = new Pieces(bytes, stops, trimsStart, []);
    const shown: string[] = [];
    for (const token of tokensOf(text)) {
        shown.push(pieces.push(token));
        if (pieces.isStopped) break;
    }
    shown.push(pieces.finish());
    return {pieces, shown};
}

describe("the pieces of an answer", () => {
    it("never split a character", () => {
        const text = "Grüße, 世界! 🙂👩‍👩‍👧";
        const {pieces, shown} = feed(text);
        assert.equal(shown.join(""), text);
        assert.equal(pieces.text, text);
        assert.ok(shown.every((piece) => !piece.includes("\uFFFD")));
    });

    it("leave out a character that was cut off at the end", () => {
        const pieces = new Pieces(bytes, [], false, []);
        const shown = [...Buffer.from("ab🙂").subarray(0, 4)].map((token) => pieces.push(token));
        assert.equal([...shown, pieces.finish()].join(""), "ab");
    });

    it("go on after bytes that are no character", () => {
        const pieces = new Pieces(bytes, [], false, []);
        const shown = [...Array.from({length: 12}, () => 0xff), ...tokensOf("end")].map((token) => pieces.push(token));
        assert.ok([...shown, pieces.finish()].join("").endsWith("end"));
    });

    it("end before a stop text, even one that comes in parts", () => {
        const {pieces, shown} = feed("one two STOP three", ["STOP"]);
        assert.equal(shown.join(""), "one two ");
        assert.equal(pieces.text, "one two ");
        assert.ok(pieces.isStopped);
    });

    it("show what only looked like a stop text", () => {
        const {shown} = feed("a STO b ST", ["STOP"]);
        assert.equal(shown.join(""), "a STO b ST");
    });

    it("end at the first of several stop texts", () => {
        assert.equal(feed("x\n\ny```", ["```", "\n\n"]).shown.join(""), "x");
    });

    it("drop white space at the start where the template says so", () => {
        assert.equal(feed("  \n hello ", [], true).shown.join(""), "hello ");
    });
});
