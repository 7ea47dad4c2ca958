// A conversation against the contract: streamed, stopped, failed, asked again.
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { beforeEach, expect, test, vi } from "vitest";
import { LlmService, type ChatRequest } from "../gen/devstudio/llm/v1/llm_pb";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb";
import { overwriteGetLocale } from "../paraglide/runtime";

const server = vi.hoisted(() => ({ asked: [] as unknown[], fail: "", hold: null as Promise<void> | null }));
vi.mock("../api/transport", () => {
  const transport = createRouterTransport(({ service }) => {
    service(LlmService, {
      async *chat(request) {
        server.asked.push(request);
        if (server.fail) throw new ConnectError("no", Code.FailedPrecondition, {}, [{ desc: ErrorInfoSchema, value: { reason: server.fail, metadata: { model: "m" } } }]);
        yield { seq: 1n, delta: "one ", usage: { promptTokens: 9, completionTokens: 1 }, model: "tiny" };
        if (server.hold) await server.hold;
        yield { seq: 2n, delta: "two", usage: { promptTokens: 9, completionTokens: 2 }, model: "tiny" };
        yield { seq: 3n, text: "one two", finishReason: "stop", usage: { promptTokens: 9, completionTokens: 2, cachedTokens: 4 }, requestId: "r-9", timings: { totalMs: 120, tokensPerSecond: 16 }, model: "tiny" };
      },
    });
  });
  return { llm: createClient(LlmService, transport) };
});

const { ask, loadChat, regenerate, stopAnswer, useChat } = await import("./chat");
const messages = () => useChat.getState().threads[0]?.messages ?? [];

beforeEach(async () => {
  overwriteGetLocale(() => "en");
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 0));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  localStorage.clear();
  Object.assign(server, { asked: [], fail: "", hold: null });
  await loadChat("u1");
});

test("an answer ends with its text, its tokens and its request id", async () => {
  await ask("hello");
  expect(messages().at(-1)).toMatchObject({ text: "one two", state: "done", model: "tiny", cost: { prompt: 9, completion: 2, cached: 4, requestId: "r-9", totalMs: 120 } });
});

test("the conversation so far is sent along", async () => {
  await ask("first");
  await ask("second");
  expect((server.asked[1] as ChatRequest).messages.map((m) => m.content)).toEqual(["first", "one two", "second"]);
});

test("a failure stands in the thread and can be tried again", async () => {
  server.fail = "MODEL_NOT_LOADED";
  await ask("hello");
  expect(messages().at(-1)).toMatchObject({ state: "failed", fault: { title: "m is not loaded." } });
  server.fail = "";
  await regenerate(useChat.getState().activeId ?? "");
  expect(messages()).toHaveLength(2);
  expect(messages().at(-1)).toMatchObject({ state: "done", text: "one two" });
});

test("what came before a stop stays", async () => {
  server.hold = new Promise(() => undefined);
  const asking = ask("hello");
  await vi.waitFor(() => expect(messages().at(-1)?.text).toBe("one "));
  stopAnswer();
  await asking;
  expect(messages().at(-1)).toMatchObject({ state: "stopped", text: "one " });
});

test("conversations belong to the person", async () => {
  await ask("mine");
  await loadChat("u2");
  expect(useChat.getState().threads).toEqual([]);
});
