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

type Field = DescMessage["fields"][number];
const translated = new Map<DescMessage, Map<string, Field>>();

/** The fields of a message that have an enum somewhere in them, by both their names; the others are taken as they are. */
function fieldsOf(schema: DescMessage): Map<string, Field> {
  const known = translated.get(schema);
  if (known) return known;
  const found = new Map<string, Field>();
  // Set before its fields are looked into, so that a message within itself ends.
  translated.set(schema, found);
  for (const field of schema.fields) {
    const inner = (field.fieldKind === "message" || field.fieldKind === "list") && field.message ? field.message : undefined;
    const wanted = inner ? !inner.typeName.startsWith("google.protobuf.") && (inner === schema || fieldsOf(inner).size > 0) : (field.fieldKind === "enum" || field.fieldKind === "list") && field.enum !== undefined;
    if (wanted) found.set(field.jsonName, field).set(field.name, field);
  }
  return found;
}

function withEnumNames(schema: DescMessage, json: JsonObject): JsonObject {
  const out: JsonObject = { ...json };
  for (const [key, field] of fieldsOf(schema)) {
    const value = json[key];
    if (value !== undefined) out[key] = fieldValue(field, value);
  }
  return out;
}

function fieldValue(field: Field, value: JsonValue): JsonValue {
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
