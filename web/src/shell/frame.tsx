// The frame of every tab: top bar, rail, status bar; on the phone a bar above and one below.
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { Keyboard, Languages, LogOut, MoonStar, Sun, TriangleAlert, UserRound } from "lucide-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { explain } from "../api/errors";
import { signOut, useSession } from "../api/session";
import { reconnectNow, useConnection } from "../api/stream";
import { Role } from "../gen/devstudio/auth/v1/auth_pb";
import { listenForKeys, useCommands, type Command } from "../lib/commands";
import { languages, setLanguage, useLanguage } from "../lib/language";
import { go } from "../lib/nav";
import { inPlace, usePlace } from "../lib/place";
import { useStatus } from "../lib/status";
import { setTheme, useTheme } from "../lib/theme";
import { loadWorkbench } from "../lib/workbench";
import { m } from "../paraglide/messages";
import { tabs, type Tab } from "../tabs";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { FaultPane } from "../ui/fault";
import { usePhone } from "../ui/media";
import { Waiting } from "../ui/tag";
import { useSecondsUntil } from "../ui/seconds";
import { TipLayer } from "../ui/tip";
import { TopBar } from "./top-bar";

const StatusBar = lazy(() => import("./status-bar"));
const Palette = lazy(() => import("./palette"));
const Shortcuts = lazy(() => import("./shortcuts"));
const ChangePassword = lazy(() => import("./password"));
const Toaster = lazy(() => import("sonner").then((module) => ({ default: module.Toaster })));

export function Frame() {
  const phone = usePhone();
  const theme = useTheme((s) => s.theme);
  const language = useLanguage((s) => s.language);
  const admin = useSession((s) => s.user?.role === Role.ADMIN);
  const object = useStatus((s) => s.object);
  const userId = useSession((s) => s.user?.userId ?? "");
  const place = usePlace();
  const [at, setAt] = useState<string | null>(null);
  const path = useRouterState({ select: (s) => s.location.pathname });
  const [open, setOpen] = useState<"palette" | "shortcuts" | "password" | null>(null);
  const shown = tabs.filter((tab) => !tab.admin || admin);
  const current = tabs.find((tab) => path.startsWith(`/${tab.id}`));
  const title = current?.label() ?? (path.startsWith("/account") ? m.account() : "DevStudio");
  const next = theme === "SerialSteel" ? "NeonCyberNight" : "SerialSteel";
  const other = language === "de" ? "en" : "de";

  useEffect(() => { void loadWorkbench(userId, place).then(() => setAt(place)); }, [userId, place]);
  useEffect(() => listenForKeys(), []);
  useEffect(() => { document.title = [object, title, "DevStudio"].filter(Boolean).join(" · "); }, [object, title]);
  useCommands("shell", [
    { id: "palette", title: m.palette_open(), group: "go", keys: "Mod+K", hidden: true, run: () => setOpen("palette") },
    ...shown.map((tab): Command => ({ id: `go-${tab.id}`, title: m.go_to({ tab: tab.label() }), group: "go", icon: tab.icon, keys: tab.keys, run: () => go(tab.home) })),
    { id: "account", title: m.account_open(), group: "go", icon: UserRound, run: () => go("/account") },
    { id: "theme", title: m.theme_switch({ theme: next }), group: "settings", icon: theme === "SerialSteel" ? MoonStar : Sun, run: () => setTheme(next) },
    { id: "language", title: m.language_switch({ language: languages[other] }), group: "settings", icon: Languages, run: () => setLanguage(other) },
    { id: "password", title: m.password_change(), group: "settings", icon: UserRound, run: () => setOpen("password") },
    { id: "shortcuts", title: m.shortcuts(), group: "settings", icon: Keyboard, keys: "?", run: () => setOpen("shortcuts") },
    { id: "sign-out", title: m.sign_out(), group: "settings", icon: LogOut, run: () => void signOut() },
    { id: "panes", title: m.next_pane(), group: "go", keys: "F6 / Shift+F6", hidden: true, run: walkPanes },
  ]);

  return (
    <div className="flex h-dvh flex-col bg-canvas">
      <h1 className="sr-only">{[title, object].filter(Boolean).join(": ")}</h1>
      <TopBar title={object || title} place={place} onSearch={() => setOpen("palette")} onPassword={() => setOpen("password")} onShortcuts={() => setOpen("shortcuts")} />
      <Lost />
      <div className="flex min-h-0 flex-1">
        {!phone && <Rail tabs={shown} current={current?.id} />}
        <main className="flex min-h-0 min-w-0 flex-1 flex-col bg-panel" tabIndex={-1}>{at === place && <Outlet />}</main>
      </div>
      {phone ? <PhoneBar tabs={shown} current={current?.id} /> : <Suspense fallback={<div className="h-6 shrink-0 border-t border-line bg-chrome" />}><StatusBar /></Suspense>}
      <TipLayer />
      <Suspense>
        {open === "palette" && <Palette onClose={() => setOpen(null)} />}
        {open === "shortcuts" && <Shortcuts onClose={() => setOpen(null)} />}
        {open === "password" && <ChangePassword onClose={() => setOpen(null)} />}
        <Toaster position="bottom-right" containerAriaLabel={m.notes()} theme={theme === "SerialSteel" ? "light" : "dark"} offset={36} toastOptions={{ className: "!rounded-card !border-line-2 !bg-overlay !text-fg !shadow-over !font-sans !text-sm" }} />
      </Suspense>
    </div>
  );
}

