// The one translator: from any failure to what happened, what it means and what to do, in the person's language.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb";
import { bytes, date, number, thisMonth } from "../lib/format";
import { m } from "../paraglide/messages";

/** A failure in words. */
export interface Fault {
  reason: string;
  status: number;
  title: string;
  meaning: string;
  action: string;
  requestId: string;
  traceId: string;
  retryAfterMs: number;
  details: Record<string, string>;
  fields: Record<string, string>;
}

/** Where the page notes the trace of a call that failed. */
export const TRACE_HEADER = "x-devstudio-page-trace";

interface Words { title: string; meaning?: string; action?: string }

/** The reason's name, such as "VERSION_CONFLICT"; empty where none came. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof StreamFault) return cause.reason;
  return ConnectError.from(cause).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** An error that came in its JSON form: over a WebSocket, or of an upload. */
export class StreamFault extends Error {
  constructor(readonly reason: string, message: string, readonly requestId: string, readonly status: number, readonly details: Record<string, string>) {
    super(message);
  }
}

/** An error as the edge's JSON has it. */
export interface EdgeError { message?: string; data?: { reason?: string; request_id?: string; http_status?: number; details?: Record<string, unknown> } }

/** Makes a fault of it; what it leaves out is taken from `otherwise`. */
export function faultOf({ message, data }: EdgeError, otherwise: { reason?: string; message?: string; requestId?: string; status?: number } = {}): StreamFault {
  const details = Object.fromEntries(Object.entries(data?.details ?? {}).map(([key, value]) => [key, String(value)]));
  return new StreamFault(data?.reason ?? otherwise.reason ?? "INTERNAL", message ?? otherwise.message ?? "", data?.request_id ?? otherwise.requestId ?? "", data?.http_status ?? otherwise.status ?? 500, details);
}

/** The token is not good any more; whoever was blocked meanwhile learns it from the refresh, which ends the session. */
export const isStale = (cause: unknown): boolean => ["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_MISSING", "USER_DISABLED"].includes(reasonOf(cause));

