// The top bar: mark, workspace, the way into the palette, what is left of the budget, and the person.
import { Search } from "lucide-react";
import { lazy, Suspense } from "react";
import { m } from "../paraglide/messages";
import { IconButton } from "../ui/button";
import { Keys } from "../ui/keys";
import { Mark } from "../ui/mark";
import { usePhone } from "../ui/media";

const TopMenus = lazy(() => import("./top-menus"));
const Workspaces = lazy(() => import("./workspaces"));

interface Props { title: string; place: string; onSearch: () => void; onPassword: () => void; onShortcuts: () => void }

export function TopBar({ title, place, onSearch, onPassword, onShortcuts }: Props) {
  const phone = usePhone();
  return (
    <header className="flex h-11 shrink-0 items-center gap-3 border-b border-line bg-chrome pr-3 pl-[18px] max-tab:h-12 max-tab:pl-3">
      <Mark size={phone ? 24 : 20} />
      <div className="flex min-w-0 flex-1 items-center gap-3">
        <Suspense fallback={phone && <p className="truncate text-base font-semibold text-fg">{title}</p>}><Workspaces place={place} below={phone ? title : ""} /></Suspense>
      </div>
      {!phone && (
        <button type="button" onClick={onSearch} className="flex h-7 w-110 min-w-40 shrink items-center gap-2 rounded-ctl border border-line-2 bg-raised px-2.5 text-sm text-fg-3 hover:bg-hover">
          <Search size={15} strokeWidth={1.7} aria-hidden />
          <span className="flex-1 truncate text-left">{m.search_or_command()}</span>
          <Keys keys="Mod+K" />
        </button>
      )}
      <div className="flex flex-1 items-center justify-end gap-2">
        {phone && <IconButton label={m.search_or_command()} icon={Search} size={19} onClick={onSearch} />}
        <Suspense><TopMenus compactly={phone} onPassword={onPassword} onShortcuts={onShortcuts} /></Suspense>
      </div>
    </header>
  );
}