function Rail({ tabs: shown, current }: { tabs: Tab[]; current: string | undefined }) {
  return (
    <nav aria-label={m.tabs()} className="flex w-14 shrink-0 flex-col border-r border-line bg-chrome py-2">
      {shown.map((tab) => <RailLink key={tab.id} tab={tab} active={tab.id === current} />)}
    </nav>
  );
}

function RailLink({ tab, active }: { tab: Tab; active: boolean }) {
  const place = usePlace();
  const Icon = tab.icon;
  return (
    <Link to={tab.home} search={inPlace(place)} aria-current={active ? "page" : undefined} className={cx("relative mx-1.5 mb-1 flex h-12 flex-col items-center justify-center gap-0.5 rounded-ctl text-2xs transition-colors duration-90", active ? "bg-hover font-medium text-fg" : "text-fg-3 hover:text-fg", tab.foot && "mt-auto")}>
      {active && <span aria-hidden className="absolute top-2 bottom-2 -left-1.5 w-[3px] rounded-r-tag bg-signal shadow-live" />}
      <Icon size={19} strokeWidth={1.6} aria-hidden className={active ? "text-signal" : ""} />
      {tab.label()}
    </Link>
  );
}

function PhoneBar({ tabs: shown, current }: { tabs: Tab[]; current: string | undefined }) {
  const place = usePlace();
  return (
    <nav aria-label={m.tabs()} className="flex h-14 shrink-0 border-t border-line bg-chrome pb-[env(safe-area-inset-bottom)]">
      {shown.map((tab) => {
        const active = tab.id === current;
        const Icon = tab.icon;
        return (
          <Link key={tab.id} to={tab.home} search={inPlace(place)} data-inset aria-current={active ? "page" : undefined} className={cx("relative flex flex-1 flex-col items-center justify-center gap-0.5 text-2xs", active ? "font-medium text-fg" : "text-fg-3")}>
            {active && <span aria-hidden className="absolute top-0 h-[3px] w-9 bg-signal" />}
            <Icon size={19} strokeWidth={1.6} aria-hidden />
            {tab.label()}
          </Link>
        );
      })}
    </nav>
  );
}

/** The bar across the top while the server does not answer. */
function Lost() {
  const { state, retryAt, attempts } = useConnection();
  const seconds = useSecondsUntil(retryAt);
  if (state !== "lost" || attempts < 2) return null;
  return (
    <div role="status" className="flex min-h-10 shrink-0 items-center gap-2.5 border-b border-line bg-err-soft px-4 py-1 text-sm text-fg">
      <TriangleAlert size={16} aria-hidden className="shrink-0 text-err" />
      <p className="min-w-0 flex-1"><strong className="font-semibold text-err">{m.connection_lost()}</strong> {m.connection_retry({ seconds })} <span className="phone-hidden">{m.connection_meaning()}</span></p>
      <Button small onClick={reconnectNow}>{m.try_now()}</Button>
    </div>
  );
}

function walkPanes(): void {
  const panes = [...document.querySelectorAll<HTMLElement>("[data-pane]")].filter((pane) => pane.offsetParent !== null);
  const at = panes.findIndex((pane) => pane.contains(document.activeElement));
  const next = panes[(at + 1) % panes.length];
  const inside = next?.querySelector<HTMLElement>("textarea, input, [tabindex='0'], button, a");
  (inside ?? next)?.focus();
}

export const TabWaiting = () => <div className="flex-1 bg-panel pt-9"><Waiting rows={6} label={m.loading()} /></div>;

/** A tab that did not load, or that failed while it was drawn. */
export function TabFault({ error, reset }: { error: unknown; reset: () => void }) {
  const chunk = error instanceof TypeError && /import|module/i.test(error.message);
  return <FaultPane fault={{ ...explain(error), ...(chunk ? { title: m.err_version_skew_title(), meaning: "", action: m.err_version_skew_action() } : {}) }} onRetry={() => (chunk ? location.reload() : reset())} />;
}

export function NotFound() {
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-3 p-6">
      <p className="text-xl font-semibold text-fg">{m.page_unknown()}</p>
      <Button onClick={() => go("/code")}>{m.go_to({ tab: m.tab_code() })}</Button>
    </div>
  );
}
