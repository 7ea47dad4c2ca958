// Users: the list, the search, adding, and at the right the chosen person.
import { useInfiniteQuery, useQuery } from "@connectrpc/connect-query";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { UserPlus } from "lucide-react";
import { useMemo, useState } from "react";
import { explain } from "../../api/errors";
import { AuthService, Role, type User } from "../../gen/devstudio/auth/v1/auth_pb";
import { BillingService, GroupBy } from "../../gen/devstudio/billing/v1/billing_pb";
import { ago, number } from "../../lib/format";
import { periodStart, timestampOf } from "../../lib/period";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog, DialogBody } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { SearchInput } from "../../ui/field";
import { useNarrow } from "../../ui/media";
import { Card, cellClass, Page, rowClass, Table } from "../../ui/page";
import { Avatar, Empty, Tag, Waiting } from "../../ui/tag";
import { AddUser } from "./add-user";
import { Person } from "./person";

export default function UsersPage() {
  const narrow = useNarrow();
  const [query, setQuery] = useState("");
  const [chosenId, setChosenId] = useState("");
  const [adding, setAdding] = useState(false);
  const users = useInfiniteQuery(AuthService.method.listUsers, { query: query.trim(), pageSize: 50, pageToken: "" }, { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined, placeholderData: (before) => before });
  const all = users.data?.pages.flatMap((page) => page.users) ?? [];
  const total = users.data?.pages[0]?.total ?? 0;
  const chosen = all.find((user) => user.userId === chosenId);
  const from = useMemo(() => timestampOf(periodStart("month")), []);
  const usage = useQuery(BillingService.method.getUsage, { everyone: true, from, groupBy: GroupBy.USER });
  const used = new Map(usage.data?.groups.map((sum) => [sum.group, sum.promptTokens + sum.completionTokens]));
  return (
    <Page
      title={m.users()}
      actions={
        <>
          <SearchInput label={m.users_search()} value={query} maxLength={200} onChange={(event) => setQuery(event.target.value)} className="w-64 max-tab:order-1 max-tab:w-full" />
          <Button tone="primary" icon={UserPlus} onClick={() => setAdding(true)}>{m.user_add()}</Button>
        </>
      }
    >
      <div className={cx("grid grid-cols-[minmax(0,1fr)] items-start gap-4", chosen && !narrow && "grid-cols-[minmax(0,1fr)_336px]")}>
        <Card>
          {users.isPending ? <Waiting rows={4} height={56} label={m.loading()} />
          : users.error && !users.data ? <FaultPane fault={explain(users.error)} onRetry={() => void users.refetch()} />
          : all.length === 0 ? <Empty title={m.users_none({ query })}><Button onClick={() => setQuery("")}>{m.search_clear()}</Button></Empty>
          : (
            <>
              <div className="max-tab:hidden">
                <Table label={m.users()} head={[{ name: m.user(), wide: true }, { name: m.role() }, { name: m.state() }, { name: m.tokens_this_month(), right: true }, { name: m.last_sign_in(), right: true }]}>
                  {all.map((user) => (
                    <tr key={user.userId} className={cx(rowClass, "h-14", user === chosen && "bg-selected! shadow-[inset_2px_0_0_var(--signal)]")}>
                      <td className={cx(cellClass, "max-w-0")}><PersonButton user={user} chosen={user === chosen} onChoose={() => setChosenId(user.userId)} /></td>
                      <td className={cx(cellClass, "font-code text-xs")}>{user.role === Role.ADMIN ? "admin" : "dev"}</td>
                      <td className={cellClass}><StateTag user={user} /></td>
                      <td className={cx(cellClass, "nums text-right text-fg")}>{usage.data ? number(used.get(user.userId) ?? 0n) : "–"}</td>
                      <td className={cx(cellClass, "nums text-right text-fg-3")}>{user.lastLoginAt ? ago(timestampMs(user.lastLoginAt)) : m.never()}</td>
                    </tr>
                  ))}
                </Table>
              </div>
              <ul className="tab:hidden">
                {all.map((user) => <li key={user.userId} className="flex min-h-14 items-center gap-2 border-b border-line px-3 py-2 last:border-b-0"><div className="min-w-0 flex-1"><PersonButton user={user} chosen={user === chosen} onChoose={() => setChosenId(user.userId)} /></div><StateTag user={user} /></li>)}
              </ul>
              <div className="flex items-center gap-3 border-t border-line px-4 py-2 text-xs text-fg-3 max-tab:px-3">{m.users_shown({ shown: all.length, total })}{users.hasNextPage && <Button small busy={users.isFetchingNextPage} onClick={() => void users.fetchNextPage()}>{m.more()}</Button>}</div>
            </>
          )}
        </Card>
        {chosen && !narrow && <Card><Person key={chosen.userId} user={chosen} onClose={() => setChosenId("")} /></Card>}
      </div>
      {chosen && narrow && <Dialog open onClose={() => setChosenId("")} title={chosen.displayName || chosen.email} wide><DialogBody className="!px-0"><Person key={chosen.userId} user={chosen} /></DialogBody></Dialog>}
      {adding && <AddUser onClose={() => setAdding(false)} onAdded={(user) => { setQuery(""); setChosenId(user.userId); }} />}
    </Page>
  );
}

function PersonButton({ user, chosen, onChoose }: { user: User; chosen: boolean; onChoose: () => void }) {
  return (
    <button type="button" aria-pressed={chosen} onClick={onChoose} className="flex w-full min-w-44 items-center gap-3 rounded-ctl text-left">
      <Avatar name={user.displayName || user.email} />
      <span className="min-w-0"><span className="block truncate font-medium text-fg">{user.displayName || user.email}</span>{user.displayName && <span className="block truncate text-xs text-fg-3">{user.email}</span>}</span>
    </button>
  );
}

const StateTag = ({ user }: { user: User }) => (user.disabledAt ? <Tag tone="err">{m.user_blocked()}</Tag> : <Tag tone="ok" dot>{m.user_active()}</Tag>);
