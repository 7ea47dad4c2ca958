// Usage of everybody: key figures, tokens per day, per person and per model, the ledger, CSV.
import { useQuery } from "@connectrpc/connect-query";
import { Download } from "lucide-react";
import { useMemo, useState } from "react";
import { explain } from "../../api/errors";
import { AuthService } from "../../gen/devstudio/auth/v1/auth_pb";
import { BillingService, GroupBy, type UsageSum } from "../../gen/devstudio/billing/v1/billing_pb";
import { compact, number, percent, span } from "../../lib/format";
import { periodEnd, periodStart, timestampOf, type Period } from "../../lib/period";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { saveText } from "../../ui/download";
import { FaultPane } from "../../ui/fault";
import { Ledger } from "../../ui/ledger";
import { Card, cellClass, Figure, Page, rowClass } from "../../ui/page";
import { Segmented } from "../../ui/segmented";
import { Avatar, Meter, Waiting } from "../../ui/tag";
import { UsageChart } from "../../ui/usage-chart";
import { csvOf } from "./csv";

const tokens = (sum: UsageSum) => sum.promptTokens + sum.completionTokens;

export default function UsagePage() {
  const [period, setPeriod] = useState<Period>("month");
  const from = useMemo(() => periodStart(period), [period]);
  const ask = { everyone: true, from: timestampOf(from) };
  const days = useQuery(BillingService.method.getUsage, { ...ask, groupBy: GroupBy.DAY });
  const byUser = useQuery(BillingService.method.getUsage, { ...ask, groupBy: GroupBy.USER });
  const byModel = useQuery(BillingService.method.getUsage, { ...ask, groupBy: GroupBy.MODEL });
  const users = useQuery(AuthService.method.listUsers, { pageSize: 200 });
  const names = new Map((users.data?.users ?? []).map((user) => [user.userId, user.displayName || user.email]));
  const total = days.data?.total;
  const save = () => saveText(`usage-${period}.csv`, csvOf(byUser.data?.groups ?? [], byModel.data?.groups ?? [], days.data?.groups ?? [], names), "text/csv");
  return (
    <Page
      title={m.usage()}
      actions={
        <>
          <Segmented label={m.period()} value={period} onChange={setPeriod} options={[{ value: "week", label: m.days_7() }, { value: "month", label: m.month() }, { value: "year", label: m.year() }]} />
          <Button icon={Download} disabled={!days.data} onClick={save}>CSV</Button>
        </>
      }
    >
      {days.error && !days.data ? <FaultPane fault={explain(days.error)} onRetry={() => void days.refetch()} /> : (
        <>
          <div className="grid grid-cols-2 gap-3 wide:grid-cols-4">
            <Figure name={m.tokens_in_period()} value={total ? number(tokens(total)) : "–"} note={total ? m.of_which_prompt({ tokens: compact(Number(total.promptTokens)) }) : ""} />
            <Figure name={m.requests()} value={total ? number(total.requests) : "–"} note={total && total.requests > 0n ? m.tokens_each({ tokens: number(Number(tokens(total)) / Number(total.requests)) }) : ""} />
            <Figure name={m.inference_time()} value={total ? span(Number(total.totalMs)) : "–"} note={total && total.requests > 0n ? m.per_answer({ time: span(Number(total.totalMs) / Number(total.requests)) }) : ""} />
            <Figure name={m.cached_share()} value={total && total.promptTokens > 0n ? percent(Number(total.cachedTokens) / Number(total.promptTokens)) : "–"} note={m.cached_note()} />
          </div>
          {days.isPending ? <Card><Waiting rows={5} label={m.loading()} /></Card> : <UsageChart days={days.data?.groups ?? []} from={from} to={periodEnd()} />}
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-4 wide:grid-cols-2">
            <Sums title={m.by_user()} first={m.user()} groups={byUser.data?.groups} pending={byUser.isPending} nameOf={(id) => names.get(id) ?? id.slice(0, 8)} avatar />
            <Sums title={m.by_model()} first={m.model()} groups={byModel.data?.groups} pending={byModel.isPending} nameOf={(id) => id} />
          </div>
          <Ledger everyone names={names} />
        </>
      )}
    </Page>
  );
}

type Column = "group" | "requests" | "tokens" | "time";

function Sums({ title, first, groups, pending, nameOf, avatar }: { title: string; first: string; groups: UsageSum[] | undefined; pending: boolean; nameOf: (id: string) => string; avatar?: boolean }) {
  const [sort, setSort] = useState<{ by: Column; down: boolean }>({ by: "tokens", down: true });
  const all = Number((groups ?? []).reduce((sum, group) => sum + tokens(group), 0n));
  const value = (group: UsageSum): number | string => (sort.by === "group" ? nameOf(group.group).toLowerCase() : Number(sort.by === "requests" ? group.requests : sort.by === "tokens" ? tokens(group) : group.totalMs));
  const rows = (groups ?? []).toSorted((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (sort.down ? -1 : 1));
  const head = (by: Column, label: string, right: boolean) => (
    <th scope="col" aria-sort={sort.by === by ? (sort.down ? "descending" : "ascending") : "none"} className={cx("px-3 first:pl-4 last:pr-4", right ? "text-right" : "w-full text-left")}>
      <button type="button" onClick={() => setSort({ by, down: sort.by === by ? !sort.down : by !== "group" })} className="label rounded-tag whitespace-nowrap hover:text-fg">{label}{sort.by === by ? (sort.down ? " ↓" : " ↑") : ""}</button>
    </th>
  );
  return (
    <Card title={title}>
      {pending ? <Waiting rows={3} label={m.loading()} /> : rows.length === 0 ? <p className="px-4 py-3 text-sm">{m.usage_none()}</p> : (
        <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={title}>
          <table className="w-full text-sm">
            <thead><tr className="h-8 border-b border-line">{head("group", first, false)}{head("requests", m.requests(), true)}{head("tokens", m.tokens(), true)}{head("time", m.inference_time(), true)}</tr></thead>
            <tbody>
              {rows.map((group) => (
                <tr key={group.group} className={rowClass}>
                  <td className={cx(cellClass, "max-w-0")}>
                    <div className="flex min-w-32 items-center gap-2.5">{avatar && <Avatar name={nameOf(group.group)} />}<div className="min-w-0 flex-1"><p className={cx("truncate text-fg", !avatar && "font-code text-xs")}>{nameOf(group.group)}</p><Meter tone="plain" share={all > 0 ? Number(tokens(group)) / all : 0} label={m.share_of_all()} className="mt-1 max-w-40" /></div></div>
                  </td>
                  <td className={cx(cellClass, "nums text-right")}>{number(group.requests)}</td>
                  <td className={cx(cellClass, "nums text-right text-fg")}>{number(tokens(group))}</td>
                  <td className={cx(cellClass, "nums text-right")}>{span(Number(group.totalMs))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}
