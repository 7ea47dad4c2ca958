// The Admin tab: models, agents, users, usage.
import { Link, useParams } from "@tanstack/react-router";
import { BarChart3, Bot, Hammer, Users, type LucideIcon } from "lucide-react";
import { lazy, Suspense, useEffect, type ComponentType } from "react";
import { useCommands } from "../../lib/commands";
import { go } from "../../lib/nav";
import { here, inPlace } from "../../lib/place";
import { useStatus } from "../../lib/status";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";
import { Waiting } from "../../ui/tag";

const sections: { id: string; label: () => string; icon: LucideIcon; page: ComponentType }[] = [
  { id: "models", label: m.models, icon: Bot, page: lazy(() => import("./models")) },
  { id: "agents", label: m.agents, icon: Hammer, page: lazy(() => import("./agents")) },
  { id: "users", label: m.users, icon: Users, page: lazy(() => import("./users")) },
  { id: "usage", label: m.usage, icon: BarChart3, page: lazy(() => import("./usage")) },
];

export default function AdminTab() {
  const { section } = useParams({ strict: false }) as { section?: string };
  const current = sections.find((s) => s.id === section) ?? sections[0];
  const label = current?.label() ?? "";
  useEffect(() => {
    useStatus.setState({ object: label });
    return () => useStatus.setState({ object: "" });
  }, [label]);
  useCommands("admin", sections.map((s) => ({ id: `admin-${s.id}`, title: m.go_to({ tab: `${m.tab_admin()} → ${s.label()}` }), group: "go", icon: s.icon, run: () => go(`/admin/${s.id}`) })));
  if (!current) return null;
  const Page = current.page;
  return (
    <div className="flex min-h-0 flex-1 max-tab:flex-col">
      <nav aria-label={m.admin_sections()} data-pane className="flex w-44 shrink-0 flex-col gap-1 border-r border-line p-2 max-tab:w-auto max-tab:flex-row max-tab:overflow-x-auto max-tab:border-r-0 max-tab:border-b">
        {sections.map((s) => (
          <Link key={s.id} to={`/admin/${s.id}`} search={inPlace(here())} aria-current={s === current ? "page" : undefined} className={cx("flex h-8 items-center gap-2.5 rounded-ctl px-2.5 text-sm max-tab:h-10 max-tab:flex-1 max-tab:justify-center", s === current ? "bg-selected font-medium text-fg" : "text-fg-2 hover:bg-hover")}>
            <s.icon size={16} strokeWidth={1.6} aria-hidden className={cx("max-tab:hidden", s === current && "text-signal")} />{s.label()}
          </Link>
        ))}
      </nav>
      <div data-pane className="flex min-h-0 min-w-0 flex-1 flex-col overflow-y-auto"><Suspense fallback={<Waiting rows={6} height={56} label={m.loading()} />}><Page /></Suspense></div>
    </div>
  );
}
