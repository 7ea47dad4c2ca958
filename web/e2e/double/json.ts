// JSON as the edge writes it: enums without their prefix, in lower case but for words of state.
import { toJson, type DescMessage, type JsonValue, type MessageShape } from "@bufbuild/protobuf";

const enums = /^(LEVEL|JOB_STATE|JOB_KIND|TREE_EVENT_KIND|ENTRY_KIND|LOCK_SCOPE|LOCK_MODE|TERMINAL_STATE|RUN_STATUS|ISOLATION)_(\w+)$/;
const upper = new Set(["JOB_STATE", "TERMINAL_STATE", "RUN_STATUS"]);

export function edgeJson<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  const plain = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
    const [, kind = "", word = ""] = typeof value === "string" ? (enums.exec(value) ?? []) : [];
    return word === "" ? value : upper.has(kind) ? word : word.toLowerCase().replaceAll("_", "-");
  };
  return plain(toJson(schema, message, { alwaysEmitImplicit: true }));
}