/** Puts a failure into words. */
export function explain(cause: unknown): Fault {
  if (cause instanceof StreamFault) {
    return say(cause.reason || "INTERNAL", cause.status, cause.requestId, "", Number(cause.details["retry_after_ms"] ?? 0), cause.details, {}, cause.message);
  }
  const error = ConnectError.from(cause);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retry = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const details = { ...info?.metadata };
  const retryAfterMs = retry ? Number(retry.seconds) * 1000 + Math.round(retry.nanos / 1e6) : Number(details["retry_after_ms"] ?? 0);
  const fields: Record<string, string> = {};
  for (const violation of error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? []) fields[violation.field.replace(/^\//, "").replaceAll("/", ".")] = violation.description;
  const requestId = (error.metadata.get("x-request-id") ?? details["request_id"] ?? "").split(",")[0] ?? "";
  return say(info?.reason ?? withoutReason(error), statusOf(error.code), requestId, error.metadata.get(TRACE_HEADER) ?? "", retryAfterMs, details, fields, error.rawMessage);
}

/** True when the person or the page itself stopped the call. */
export function wasCancelled(cause: unknown): boolean {
  return (cause instanceof DOMException && cause.name === "AbortError") || ConnectError.from(cause).code === Code.Canceled;
}

function say(reason: string, status: number, requestId: string, traceId: string, retryAfterMs: number, details: Record<string, string>, fields: Record<string, string>, raw: string): Fault {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const words: Words = wordsOf(reason, details, seconds, raw) ?? { title: m.err_internal_title(), meaning: raw, action: m.err_internal_action() };
  return { reason, status, title: words.title, meaning: words.meaning ?? "", action: words.action ?? "", requestId, traceId, retryAfterMs, details, fields };
}

function wordsOf(reason: string, d: Record<string, string>, seconds: number, raw: string): Words | undefined {
  switch (reason) {
    case "CREDENTIALS_INVALID": return { title: m.err_credentials() };
    case "USER_DISABLED": return { title: m.err_disabled_title(), action: m.err_ask_admin() };
    case "TOKEN_MISSING": case "TOKEN_INVALID": case "TOKEN_EXPIRED": case "KEY_REVOKED": case "TICKET_INVALID": return { title: m.err_session_title(), action: m.err_session_action() };
    case "ROLE_REQUIRED": return { title: m.err_role_title(), action: m.err_ask_admin() };
    case "PATH_FORBIDDEN": return { title: m.err_path_title({ path: d["path"] ?? "" }), meaning: m.err_nothing_written() };
    case "SYMLINK_FORBIDDEN": return { title: m.err_symlink_title(), meaning: m.err_nothing_written() };
    case "FILE_TOO_LARGE": return { title: m.err_size_title({ size: bytes(Number(d["size"] ?? 0)), limit: bytes(Number(d["limit"] ?? 524_288)) }), meaning: m.err_nothing_written() };
    case "BODY_TOO_LARGE": return { title: m.err_body_title(), action: m.err_body_action() };
    case "QUOTA_EXCEEDED": return { title: m.err_quota_title(), meaning: m.err_nothing_written(), action: m.err_quota_action() };
    case "DISK_FULL": return { title: m.err_disk_title(), meaning: m.err_nothing_written(), action: m.err_ask_admin() };
    case "VERSION_CONFLICT": return { title: m.err_version_title(), action: m.err_version_action() };
    case "LOCK_HELD": return { title: m.err_lock_title({ path: d["path"] ?? "", holder: d["owner_agent_id"] || m.lock_person() }), meaning: m.err_nothing_written(), action: m.err_lock_action() };
    case "STALE_FENCE": return { title: m.err_fence_title({ path: d["path"] ?? "" }), meaning: m.err_nothing_written() };
    case "HUNK_MISMATCH": return { title: m.err_hunk_title(), meaning: m.err_nothing_written(), action: m.err_version_action() };
    case "TYPE_MISMATCH": return { title: m.err_type_mismatch() };
    case "ARCHIVE_INVALID": return { title: m.archive_err_invalid(), meaning: m.err_nothing_written() };
    case "MODEL_NOT_LOADED": return { title: m.err_model_not_loaded_title({ model: d["model"] ?? m.the_model() }), meaning: m.err_costs_nothing(), action: m.err_model_action() };
    case "MODEL_UNKNOWN": return { title: m.err_model_unknown_title({ model: d["model"] ?? "" }), action: m.err_model_action() };
    case "MODEL_LOADING": return { title: m.err_model_loading_title(), meaning: m.err_costs_nothing(), action: m.err_wait_action({ seconds }) };
    case "MODEL_TOO_LARGE": return { title: m.err_model_large_title(), meaning: m.err_model_large_meaning() };
    case "QUANT_NOT_ALLOWED": return { title: m.err_quant_title() };
    case "TOKEN_BUDGET_EXCEEDED": return { title: d["scope"] === "key" ? m.err_budget_key_title() : m.err_budget_title({ month: thisMonth() }), meaning: m.err_budget_meaning({ used: number(Number(d["used"] ?? 0)), limit: number(Number(d["limit"] ?? 0)), resets: d["resets_at"] ? m.err_budget_resets({ date: date(Date.parse(d["resets_at"])) }) : "" }), action: m.err_budget_action() };
    case "RATE_LIMITED": return { title: m.err_rate_title(), action: m.err_wait_action({ seconds }) };
    case "QUEUE_FULL": return { title: m.err_queue_title(), meaning: m.err_costs_nothing(), action: m.err_wait_action({ seconds: Math.max(seconds, 3) }) };
    case "CONTEXT_OVERFLOW": return { title: m.err_context_title(), meaning: m.err_context_meaning({ prompt: number(Number(d["prompt_tokens"] ?? 0)), size: number(Number(d["context_size"] ?? 0)) }), action: m.err_context_action() };
    case "EXEC_TIMEOUT": return { title: m.err_timeout_title(), action: m.err_timeout_action() };
    case "KVM_UNAVAILABLE": return { title: m.err_kvm_title(), meaning: d["remedy"] ?? "", action: m.err_engine_action() };
    case "ENGINE_DISABLED": return { title: m.err_engine_title(), meaning: d["remedy"] ?? "", action: m.err_engine_action() };
    case "ISOLATION_UNAVAILABLE": return { title: m.err_isolation_title({ wanted: d["wanted"] ?? "", offered: d["offered"] ?? "" }), meaning: d["remedy"] ?? "", action: m.err_engine_action() };
    case "NOT_FOUND": return { title: m.err_not_found_title(), action: m.err_not_found_action() };
    case "ALREADY_EXISTS": return { title: m.err_exists_title(), action: m.err_exists_action() };
    case "STATE_CONFLICT": return { title: m.err_state_title(), meaning: raw };
    case "IDEMPOTENCY_CONFLICT": return { title: m.err_state_title() };
    case "PASSWORD_LENGTH": return { title: m.err_password_length() };
    case "SCHEMA_VIOLATION": return { title: m.err_schema_title(), meaning: raw };
    case "NOT_SUPPORTED": return { title: m.err_unsupported_title(), meaning: raw };
    case "UNKNOWN_METHOD": return { title: m.err_version_skew_title(), action: m.err_version_skew_action() };
    case "UPSTREAM_UNAVAILABLE": return { title: m.err_service_title({ service: serviceName(d["service"] ?? "") }), meaning: m.err_costs_nothing(), action: m.err_service_action() };
    case "DEADLINE": return { title: m.err_deadline_title(), action: m.err_service_action() };
    case "CANCELLED": return { title: m.err_cancelled_title() };
    case "UNREADABLE": return { title: m.err_unreadable_title(), action: m.err_unreadable_action() };
    case "UNREACHABLE": return { title: m.err_unreachable_title(), meaning: m.err_unreachable_meaning(), action: m.err_unreachable_action() };
    default: return undefined;
  }
}

function withoutReason(error: ConnectError): string {
  if (error.code === Code.Canceled) return "CANCELLED";
  if (error.code === Code.DeadlineExceeded) return "DEADLINE";
  if (error.code === Code.Unauthenticated) return "TOKEN_INVALID";
  if (error.code === Code.Unimplemented) return "UNKNOWN_METHOD";
  // What the browser says of a file or folder of the person's machine.
  if (error.cause instanceof DOMException && ["NotReadableError", "NotFoundError", "EncodingError"].includes(error.cause.name)) return "UNREADABLE";
  if (error.code === Code.Unavailable || (error.code === Code.Unknown && error.cause instanceof TypeError)) return "UNREACHABLE";
  return "INTERNAL";
}

const statuses: Partial<Record<Code, number>> = {
  [Code.Canceled]: 499, [Code.InvalidArgument]: 400, [Code.DeadlineExceeded]: 504, [Code.NotFound]: 404, [Code.AlreadyExists]: 409, [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429, [Code.FailedPrecondition]: 409, [Code.Aborted]: 409, [Code.Unimplemented]: 404, [Code.Unavailable]: 503, [Code.Unauthenticated]: 401,
};
const statusOf = (code: Code) => statuses[code] ?? 500;

function serviceName(service: string): string {
  const names: Record<string, string> = { auth: m.service_auth(), billing: m.service_billing(), sandbox: m.service_sandbox(), llm: m.service_llm(), edge: m.service_edge() };
  return names[service] ?? (service || m.service_any());
}
