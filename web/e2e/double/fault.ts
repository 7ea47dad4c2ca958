// Errors as the server gives them.
import { randomUUID } from "node:crypto";
import { ConnectError, type Code } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";

export function fault(code: Code, reason: string, text: string, metadata: Record<string, string> = {}, retryMs = 0): ConnectError {
  const details: { desc: typeof ErrorInfoSchema | typeof RetryInfoSchema; value: object }[] = [{ desc: ErrorInfoSchema, value: { reason, domain: "devstudio", metadata } }];
  if (retryMs > 0) details.push({ desc: RetryInfoSchema, value: { retryDelay: { seconds: BigInt(Math.ceil(retryMs / 1000)), nanos: 0 } } });
  return new ConnectError(text, code, { "x-request-id": randomUUID() }, details as ConstructorParameters<typeof ConnectError>[3]);
}
