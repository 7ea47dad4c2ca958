// From protobuf-es service descriptors to grpc-js: definitions, a typed client, addresses, back-pressure.

import {existsSync, mkdirSync, rmSync, statSync} from "node:fs";
import {dirname} from "node:path";

import {
    type DescMessage,
    type DescMethod,
    type DescMethodServerStreaming,
    type DescMethodUnary,
    type DescService,
    type Message,
    type MessageInitShape,
    type MessageShape,
    create,
    fromBinary,
    toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

/** Largest message that is taken or sent. */
export const maxMessageBytes = 4 * 1024 * 1024;

const channelOptions: grpc.ChannelOptions = {
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
};

/** The grpc-js definition of one method. */
export function methodDefinition(method: DescMethod): grpc.MethodDefinition<Message, Message> {
    const encode = (schema: DescMessage) => (message: Message) => Buffer.from(toBinary(schema, message));
    const decode = (schema: DescMessage) => (bytes: Buffer) => fromBinary(schema, bytes);
    return {
        path: `/${method.parent.typeName}/${method.name}`,
        requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
        responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
        requestSerialize: encode(method.input),
        requestDeserialize: decode(method.input),
        responseSerialize: encode(method.output),
        responseDeserialize: decode(method.output),
        originalName: method.localName,
    };
}

/** The grpc-js definition of a service. */
export function serviceDefinition(service: DescService): grpc.ServiceDefinition {
    return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** A server with this service's limits. */
export function newServer(): grpc.Server {
    return new grpc.Server(channelOptions);
}

/** Listens on unix:/path or [http://]host:port; answers the port, 0 for a socket file. */
export async function listen(server: grpc.Server, address: string): Promise<number> {
    const target = grpcTarget(address);
    if (target.startsWith("unix:")) {
        const path = target.slice("unix:".length);
        mkdirSync(dirname(path), {recursive: true, mode: 0o700});
        if (existsSync(path) && statSync(path).isSocket()) rmSync(path);
    }
    return new Promise((resolve, reject) => {
        server.bindAsync(target, grpc.ServerCredentials.createInsecure(), (error, port) => {
            if (error === null) resolve(target.startsWith("unix:") ? 0 : port);
            else reject(error);
        });
    });
}

function grpcTarget(address: string): string {
    return address.startsWith("unix:") ? address.replace(/^unix:\/\//, "unix:") : address.replace(/^https?:\/\//, "").replace(/\/+$/, "");
}

/** What a call carries along. */
export interface CallOptions {
    metadata?: grpc.Metadata;
    timeoutMs: number;
    signal?: AbortSignal;
}

/** A client of one service at one address, typed by the descriptors. */
export class Client {
    private readonly client: grpc.Client;

    constructor(address: string) {
        this.client = new grpc.Client(grpcTarget(address), grpc.credentials.createInsecure(), channelOptions);
    }

    /** Calls a unary method. Rejects with grpc-js's ServiceError. */
    unary<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>, request: MessageInitShape<I>, options: CallOptions): Promise<MessageShape<O>> {
        const {path, requestSerialize, responseDeserialize} = methodDefinition(method);
        const message: Message = create(method.input, request);
        return new Promise((resolve, reject) => {
            const call = this.client.makeUnaryRequest(
                path,
                requestSerialize,
                responseDeserialize,
                message,
                options.metadata ?? new grpc.Metadata(),
                {deadline: Date.now() + options.timeoutMs},
                (error, response) => {
                    options.signal?.removeEventListener("abort", cancel);
                    if (error !== null) reject(error);
                    else resolve(response as MessageShape<O>);
                },
            );
            const cancel = () => call.cancel();
            options.signal?.addEventListener("abort", cancel, {once: true});
        });
    }

    /** Calls a server-streaming method; breaking off the loop cancels it. */
    async *stream<I extends DescMessage, O extends DescMessage>(
        method: DescMethodServerStreaming<I, O>,
        request: MessageInitShape<I>,
        options: CallOptions,
    ): AsyncGenerator<MessageShape<O>> {
        const {path, requestSerialize, responseDeserialize} = methodDefinition(method);
        const message: Message = create(method.input, request);
        const deadline = {deadline: Date.now() + options.timeoutMs};
        const call = this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, options.metadata ?? new grpc.Metadata(), deadline);
        const cancel = () => call.cancel();
        options.signal?.addEventListener("abort", cancel, {once: true});
        try {
            for await (const response of call) yield response as MessageShape<O>;
        } finally {
            options.signal?.removeEventListener("abort", cancel);
            call.cancel();
        }
    }

    /** Closes the channel. */
    close(): void {
        this.client.close();
    }
}

/** Writes a message and waits while the caller reads slower than we write. */
export async function writeHeldBack(call: grpc.ServerWritableStream<Message, Message>, message: Message, signal: AbortSignal): Promise<void> {
    if (signal.aborted || call.write(message)) return;
    await new Promise<void>((resolve) => {
        const done = () => {
            call.off("drain", done);
            signal.removeEventListener("abort", done);
            resolve();
        };
        call.on("drain", done);
        signal.addEventListener("abort", done, {once: true});
    });
}
