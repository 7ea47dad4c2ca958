// The standard health service, grpc.health.v1: Check, and Watch that tells every change.

import {EventEmitter} from "node:events";

import {BinaryReader, BinaryWriter, WireType} from "@bufbuild/protobuf/wire";
import {type Server, type ServerUnaryCall, type ServerWritableStream, type ServiceDefinition, type sendUnaryData, status} from "@grpc/grpc-js";

/** What a service says of itself; the numbers are the standard's. */
export enum Serving {
    UNKNOWN = 0,
    SERVING = 1,
    NOT_SERVING = 2,
    SERVICE_UNKNOWN = 3,
}

/** Asks for a service by its full name; empty for the whole server. */
export interface HealthRequest {
    service: string;
}

/** What is told. */
export interface HealthResponse {
    status: Serving;
}

const serializeRequest = ({service}: HealthRequest): Buffer => Buffer.from(new BinaryWriter().tag(1, WireType.LengthDelimited).string(service).finish());
const serializeResponse = ({status}: HealthResponse): Buffer => Buffer.from(new BinaryWriter().tag(1, WireType.Varint).int32(status).finish());
const deserializeRequest = (bytes: Buffer): HealthRequest => ({service: readField(bytes, "", (reader) => reader.string())});
const deserializeResponse = (bytes: Buffer): HealthResponse => ({status: readField<Serving>(bytes, Serving.UNKNOWN, (reader) => reader.int32())});

function readField<T>(bytes: Buffer, fallback: T, read: (reader: BinaryReader) => T): T {
    const reader = new BinaryReader(bytes);
    let value = fallback;
    while (reader.pos < reader.len) {
        const [field, type] = reader.tag();
        if (field === 1) value = read(reader);
        else reader.skip(type);
    }
    return value;
}

const common = {requestStream: false, requestSerialize: serializeRequest, requestDeserialize: deserializeRequest, responseSerialize: serializeResponse, responseDeserialize: deserializeResponse};

/** The definition of grpc.health.v1.Health. */
export const healthDefinition = {
    check: {path: "/grpc.health.v1.Health/Check", responseStream: false, ...common},
    watch: {path: "/grpc.health.v1.Health/Watch", responseStream: true, ...common},
} satisfies ServiceDefinition;

/** Knows whether the service answers, and tells those who ask. It carries nothing secret, so it takes no token. */
export class Health {
    private serving = Serving.NOT_SERVING;
    private readonly changes = new EventEmitter().setMaxListeners(0);

    constructor(private readonly names: readonly string[]) {}

    /** Changes what is told. */
    set(serving: Serving): void {
        this.serving = serving;
        this.changes.emit("change");
    }

    /** Says that the service ends, and ends the watches. */
    close(): void {
        this.set(Serving.NOT_SERVING);
        this.changes.emit("close");
    }

    /** Adds the service to a server. */
    register(server: Server): void {
        server.addService(healthDefinition, {
            check: (call: ServerUnaryCall<HealthRequest, HealthResponse>, callback: sendUnaryData<HealthResponse>) => {
                const serving = this.of(call.request.service);
                if (serving === Serving.SERVICE_UNKNOWN) callback({code: status.NOT_FOUND, details: "there is no such service here"});
                else callback(null, {status: serving});
            },
            watch: (call: ServerWritableStream<HealthRequest, HealthResponse>) => {
                let told: Serving | undefined;
                const tell = () => {
                    const serving = this.of(call.request.service);
                    if (serving !== told) call.write({status: (told = serving)});
                };
                const end = () => call.end();
                this.changes.on("change", tell).once("close", end);
                call.on("cancelled", () => this.changes.off("change", tell).off("close", end));
                tell();
            },
        });
    }

    private of(service: string): Serving {
        return service === "" || this.names.includes(service) ? this.serving : Serving.SERVICE_UNKNOWN;
    }
}
