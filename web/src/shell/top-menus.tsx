// What opens from the right of the top bar: the budgets, and the person's menu.
import { useQuery } from "@connectrpc/connect-query";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { KeyRound, Keyboard, LogOut, UserRound } from "lucide-react";
import { Popover } from "radix-ui";
import { useEffect } from "react";
import { signOut, useSession } from "../api/session";
import { BillingService, Scope, type Budget } from "../gen/devstudio/billing/v1/billing_pb";
import { onAnswerEnd } from "../lib/chat";
import { compact, date, number, percent } from "../lib/format";
import { languages, setLanguage, useLanguage, type Language } from "../lib/language";
import { go } from "../lib/nav";
import { setTheme, themes, useTheme, type Theme } from "../lib/theme";
import { m } from "../paraglide/messages";
import { cx } from "../ui/cx";
import { Menu, MenuChoice, MenuItem, MenuLine, MenuNote } from "../ui/menu";
import { Avatar, Meter } from "../ui/tag";

interface Props { compactly: boolean; onPassword: () => void; onShortcuts: () => void }

export default function TopMenus({ compactly, onPassword, onShortcuts }: Props) {
  return (
    <>
      <Ring compactly={compactly} />
      <PersonMenu onPassword={onPassword} onShortcuts={onShortcuts} />
    </>
  );
}

/** The ring: what is left of the month, with all budgets behind it. */
function Ring({ compactly }: { compactly: boolean }) {
  const budgets = useQuery(BillingService.method.getBudget, {}, { refetchInterval: 60_000 });
  const refetch = budgets.refetch;
  useEffect(() => onAnswerEnd(() => { setTimeout(() => void refetch(), 400); }), [refetch]);
  const first = budgets.data?.budgets[0];
  if (!first) return null;
  const share = usedShare(first);
  const left = first.remaining === undefined ? m.budget_unbounded() : number(first.remaining);
  return (
    <Popover.Root>
      <Popover.Trigger className="flex h-8 items-center gap-2 rounded-ctl px-2 text-sm text-fg-2 hover:bg-hover max-tab:h-10" aria-label={m.budget_ring({ left, share: percent(share) })}>
        <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden className={cx("-rotate-90", share >= 0.96 ? "text-err" : share >= 0.8 ? "text-warn" : "text-c1")}>
          <circle cx="9" cy="9" r="6.5" fill="none" strokeWidth="3" className="stroke-line-2" />
          <circle cx="9" cy="9" r="6.5" fill="none" strokeWidth="3" stroke="currentColor" pathLength="1" strokeDasharray={`${Math.min(1, share)} 1`} />
        </svg>
        {!compactly && (first.remaining === undefined ? <span>{left}</span> : <span className="nums"><span className="font-medium text-fg">{left}</span> {m.tokens_left()}</span>)}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content align="end" sideOffset={6} collisionPadding={8} className="enter z-50 flex w-76 flex-col gap-4 rounded-card bg-overlay p-4 shadow-over">
          {budgets.data?.budgets.map((budget) => <BudgetLine key={budget.subjectId} budget={budget} />)}
          <Popover.Close asChild><button type="button" onClick={() => go("/account")} className="self-start text-xs text-accent-text underline underline-offset-2">{m.budget_to_usage()}</button></Popover.Close>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function BudgetLine({ budget }: { budget: Budget }) {
  const limit = budget.monthlyLimit === undefined ? null : budget.monthlyLimit + budget.granted;
  return (
    <div>
      <div className="flex justify-between text-sm"><span className="text-fg">{budget.scope === Scope.KEY ? m.budget_key() : m.budget_person()}</span><span className="nums text-fg">{number(budget.used)}{limit !== null && ` / ${number(limit)}`}</span></div>
      {limit !== null && <Meter share={usedShare(budget)} label={m.budget_used()} className="my-1.5" />}
      <p className="text-xs text-fg-3">
        {limit === null ? m.budget_unbounded() : m.budget_left({ left: number(budget.remaining ?? 0n) })}
        {budget.granted > 0n && ` · ${m.budget_granted({ tokens: compact(Number(budget.granted)) })}`}
        {budget.resetsAt && ` · ${m.budget_resets({ date: date(timestampMs(budget.resetsAt)) })}`}
      </p>
    </div>
  );
}

function usedShare(budget: Budget): number {
  if (budget.monthlyLimit === undefined) return 0;
  const limit = Number(budget.monthlyLimit + budget.granted);
  return limit === 0 ? 1 : Number(budget.used + budget.reserved) / limit;
}

function PersonMenu({ onPassword, onShortcuts }: { onPassword: () => void; onShortcuts: () => void }) {
  const user = useSession((s) => s.user);
  const theme = useTheme((s) => s.theme);
  const language = useLanguage((s) => s.language);
  const name = user?.displayName || user?.email || "";
  return (
    <Menu
      label={m.person_menu()}
      trigger={<button type="button" aria-label={m.person_menu_of({ name })} className="flex size-8 items-center justify-center rounded-full max-tab:size-10"><Avatar name={name} /></button>}
    >
      <MenuNote><span className="block text-sm font-medium text-fg">{name}</span>{user?.email}</MenuNote>
      <MenuLine />
      <MenuItem icon={UserRound} onSelect={() => go("/account")}>{m.account_usage_keys()}</MenuItem>
      <MenuItem icon={KeyRound} onSelect={onPassword}>{m.password_change()}</MenuItem>
      <MenuItem icon={Keyboard} keys="?" onSelect={onShortcuts}>{m.shortcuts()}</MenuItem>
      <MenuLine />
      <MenuChoice label={m.theme()} value={theme} options={themes.map((t) => ({ value: t, label: t }))} onChange={(t) => setTheme(t as Theme)} />
      <MenuChoice label={m.language()} value={language} options={Object.entries(languages).map(([value, label]) => ({ value, label }))} onChange={(l) => setLanguage(l as Language)} />
      <MenuLine />
      <MenuItem icon={LogOut} onSelect={() => void signOut()}>{m.sign_out()}</MenuItem>
    </Menu>
  );
}
