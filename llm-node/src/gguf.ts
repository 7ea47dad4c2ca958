// What a model file says of itself: parameters from its tensor table, quantisation from its header, never from its name.

import {GgufFileType, type GgufFileInfo, readGgufFileInfo} from "node-llama-cpp";

import {checkHeader} from "./header.js";

/** The facts of a model file. */
export interface Header {
    parameters: number;
    /** Such as Q4_K_M; empty where the file does not say. */
    quant: string;
    name: string;
    license: string;
    /** It makes embeddings only: an encoder. */
    isEmbedding: boolean;
    /** Its embeddings are pooled over the tokens, so a token has no vector of its own. */
    isPooled: boolean;
}

const encoders = ["bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert", "gemma-embedding", "t5encoder"];
const poolingNone = 0;
const poolingLast = 3;

/** Reads a file's header; of a part of a file, only the header need be there. Throws if it is no model file. */
export async function readHeader(file: string, isPart = false): Promise<Header> {
    return headerOf(await readInfo(file, isPart));
}

/** Reads a file's header whole, once it is known to keep its bounds. */
export async function readInfo(file: string, isPart = false): Promise<GgufFileInfo> {
    checkHeader(file, isPart);
    return readGgufFileInfo(file, {sourceType: "filesystem", logWarnings: false, spliceSplitFiles: false});
}

/** The facts of a header that was read. */
export function headerOf(info: GgufFileInfo): Header {
    const {general} = info.metadata;
    const tensors = info.fullTensorInfo ?? [];
    const parameters = tensors.reduce((sum, {dimensions}) => sum + dimensions.reduce<number>((product, one) => product * Number(one), 1), 0);
    const fileType = general.file_type;
    const own: unknown = (info.metadata as unknown as Record<string, unknown>)[general.architecture];
    const pooling = typeof own === "object" && own !== null && "pooling_type" in own ? Number(own.pooling_type) : poolingNone;
    const isEmbedding = encoders.includes(general.architecture);
    return {
        parameters,
        quant: fileType === undefined ? "" : ((GgufFileType as Partial<Record<number, string>>)[fileType] ?? "").replace(/^(?:MOSTLY|ALL)_/, ""),
        name: general.name ?? "",
        license: general.license ?? "",
        isEmbedding,
        isPooled: isEmbedding || (pooling !== poolingNone && pooling !== poolingLast),
    };
}
