// Panes that resize by pointer and by arrow keys, and stay so per person and place.
import type { ReactNode } from "react";
import { Group, Panel, Separator, useDefaultLayout } from "react-resizable-panels";
import { useSession } from "../api/session";
import { m } from "../paraglide/messages";
import { cx } from "./cx";

/** A pane; sizes are pixels ("244px") or shares ("30%"). */
export interface Pane { id: string; content: ReactNode; size?: string; min?: string; max?: string }

/** Lays panes beside or below each other. */
export function Panes({ id, vertical, panes, className }: { id: string; vertical?: boolean; panes: (Pane | false | null | undefined)[]; className?: string }) {
  const userId = useSession((s) => s.user?.userId ?? "");
  const shown = panes.filter((pane): pane is Pane => Boolean(pane));
  const layout = useDefaultLayout({ id: `devstudio.panes.${userId}.${id}`, panelIds: shown.map((pane) => pane.id), storage: localStorage });
  return (
    <Group orientation={vertical ? "vertical" : "horizontal"} className={cx("min-h-0 min-w-0 flex-1", className)} {...layout}>
      {shown.flatMap((pane, i) => [
        i > 0 && (
          <Separator
            key={`${pane.id}-line`}
            aria-label={m.resize()}
            className={cx("relative bg-line transition-colors duration-90 hover:bg-signal focus-visible:bg-focus focus-visible:outline-none data-[separator=active]:bg-signal", vertical ? "h-px" : "w-px")}
          />
        ),
        <Panel key={pane.id} id={pane.id} defaultSize={pane.size} minSize={pane.min} maxSize={pane.max} groupResizeBehavior={pane.size ? "preserve-pixel-size" : "preserve-relative-size"} className="flex min-h-0 min-w-0 flex-col">
          {pane.content}
        </Panel>,
      ])}
    </Group>
  );
}
