// A hub of models on this machine, as Hugging Face is one: it has the tiny model of llm-node's tests, and holds a
// download back at its half until told, so that a test can meet it under way.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const path = "/test/tiny-GGUF/resolve/main/tiny.gguf";

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
