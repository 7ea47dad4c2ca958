// The one way to the server: gRPC-web with the person's token, a trace of its own for each call, and one retry after a refresh.
import { ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { LlmService } from "../gen/devstudio/llm/v1/llm_pb";
import { isStale, TRACE_HEADER } from "./errors";
import { refreshSession, useSession } from "./session";

const NEARLY_OVER_MS = 5_000;

const authorize: Interceptor = (next) => async (request) => {
  const session = useSession.getState();
  if (session.status === "in" && session.expiresAt - Date.now() < NEARLY_OVER_MS) await refreshSession();
  const token = useSession.getState().accessToken;
  if (token) request.header.set("authorization", `Bearer ${token}`);
  if (!request.header.has("traceparent")) request.header.set("traceparent", traceparent());
  try {
    return await next(request);
  } catch (cause) {
    const error = ConnectError.from(cause);
    error.metadata.set(TRACE_HEADER, request.header.get("traceparent")?.split("-")[1] ?? "");
    if (!isStale(error) || request.stream || !(await refreshSession())) throw error;
    request.header.set("authorization", `Bearer ${useSession.getState().accessToken}`);
    return next(request);
  }
};

export const transport = createGrpcWebTransport({ baseUrl: location.origin, useBinaryFormat: true, interceptors: [authorize], fetch: (input, init) => fetch(input, { ...init, credentials: "same-origin" }) });

export const llm = createClient(LlmService, transport);

/** A W3C trace context that begins here. */
export function traceparent(): string {
  const hex = (bytes: number) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
  return `00-${hex(16)}-${hex(8)}-01`;
}
