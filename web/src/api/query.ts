// The cache of server data, and how to say that something in it is no longer true.
import { createConnectQueryKey } from "@connectrpc/connect-query";
import { Code, ConnectError } from "@connectrpc/connect";
import { QueryClient } from "@tanstack/react-query";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: { staleTime: 5_000, retry: (count, error) => count < 2 && [Code.Unavailable, Code.Unknown].includes(ConnectError.from(error).code), retryDelay: (count) => 400 * 2 ** count },
  },
});

/** Has everything fetched again that these methods answered. */
export function refetch(...methods: DescMethodUnary<DescMessage, DescMessage>[]): void {
  for (const schema of methods) {
    void queryClient.invalidateQueries({ queryKey: createConnectQueryKey({ schema, cardinality: "finite" }) });
    void queryClient.invalidateQueries({ queryKey: createConnectQueryKey({ schema, cardinality: "infinite" }) });
  }
}

/** Changes an answer that is known, until it is asked for again. One that is under way is dropped: it would bring back the old state. */
export async function amend<I extends DescMessage, O extends DescMessage>(schema: DescMethodUnary<I, O>, input: MessageInitShape<I>, change: (known: MessageShape<O>) => MessageShape<O>): Promise<void> {
  const filter = { queryKey: createConnectQueryKey({ schema, input, cardinality: "finite" }) };
  await queryClient.cancelQueries(filter);
  queryClient.setQueriesData<MessageShape<O>>(filter, (known) => known && change(known));
}
