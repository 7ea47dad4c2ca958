// What every call goes through before its method: tokens, access rule, field rules; and after it: status, span, count.

import {randomUUID} from "node:crypto";

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
    getExtension,
    hasExtension,
} from "@bufbuild/protobuf";
import {type Metadata, type ServerUnaryCall, type ServerWritableStream, type UntypedServiceImplementation, type sendUnaryData, status} from "@grpc/grpc-js";

import {Fault} from "./fault.js";
import {Access, method as methodOption} from "./gen/devstudio/options/v1/options_pb.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";
import {writeHeldBack} from "./grpc.js";
import type {Identity, Keys} from "./identity.js";
import type {Log, Owner} from "./logs.js";
import type {Metrics} from "./metrics.js";
import {type Telemetry, type Trace, traceparentKey} from "./telemetry.js";
import {validate} from "./validate.js";

/** One call, as its method sees it. */
export interface Call {
    /** Of the identity; the id of the reservation and of the ledger row. */
    requestId: string;
    identity: Identity;
    /** Aborts when the caller goes, or its deadline passes. */
    signal: AbortSignal;
    trace: Trace;
    /** Whose log entry it is. */
    owner: Owner;
    /** Set by the method once it knows: the model that the call is counted under. */
    model?: string;
    /** Set by the method where more is known than the status code. */
    outcome?: string;
}

/** The methods of a service. */
export type Methods<S extends DescService> = {
    [M in keyof S["method"]]: S["method"][M] extends DescMethodUnary<infer I, infer O>
        ? (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>
        : S["method"][M] extends DescMethodServerStreaming<infer I, infer O>
          ? (request: MessageShape<I>, call: Call, send: (message: MessageInitShape<O>) => Promise<void>) => Promise<void>
          : never;
};

/** What the guard needs. */
export interface Guard {
    keys: Keys;
    log: Log;
    metrics: Metrics;
    telemetry: Telemetry;
}

type Surface = ServerUnaryCall<Message, Message> | ServerWritableStream<Message, Message>;
type Handler = (request: Message, call: Call, send: (message: MessageInitShape<DescMessage>) => Promise<void>) => Promise<MessageInitShape<DescMessage> | undefined>;

/** Makes grpc-js's handlers of a service's methods. Throws at start where a method has no access rule. */
export function guarded<S extends DescService>(service: S, methods: Methods<S>, guard: Guard): UntypedServiceImplementation {
    const handlers = methods as unknown as Record<string, Handler>;
    return Object.fromEntries(
        service.methods.map((method) => {
            const access = accessOf(method);
            const handler = handlers[method.localName];
            if (handler === undefined) throw new Error(`${method.toString()} is not served`);
            const run = (call: Surface, request: Message, send: (message: Message) => Promise<void>) => serve({method, access, handler, guard}, call, request, send);
            const unary = (call: ServerUnaryCall<Message, Message>, callback: sendUnaryData<Message>) => {
                let answer: Message | undefined;
                void run(call, call.request, (message) => {
                    answer = message;
                    return Promise.resolve();
                }).then((failure) => callback(failure ?? null, answer));
            };
            const stream = (call: ServerWritableStream<Message, Message>) => {
                const gone = new AbortController();
                call.on("cancelled", () => gone.abort());
                void run(call, call.request, (message) => writeHeldBack(call, message, gone.signal)).then((failure) => {
                    if (failure === undefined) call.end();
                    else call.emit("error", failure);
                });
            };
            return [method.localName, method.methodKind === "server_streaming" ? stream : unary];
        }),
    );
}

interface Served {
    method: DescMethod;
    access: Access;
    handler: Handler;
    guard: Guard;
}

async function serve(
    {method, access, handler, guard}: Served,
    surface: Surface,
    request: Message,
    send: (message: Message) => Promise<void>,
): Promise<ReturnType<Fault["toStatus"]> | undefined> {
    const began = performance.now();
    const {metadata} = surface;
    const trace = guard.telemetry.begin(`${method.parent.typeName}/${method.name}`, text(metadata, traceparentKey));
    const abort = new AbortController();
    surface.on("cancelled", () => abort.abort());
    if (surface.cancelled) abort.abort();
    let requestId = text(metadata, "x-request-id") ?? "";
    let call: Call | undefined;
    let code: status = status.OK;
    try {
        await guard.keys.caller(metadata);
        const identity = access === Access.DEV || access === Access.ADMIN ? await guard.keys.identity(metadata) : nobody();
        if (access === Access.ADMIN && identity.role !== "admin") throw new Fault(Reason.ROLE_REQUIRED, "this is for admins").with("role", "admin");
        ({requestId} = identity);
        validate(method.input, request);
        call = {requestId, identity, signal: abort.signal, trace, owner: {userId: identity.userId, traceId: trace.traceId}};
        const answer = await handler(request, call, (message) => send(create(method.output, message)));
        if (answer !== undefined) await send(create(method.output, answer));
        return undefined;
    } catch (error) {
        const fault = abort.signal.aborted ? gone(surface, error) : Fault.of(error);
        if (fault.reason === Reason.INTERNAL) guard.log.error("a call failed", fault.cause ?? fault, {method: method.name, request_id: requestId, trace_id: trace.traceId});
        code = fault.code;
        return fault.toStatus(requestId);
    } finally {
        if (call?.model !== undefined) {
            const outcome = call.outcome ?? status[code].toLowerCase();
            guard.metrics.requests.inc({model: call.model, method: method.name, status: outcome});
            guard.metrics.requestSeconds.observe((performance.now() - began) / 1000);
        }
        trace.set({"rpc.system": "grpc", "rpc.service": method.parent.typeName, "rpc.method": method.name, "rpc.grpc.status_code": code, "request.id": requestId, latency: Math.round(performance.now() - began)});
        trace.end(code === status.OK ? undefined : status[code]);
    }
}

function accessOf(method: DescMethod): Access {
    const options = method.proto.options;
    const access = options !== undefined && hasExtension(options, methodOption) ? getExtension(options, methodOption).access : Access.UNSPECIFIED;
    if (access === Access.UNSPECIFIED) throw new Error(`${method.toString()} has no access rule`);
    return access;
}

function nobody(): Identity {
    return {userId: "", role: "", keyId: undefined, requestId: randomUUID(), token: ""};
}

function gone(surface: Surface, error: unknown): Fault {
    const deadline = surface.getDeadline();
    const isLate = new Date(deadline).getTime() <= Date.now();
    return isLate ? new Fault(Reason.DEADLINE, "the deadline has passed", {cause: error}) : new Fault(Reason.CANCELLED, "the caller has gone", {cause: error});
}

function text(metadata: Metadata, key: string): string | undefined {
    const value = metadata.get(key)[0];
    return typeof value === "string" && value !== "" ? value : undefined;
}
