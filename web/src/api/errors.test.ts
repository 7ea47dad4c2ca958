// Failures become sentences: the reason decides the words, the request id comes along.
import { Code, ConnectError } from "@connectrpc/connect";
import { beforeEach, expect, test } from "vitest";
import { Reason, ReasonSchema } from "../gen/devstudio/errors/v1/reason_pb";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb";
import { overwriteGetLocale } from "../paraglide/runtime";
import { explain, reasonOf, StreamFault, wasCancelled } from "./errors";

beforeEach(() => overwriteGetLocale(() => "en"));

const failure = (code: Code, reason: string, metadata: Record<string, string> = {}) =>
  new ConnectError("raw", code, { "x-request-id": "r-1" }, [{ desc: ErrorInfoSchema, value: { reason, domain: "devstudio", metadata } }]);

test("a full budget names the month, what was used and what to do", () => {
  const fault = explain(failure(Code.ResourceExhausted, "TOKEN_BUDGET_EXCEEDED", { used: "500000", limit: "500000", scope: "user" }));
  expect(fault.title).toMatch(/budget is used up/);
  expect(fault.meaning).toContain("500,000 of 500,000");
  expect(fault.action).toBe("An admin can grant tokens.");
  expect(fault.requestId).toBe("r-1");
  expect(fault.status).toBe(429);
});

test("the same failure speaks German", () => {
  overwriteGetLocale(() => "de");
  expect(explain(failure(Code.FailedPrecondition, "MODEL_NOT_LOADED", { model: "mistral-instruct" })).title).toBe("mistral-instruct ist nicht geladen.");
});

test("a rate limit says how long to wait", () => {
  const error = new ConnectError("raw", Code.ResourceExhausted, {}, [
    { desc: ErrorInfoSchema, value: { reason: "RATE_LIMITED" } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 11n, nanos: 500_000_000 } } },
  ]);
  expect(explain(error).retryAfterMs).toBe(11_500);
  expect(explain(error).action).toBe("Go on in 12 s.");
});

test("violations go to their fields", () => {
  const error = new ConnectError("raw", Code.InvalidArgument, {}, [
    { desc: ErrorInfoSchema, value: { reason: "SCHEMA_VIOLATION" } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "/email", description: "not an address" }] } },
  ]);
  expect(explain(error).fields).toEqual({ email: "not an address" });
});

test("every reason of the contract has words of its own", () => {
  const fallback = explain(new ConnectError("raw", Code.Internal)).title;
  const silent = ReasonSchema.values
    .filter((value) => ![Reason.UNSPECIFIED, Reason.INTERNAL, Reason.PARSE_ERROR].includes(value.number))
    .map((value) => value.name.replace("REASON_", ""))
    .filter((reason) => explain(failure(Code.Internal, reason)).title === fallback);
  expect(silent).toEqual([]);
});

test("a lost connection is told from a fault of the server", () => {
  expect(explain(new ConnectError("fetch failed", Code.Unavailable)).reason).toBe("UNREACHABLE");
});

test("faults of the stream and of calls read alike", () => {
  const fault = new StreamFault("NOT_FOUND", "no such job", "r-2", 404, {});
  expect(reasonOf(fault)).toBe("NOT_FOUND");
  expect(explain(fault)).toMatchObject({ status: 404, requestId: "r-2", title: "This does not exist here." });
});

test("stopping is not a failure", () => {
  expect(wasCancelled(new DOMException("stop", "AbortError"))).toBe(true);
  expect(wasCancelled(new ConnectError("stop", Code.Canceled))).toBe(true);
  expect(wasCancelled(new ConnectError("no", Code.Internal))).toBe(false);
});

test("a file of the person's machine that cannot be read is no mistake of DevStudio", () => {
  const fault = explain(new DOMException("gone", "NotFoundError"));
  expect([fault.reason, fault.title]).toEqual(["UNREADABLE", "A file or folder could not be read."]);
});
