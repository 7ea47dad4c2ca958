// Walks a model file's header within bounds, before anything else reads it: a hostile one must not end the process.

import {closeSync, fstatSync, openSync, readSync} from "node:fs";

const windowBytes = 1024 * 1024;
const mostEntries = 65_536;
const mostTensors = 1_000_000;
const mostKeyBytes = 65_535;
const mostArrayEntries = 100_000_000;
const mostDimensions = 4;
const mostTensorType = 255;
const typeString = 8;
const typeArray = 9;
/** Bytes of each type of value by its number; 0 where it has no fixed size. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** A file that is not what it should be. */
export class HeaderError extends Error {}

/** Throws a HeaderError if the header is not that of a model file. A part of a file may lack tensors, but not header. */
export function checkHeader(path: string, isPart = false): void {
    const file = openSync(path, "r");
    try {
        walk(new Reader(file), isPart);
    } finally {
        closeSync(file);
    }
}

function walk(reader: Reader, isPart: boolean): void {
    if (reader.u32() !== 0x46554747) throw new HeaderError("the file does not begin with GGUF");
    const version = reader.u32();
    if (version !== 2 && version !== 3) throw new HeaderError(`version ${version} of GGUF is not read here`);
    const tensors = reader.count(mostTensors);
    const entries = reader.count(mostEntries);
    for (let entry = 0; entry < entries; entry++) {
        reader.skip(reader.count(mostKeyBytes));
        skipValue(reader, reader.u32());
    }
    for (let tensor = 0; tensor < tensors; tensor++) {
        reader.skip(reader.count(mostKeyBytes));
        const dimensions = reader.u32();
        if (dimensions < 1 || dimensions > mostDimensions) throw new HeaderError(`a tensor has ${dimensions} dimensions`);
        let size = 1;
        for (let dimension = 0; dimension < dimensions; dimension++) size *= reader.count(Number.MAX_SAFE_INTEGER);
        if (size < 1 || !Number.isSafeInteger(size)) throw new HeaderError("a tensor has an impossible size");
        if (reader.u32() > mostTensorType) throw new HeaderError("a tensor has an unknown type");
        const offset = reader.count(Number.MAX_SAFE_INTEGER);
        if (!isPart && offset >= reader.size) throw new HeaderError("a tensor lies beyond the end of the file");
    }
}

function skipValue(reader: Reader, type: number): void {
    if (type === typeString) {
        reader.skip(reader.count(Number.MAX_SAFE_INTEGER));
    } else if (type === typeArray) {
        const inner = reader.u32();
        const length = reader.count(mostArrayEntries);
        if (inner === typeArray) throw new HeaderError("an array holds arrays");
        if (inner === typeString) for (let at = 0; at < length; at++) reader.skip(reader.count(Number.MAX_SAFE_INTEGER));
        else reader.skip(length * fixedBytes(inner));
    } else {
        reader.skip(fixedBytes(type));
    }
}

function fixedBytes(type: number): number {
    const bytes = valueBytes[type] ?? 0;
    if (bytes === 0) throw new HeaderError(`a value has the unknown type ${type}`);
    return bytes;
}

/** Reads forward through a window, never beyond the end. */
class Reader {
    readonly size: number;
    private position = 0;
    private window = Buffer.alloc(0);
    private windowStart = 0;

    constructor(private readonly file: number) {
        this.size = fstatSync(file).size;
    }

    u32(): number {
        return this.take(4).readUInt32LE();
    }

    /** A 64-bit count that is at most so large. */
    count(most: number): number {
        const value = this.take(8).readBigUInt64LE();
        if (value > BigInt(most)) throw new HeaderError("a count is impossibly large");
        return Number(value);
    }

    skip(bytes: number): void {
        if (this.position + bytes > this.size) throw new HeaderError("the header is longer than the file");
        this.position += bytes;
    }

    private take(bytes: number): Buffer {
        const start = this.position;
        this.skip(bytes);
        if (start < this.windowStart || start + bytes > this.windowStart + this.window.length) {
            const buffer = Buffer.alloc(Math.min(windowBytes, this.size - start));
            this.window = buffer.subarray(0, readSync(this.file, buffer, 0, buffer.length, start));
            this.windowStart = start;
            if (this.window.length < bytes) throw new HeaderError("the file ends early");
        }
        return this.window.subarray(start - this.windowStart, start - this.windowStart + bytes);
    }
}
