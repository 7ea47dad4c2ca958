// What the test double knows at its start: people, files, models, runs, usage, log lines.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ApiKeySchema, Role, UserSchema, type ApiKey, type User } from "../../src/gen/devstudio/auth/v1/auth_pb.ts";
import { Level, LogEntrySchema, type LogEntry } from "../../src/gen/devstudio/auth/v1/log_pb.ts";
import { Kind, UsageRowSchema, UsageStatus, type UsageRow } from "../../src/gen/devstudio/billing/v1/billing_pb.ts";
import { JobKind, JobSchema, JobState, ModelSchema, ModelState, type Job, type Model } from "../../src/gen/devstudio/llm/v1/llm_pb.ts";
import { RunSchema, type Run, type RunExecResponse } from "../../src/gen/devstudio/sandbox/v1/run_pb.ts";

export const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
const ago = (minutes: number) => timestampFromMs(Date.now() - minutes * 60_000);
const user = (n: number, displayName: string, email: string, role: Role, seen: number | null, blocked = false): User =>
  create(UserSchema, { userId: id(n), email, displayName, role, createdAt: ago(60_000), ...(seen === null ? {} : { lastLoginAt: ago(seen) }), ...(blocked ? { disabledAt: ago(5_000) } : {}) });

export const people = {
  password: new Map([["admin@devstudio.local", "correct horse"], ["dev@devstudio.local", "correct horse"]]),
  users: [
    user(1, "Marie Krause", "admin@devstudio.local", Role.ADMIN, 0),
    user(2, "Jonas Lenz", "dev@devstudio.local", Role.DEV, 6),
    user(3, "Aylin Demir", "aylin.demir@devstudio.local", Role.DEV, 1_440),
    user(4, "Piotr Nowak", "piotr.nowak@devstudio.local", Role.DEV, 5_760, true),
    user(5, "Sara Lindqvist", "sara.lindqvist@devstudio.local", Role.DEV, 120),
    user(6, "", "ci-pipeline@devstudio.local", Role.DEV, null),
  ],
  keys: [
    create(ApiKeySchema, { keyId: id(91), userId: id(1), name: "Notebook", prefix: "dsk_9f2a61c4", lastFour: "k7Qm", createdAt: ago(9_000), lastUsedAt: ago(4) }),
    create(ApiKeySchema, { keyId: id(92), userId: id(1), name: "CI", prefix: "dsk_1c08b2aa", lastFour: "p2Xd", createdAt: ago(20_000), revokedAt: ago(30) }),
    create(ApiKeySchema, { keyId: id(93), userId: id(2), name: "Laptop", prefix: "dsk_77aa01fe", lastFour: "Zz3k", createdAt: ago(900) }),
  ] as ApiKey[],
  limits: new Map<string, bigint | undefined>([[id(1), 1_000_000n], [id(2), 500_000n], [id(3), 500_000n], [id(4), 100_000n], [id(5), undefined], [id(6), 50_000n]]),
  granted: new Map<string, bigint>([[id(1), 50_000n]]),
};

export interface Content { text?: string; data?: Uint8Array }
export interface StoredFile extends Content { version: bigint; atMs: number; added?: number; removed?: number }
const text = (value: string): StoredFile => ({ text: value, version: 1n, atMs: Date.now() - 3_600_000 });
export const sampleFiles = (): Map<string, StoredFile> => new Map([
  ["src/primes.py", text(`"""Primes up to a bound."""\nfrom math import isqrt\n\n\ndef is_prime(n: int) -> bool:\n    """Tells whether n is prime."""\n    if n < 2:\n        return False\n    return all(n % d for d in range(2, isqrt(n) + 1))\n\n\nif __name__ == "__main__":\n    for n in range(1, 21):\n        print(f"{n:>3} {'prime' if is_prime(n) else '-'}")\n`)],
  ["src/words.js", text(`// Counts words on standard input.\nimport { readFileSync } from "node:fs";\n\nconst words = readFileSync(0, "utf8").split(/\\s+/).filter(Boolean);\nconsole.log(\`\${words.length} words\`);\n`)],
  ["src/lib/colors.py", text(`for code, name in ((31, "red"), (32, "green"), (33, "yellow"), (36, "cyan")):\n    print(f"\\x1b[{code}m{name}\\x1b[0m")\nprint("\\x1b[1mbold\\x1b[0m plain")\n`)],
  ["tests/test_primes.py", text(`from src.primes import is_prime\n\n\ndef test_small():\n    assert [n for n in range(10) if is_prime(n)] == [2, 3, 5, 7]\n`)],
  ["config.json", text(`{\n  "name": "primes",\n  "limit": 20,\n  "verbose": false\n}\n`)],
  ["README.md", text(`# Primes\n\nA small example: \`python src/primes.py\`.\n`)],
  ["add.wasm", { data: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]), version: 1n, atMs: Date.now() - 7_200_000 }],
]);

