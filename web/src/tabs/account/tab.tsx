// The account page: one's own usage, ledger and API keys.
import { useQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { explain } from "../../api/errors";
import { useSession } from "../../api/session";
import { BillingService, GroupBy } from "../../gen/devstudio/billing/v1/billing_pb";
import { compact, number, span } from "../../lib/format";
import { periodEnd, periodStart, timestampOf } from "../../lib/period";
import { m } from "../../paraglide/messages";
import { ApiKeys } from "../../ui/api-keys";
import { FaultLine } from "../../ui/fault";
import { Ledger } from "../../ui/ledger";
import { Card, Figure, Page } from "../../ui/page";
import { Meter } from "../../ui/tag";
import { UsageChart } from "../../ui/usage-chart";

export default function AccountPage() {
  const user = useSession((s) => s.user);
  const from = useMemo(() => periodStart("month"), []);
  const days = useQuery(BillingService.method.getUsage, { from: timestampOf(from), groupBy: GroupBy.DAY });
  const budget = useQuery(BillingService.method.getBudget, {}).data?.budgets[0];
  const total = days.data?.total;
  const limit = budget?.monthlyLimit === undefined ? null : budget.monthlyLimit + budget.granted;
  return (
    <div data-pane className="min-h-0 flex-1 overflow-y-auto">
      <Page title={user?.displayName || user?.email || m.account()} actions={user?.displayName ? <span className="text-sm text-fg-3">{user.email}</span> : null}>
        {days.error && !days.data && <FaultLine fault={explain(days.error)} />}
        <div className="grid grid-cols-2 gap-3 wide:grid-cols-4">
          <Figure name={m.tokens_this_month()} value={total ? number(total.promptTokens + total.completionTokens) : "–"} note={total ? m.of_which_prompt({ tokens: compact(Number(total.promptTokens)) }) : ""} />
          <Figure name={m.budget_left_name()} value={budget ? (limit === null ? m.budget_unbounded() : number(budget.remaining ?? 0n)) : "–"}>
            {budget && limit !== null && <Meter share={Number(budget.used) / Math.max(1, Number(limit))} label={m.budget_used()} className="mt-2" />}
          </Figure>
          <Figure name={m.requests()} value={total ? number(total.requests) : "–"} />
          <Figure name={m.inference_time()} value={total ? span(Number(total.totalMs)) : "–"} />
        </div>
        <UsageChart days={days.data?.groups ?? []} from={from} to={periodEnd()} />
        <Card title={m.keys()}><ApiKeys /></Card>
        <Ledger />
      </Page>
    </div>
  );
}
