// A hub of models on this machine, as Hugging Face is one: it has the tiny model of llm-node's tests, and holds a
// download back at its half until told, so that a test can meet it under way. Of one large model it only begins the
// file, slowly: for pictures of a download, which is then cancelled.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";

const path = "/test/tiny-GGUF/resolve/main/tiny.gguf";
const large = { repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", size: 1_117_320_736 };

/** A running hub. */
export interface Hub {
  /** From now on downloads stop at their half. */
  hold: () => void;
  /** Lets all of them go on. */
  release: () => void;
  close: () => Promise<void>;
}

/** Serves the hub at an address such as http://127.0.0.1:8099. */
export async function startHub(address: string): Promise<Hub> {
  const file = readFileSync(new URL("../../../llm-node/test/fixture/tiny.gguf", import.meta.url));
  const half = Math.floor(file.length / 2);
  const held = new Set<() => void>();
  let holds = false;
  const server = createServer((request, response) => {
    if (request.url?.startsWith(`/api/models/${large.repo}/`)) return void response.end(JSON.stringify([{ type: "file", path: large.file, size: large.size }]));
    if (request.url === `/${large.repo}/resolve/main/${large.file}`) return slowly(response);
    if (request.url !== path) return void response.writeHead(404).end();
    response.writeHead(200, { "content-length": file.length, "content-type": "application/octet-stream" });
    response.write(file.subarray(0, half));
    const rest = () => void response.end(file.subarray(half));
    if (holds) held.add(rest);
    else rest();
  });
  const { hostname, port } = new URL(address);
  server.listen(Number(port), hostname);
  await once(server, "listening");
  return {
    hold: () => { holds = true; },
    release: () => {
      holds = false;
      for (const rest of held) rest();
      held.clear();
    },
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

/** Ten mebibytes a second, until the other side goes. */
function slowly(response: ServerResponse): void {
  response.writeHead(200, { "content-length": large.size, "content-type": "application/octet-stream" });
  const piece = Buffer.alloc(1_048_576);
  const timer = setInterval(() => { if (!response.writableNeedDrain) response.write(piece); }, 100);
  response.on("close", () => clearInterval(timer));
}