export const models: Model[] = [
  create(ModelSchema, { modelId: "smollm2-135m-instruct", name: "SmolLM2 135M Instruct", aliases: ["default"], state: ModelState.LOADED, source: "", sizeBytes: 98_362_432n, parameters: 134_515_008n, quant: "Q4_1", sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", contextSize: 2048, license: "Apache-2.0", isDefault: true, memoryBytes: 214_958_080n }),
  create(ModelSchema, { modelId: "qwen2.5-coder-1.5b", name: "Qwen2.5 Coder 1.5B", aliases: ["codellama"], state: ModelState.DOWNLOADED, source: "hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:Q4_K_M", sizeBytes: 1_117_320_736n, parameters: 1_543_714_304n, quant: "Q4_K_M", sha256: "8a3f0c1d2e4b5a6978897a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d", license: "Apache-2.0", memoryBytes: 1_589_137_408n, note: "Stands in for codellama, whose smallest size has 7 billion parameters." }),
  create(ModelSchema, { modelId: "hermes-3-3b", name: "Hermes 3 Llama 3.2 3B", aliases: ["nous-hermes"], state: ModelState.DOWNLOADING, source: "hf:NousResearch/Hermes-3-Llama-3.2-3B-GGUF:Q4_K_M", sizeBytes: 2_019_377_376n, parameters: 3_212_749_888n, quant: "Q4_K_M", jobId: id(701), memoryBytes: 2_900_000_000n }),
  create(ModelSchema, { modelId: "ministral-3b", name: "Ministral 3B", aliases: ["mistral-instruct"], state: ModelState.AVAILABLE, source: "hf:ministral/Ministral-3b-instruct-GGUF:Q4_K_M", sizeBytes: 2_080_000_000n, parameters: 3_300_000_000n, quant: "Q4_K_M", memoryBytes: 2_900_000_000n }),
  create(ModelSchema, { modelId: "all-minilm-l6-v2", name: "all-MiniLM-L6-v2", aliases: ["embed"], state: ModelState.LOADED, sizeBytes: 45_000_000n, parameters: 22_700_000n, quant: "F16", contextSize: 512, license: "Apache-2.0", embedding: true, memoryBytes: 60_000_000n }),
  create(ModelSchema, { modelId: "codellama-7b", name: "CodeLlama 7B", state: ModelState.AVAILABLE, source: "hf:TheBloke/CodeLlama-7B-Instruct-GGUF:Q4_K_M", sizeBytes: 4_081_004_224n, parameters: 6_738_546_688n, quant: "Q4_K_M", oversize: true }),
];
export const jobs: Job[] = [create(JobSchema, { jobId: id(701), kind: JobKind.DOWNLOAD, modelId: "hermes-3-3b", state: JobState.RUNNING, progress: 0.31, doneBytes: 626_000_000n, totalBytes: 2_019_377_376n, bytesPerSecond: 11_400_000n, startedAt: ago(1) })];

export const runs: { owner: string; run: Run; result?: RunExecResponse }[] = [];
export const newRun = (init: Parameters<typeof create<typeof RunSchema>>[1]): Run => create(RunSchema, init);

/** A month of use for everybody. */
export function sampleUsage(): UsageRow[] {
  const rows: UsageRow[] = [];
  let n = 5_000;
  const today = new Date();
  for (let day = 1; day <= today.getUTCDate(); day += 1) {
    for (let i = 0; i < 3 + ((day * 7) % 9); i += 1) {
      const weekend = [0, 6].includes(new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), day)).getUTCDay());
      const promptTokens = (weekend ? 120 : 900) + ((day * 131 + i * 17) % 700);
      const completionTokens = (weekend ? 60 : 420) + ((day * 53 + i * 29) % 500);
      rows.push(create(UsageRowSchema, {
        requestId: id(n++), userId: id([1, 1, 2, 2, 3, 5, 6][(day + i) % 7] ?? 1), modelId: i % 5 === 4 ? "qwen2.5-coder-1.5b" : "smollm2-135m-instruct", kind: i % 11 === 10 ? Kind.EMBEDDING : Kind.CHAT,
        promptTokens, completionTokens, cachedTokens: Math.floor(promptTokens * 0.6), status: i % 13 === 12 ? UsageStatus.CANCELLED : UsageStatus.OK,
        createdAt: timestampFromMs(Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), day, 7 + i, (i * 13) % 60)), ttftMs: 120, totalMs: completionTokens * 14,
      }));
    }
  }
  return rows.filter((row) => Number(row.createdAt?.seconds ?? 0n) * 1000 < Date.now());
}

let seq = 0n;
export function line(level: Level, service: string, message: string, fields: Record<string, string> = {}, traceId = "", atMs = Date.now()): LogEntry {
  seq += 1n;
  return create(LogEntrySchema, { seq, at: timestampFromMs(atMs), level, service, message, fields, traceId, userId: id(1) });
}

/** Some minutes of log. */
export function sampleLog(): LogEntry[] {
  const kinds: [Level, string, string][] = [
    [Level.INFO, "edge", "fs.write 200 4 ms"], [Level.DEBUG, "sandbox", "path checked: src/primes.py"], [Level.INFO, "sandbox", "stored src/primes.py, version 7"], [Level.INFO, "auth", "signed in: admin@devstudio.local"],
    [Level.INFO, "edge", "llm.chat 200 stream"], [Level.INFO, "billing", "reserved 1,242 tokens"], [Level.INFO, "llm", "answer done: 218 tokens, 38.4 tokens/s"], [Level.INFO, "billing", "settled 1,204 tokens, 38 returned"],
    [Level.WARN, "billing", "key dsk_9f2a nearly used up: 96 %"], [Level.INFO, "sandbox", "gVisor sandbox ready, python 3.11"], [Level.WARN, "sandbox", "program exited with 1: src/words.js"], [Level.INFO, "edge", "run.stream 200 1162 ms"],
    [Level.ERROR, "llm", "model not loaded: mistral-instruct"],
  ];
  const out: LogEntry[] = [];
  for (let i = 0; i < 420; i += 1) {
    const [level, service, message] = kinds[(i * 7 + (i >> 3)) % kinds.length] ?? kinds[0] ?? [Level.INFO, "edge", ""];
    if (level === Level.ERROR && i % 3 !== 0) continue;
    out.push(line(level, service, message, { request_id: id(8_000 + (i >> 2)), method: "llm.chat" }, ((i >> 2) * 2_654_435_761 % 4_294_967_296).toString(16).padStart(8, "0").repeat(4), Date.now() - (420 - i) * (900 + ((i * 37) % 700))));
  }
  return out;
}
