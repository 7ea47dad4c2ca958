// A stand-in for the model hub on loopback: serves files by path, with its headers, redirects, refusals and cuts.

import {createHash} from "node:crypto";
import {type IncomingMessage, type Server, type ServerResponse, createServer} from "node:http";
import type {AddressInfo} from "node:net";

/** How a file is served. */
export interface HubFile {
    body: Buffer;
    /** The hash that the hub declares; the true one unless told otherwise. */
    sha256?: string;
    /** Answers with this status instead. */
    status?: number;
    /** Redirects there instead. */
    location?: string;
    /** Breaks the connection off after so many bytes. */
    cutAfter?: number;
    /** Sends so many bytes, then waits until the promise resolves. */
    waitAfter?: {bytes: number; until: Promise<void>};
}

export class HubDouble {
    readonly files = new Map<string, HubFile>();
    readonly requests: string[] = [];
    private readonly server: Server = createServer((request, response) => void this.answer(request, response));

    async start(): Promise<this> {
        await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
        return this;
    }

    get address(): string {
        return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    }

    stop(): void {
        this.server.closeAllConnections();
        this.server.close();
    }

    private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
        const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname);
        this.requests.push(path);
        const repo = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/main$/.exec(path)?.[1];
        if (repo !== undefined) {
            const files = [...this.files].filter(([name]) => name.startsWith(`/${repo}/resolve/main/`));
            const list = files.map(([name, {body}]) => ({type: "file", path: name.split("/main/")[1], size: body.length, lfs: {oid: createHash("sha256").update(body).digest("hex")}}));
            response.writeHead(200, {"content-type": "application/json"}).end(JSON.stringify(list));
            return;
        }
        const file = this.files.get(path);
        if (file === undefined || file.status !== undefined) {
            response.writeHead(file?.status ?? 404).end();
            return;
        }
        if (file.location !== undefined) {
            response.writeHead(302, {location: file.location}).end();
            return;
        }
        const sha256 = file.sha256 ?? createHash("sha256").update(file.body).digest("hex");
        response.writeHead(200, {"content-length": file.body.length, "x-linked-size": file.body.length, "x-linked-etag": `"${sha256}"`});
        if (file.cutAfter !== undefined) {
            response.write(file.body.subarray(0, file.cutAfter), () => response.destroy());
            return;
        }
        if (file.waitAfter !== undefined) {
            response.write(file.body.subarray(0, file.waitAfter.bytes));
            await file.waitAfter.until;
            response.end(file.body.subarray(file.waitAfter.bytes));
            return;
        }
        response.end(file.body);
    }
}
