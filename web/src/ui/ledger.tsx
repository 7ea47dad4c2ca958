// Rows of the ledger: every request, its model and its tokens, newest first.
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useEffect } from "react";
import { explain } from "../api/errors";
import { BillingService, Kind, UsageStatus } from "../gen/devstudio/billing/v1/billing_pb";
import { onAnswerEnd } from "../lib/chat";
import { dateTime, number, span } from "../lib/format";
import { m } from "../paraglide/messages";
import { Button } from "./button";
import { cx } from "./cx";
import { FaultLine } from "./fault";
import { Card, cellClass, rowClass, Table } from "./page";
import { Tag, Waiting, type Tone } from "./tag";

/** The caller's rows, or everybody's. */
export function Ledger({ everyone = false, names }: { everyone?: boolean; names?: Map<string, string> }) {
  const rows = useInfiniteQuery(BillingService.method.listUsage, { everyone, pageSize: 25, pageToken: "" }, { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined, staleTime: 0 });
  const refetch = rows.refetch;
  useEffect(() => onAnswerEnd(() => { setTimeout(() => void refetch(), 400); }), [refetch]);
  const all = rows.data?.pages.flatMap((page) => page.rows) ?? [];
  return (
    <Card title={m.ledger()}>
      {rows.isPending && <Waiting rows={4} label={m.loading()} />}
      {rows.error && !rows.data && <div className="p-3"><FaultLine fault={explain(rows.error)}><Button small onClick={() => void rows.refetch()}>{m.try_again()}</Button></FaultLine></div>}
      {rows.data && all.length === 0 && <p className="px-4 py-3 text-sm">{m.ledger_none()}</p>}
      {all.length > 0 && (
        <Table label={m.ledger()} head={[{ name: m.time() }, ...(everyone ? [{ name: m.user() }] : []), { name: m.model(), wide: true }, { name: m.kind() }, { name: "Prompt", right: true }, { name: m.answer(), right: true }, { name: m.cached(), right: true }, { name: m.duration(), right: true }, { name: m.state() }, { name: m.request() }]}>
          {all.map((row) => {
            const [tone, word] = statusOf(row.status);
            return (
              <tr key={row.requestId} className={rowClass}>
                <td className={cx(cellClass, "nums text-fg-3")}>{row.createdAt && dateTime(timestampMs(row.createdAt))}</td>
                {everyone && <td className={cellClass}>{names?.get(row.userId) ?? row.userId.slice(0, 8)}</td>}
                <td className={cx(cellClass, "font-code text-xs text-fg")}>{row.modelId}</td>
                <td className={cellClass}>{kindName(row.kind)}</td>
                <td className={cx(cellClass, "nums text-right text-fg")}>{number(row.promptTokens)}</td>
                <td className={cx(cellClass, "nums text-right text-fg")}>{number(row.completionTokens)}</td>
                <td className={cx(cellClass, "nums text-right")}>{number(row.cachedTokens)}</td>
                <td className={cx(cellClass, "nums text-right")}>{span(row.totalMs)}</td>
                <td className={cellClass}><Tag tone={tone}>{word}</Tag></td>
                <td className={cx(cellClass, "font-code text-2xs text-fg-3")} title={row.requestId}>…{row.requestId.slice(-8)}</td>
              </tr>
            );
          })}
        </Table>
      )}
      {rows.hasNextPage && <div className="border-t border-line p-3"><Button small busy={rows.isFetchingNextPage} onClick={() => void rows.fetchNextPage()}>{m.more()}</Button></div>}
    </Card>
  );
}

function kindName(kind: Kind): string {
  if (kind === Kind.CHAT) return "Chat";
  if (kind === Kind.EMBEDDING) return "Embedding";
  if (kind === Kind.DECIDE) return m.kind_decide();
  return kind === Kind.COMPLETION ? m.kind_completion() : "–";
}

function statusOf(status: UsageStatus): [Tone, string] {
  switch (status) {
    case UsageStatus.OK: return ["ok", "ok"];
    case UsageStatus.CANCELLED: return ["plain", m.run_cancelled()];
    case UsageStatus.FAILED: return ["err", m.run_failed()];
    case UsageStatus.BUDGET: return ["warn", m.usage_budget_end()];
    case UsageStatus.SWEPT: return ["warn", m.usage_swept()];
    default: return ["plain", "–"];
  }
}
