// Checks a request against the rules that the contract declares beside its fields, before the method runs.

import {type DescField, type DescMessage, type Message, ScalarType, getExtension, hasExtension} from "@bufbuild/protobuf";
import {type ReflectMessage, reflect} from "@bufbuild/protobuf/reflect";

import {Fault} from "./fault.js";
import {type FieldRule, Format, field as fieldOption} from "./gen/devstudio/options/v1/options_pb.js";

const rules = new Map<DescField, FieldRule | undefined>();

/** Throws SCHEMA_VIOLATION, with pointer and keyword, for the first field that breaks its rule. */
export function validate(schema: DescMessage, message: Message): void {
    checkMessage(reflect(schema, message), "");
}

function ruleOf(field: DescField): FieldRule | undefined {
    if (!rules.has(field)) {
        const options = field.proto.options;
        rules.set(field, options !== undefined && hasExtension(options, fieldOption) ? getExtension(options, fieldOption) : undefined);
    }
    return rules.get(field);
}

function checkMessage(message: ReflectMessage, path: string): void {
    for (const field of message.fields) {
        const rule = ruleOf(field);
        const pointer = `${path}/${field.jsonName}`;
        const isSet = message.isSet(field);
        if (!isSet) {
            if (rule?.required === true) throw Fault.violation(pointer, "required", "must be set");
            continue;
        }
        if (field.fieldKind === "list") {
            const list = message.get(field);
            if (rule?.maxItems !== undefined && list.size > rule.maxItems)
                throw Fault.violation(pointer, "maxItems", `has more than ${rule.maxItems} entries`);
            let index = 0;
            for (const item of list) {
                const at = `${pointer}/${index++}`;
                if (field.listKind === "message") checkMessage(item as ReflectMessage, at);
                else checkValue(item, rule, at);
            }
        } else if (field.fieldKind === "map") {
            const {size} = message.get(field);
            if (rule?.maxItems !== undefined && size > rule.maxItems)
                throw Fault.violation(pointer, "maxItems", `has more than ${rule.maxItems} entries`);
        } else if (field.fieldKind === "message") {
            checkMessage(message.get(field), pointer);
        } else {
            const value = message.get(field);
            if (field.fieldKind === "enum" && !field.enum.values.some((one) => one.number === value))
                throw Fault.violation(pointer, "enum", "is not one of the values");
            if (field.fieldKind === "scalar" && (field.scalar === ScalarType.FLOAT || field.scalar === ScalarType.DOUBLE) && !Number.isFinite(value))
                throw Fault.violation(pointer, "type", "must be a finite number");
            checkValue(value, rule, pointer);
        }
    }
}

function checkValue(value: unknown, rule: FieldRule | undefined, pointer: string): void {
    if (rule === undefined) return;
    if (typeof value === "string" || value instanceof Uint8Array) {
        const length = typeof value === "string" ? Buffer.byteLength(value) : value.length;
        if (rule.minLen !== undefined && length < rule.minLen) throw Fault.violation(pointer, "minLength", `is shorter than ${rule.minLen} bytes`);
        if (rule.maxLen !== undefined && length > rule.maxLen) throw Fault.violation(pointer, "maxLength", `is longer than ${rule.maxLen} bytes`);
        if (typeof value === "string" && value !== "" && !hasFormat(value, rule.format))
            throw Fault.violation(pointer, "format", `is not ${formatNames[rule.format]}`);
    } else if (typeof value === "number" || typeof value === "bigint") {
        if (rule.min !== undefined && value < rule.min) throw Fault.violation(pointer, "minimum", `is less than ${rule.min}`);
        if (rule.max !== undefined && value > rule.max) throw Fault.violation(pointer, "maximum", `is more than ${rule.max}`);
    }
}

const formatNames: Record<Format, string> = {
    [Format.UNSPECIFIED]: "a text",
    [Format.EMAIL]: "an e-mail address",
    [Format.UUID]: "a UUID",
    [Format.SHA256]: "a SHA-256 in hexadecimal",
    [Format.LINE]: "one line of text",
};

function hasFormat(value: string, format: Format): boolean {
    switch (format) {
        case Format.EMAIL:
            return /^[^\s@]+@(?:localhost|[^\s@]+\.[^\s@]+)$/.test(value);
        case Format.UUID:
            return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value);
        case Format.SHA256:
            return /^[0-9a-f]{64}$/.test(value);
        case Format.LINE:
            return !/\p{Cc}/u.test(value);
        default:
            return true;
    }
}
