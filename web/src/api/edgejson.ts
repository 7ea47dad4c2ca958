// Changes messages between protobuf-es and the edge's JSON: enums there are lower-case with hyphens and have no prefix.
import { create, fromJson, type DescEnum, type DescMessage, type JsonObject, type JsonValue, type MessageShape } from "@bufbuild/protobuf";

/** Reads a message from the edge's JSON; what is unknown is left out. */
export function readEdgeJson<D extends DescMessage>(schema: D, json: unknown): MessageShape<D> {
  if (typeof json !== "object" || json === null) return create(schema);
  return fromJson(schema, withEnumNames(schema, json as JsonObject), { ignoreUnknownFields: true });
}

/** The spelling of an enum value in the edge's JSON, such as "hardware-vm" for ISOLATION_HARDWARE_VM. */
export function edgeEnum(desc: DescEnum, value: number): string {
  const name = desc.value[value]?.name ?? "";
  const prefix = desc.sharedPrefix?.toUpperCase() ?? "";
  return name.slice(name.startsWith(prefix) ? prefix.length : 0).toLowerCase().replaceAll("_", "-");
}

function withEnumNames(schema: DescMessage, json: JsonObject): JsonObject {
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    const field = schema.fields.find((f) => f.jsonName === key || f.name === key);
    out[key] = field === undefined ? value : fieldValue(field, value);
  }
  return out;
}

function fieldValue(field: DescMessage["fields"][number], value: JsonValue): JsonValue {
  const descEnum = field.fieldKind === "enum" || field.fieldKind === "list" ? field.enum : undefined;
  if (descEnum) return Array.isArray(value) ? value.map((v) => enumName(descEnum, v)) : enumName(descEnum, value);
  const message = field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
  if (!message || message.typeName.startsWith("google.protobuf.")) return value;
  const each = (v: JsonValue) => (typeof v === "object" && v !== null && !Array.isArray(v) ? withEnumNames(message, v) : v);
  return Array.isArray(value) ? value.map(each) : each(value);
}

function enumName(desc: DescEnum, value: JsonValue): JsonValue {
  if (typeof value !== "string") return value;
  const bare = value.toUpperCase().replaceAll("-", "_");
  const prefix = desc.sharedPrefix?.toUpperCase() ?? "";
  return bare.startsWith(prefix) && prefix !== "" ? bare : prefix + bare;
}
