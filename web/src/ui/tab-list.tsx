// Tabs in a row: the arrow keys lead from one to the next, and only the chosen one is a stop of the Tab key.
import type { KeyboardEvent } from "react";
import { cx } from "./cx";

/** One of the tabs; a count of what it shows stands behind its name where there is something. */
export interface TabName<T extends string> { id: T; name: string; count?: number }
interface Props<T extends string> { label: string; tabs: TabName<T>[]; value: T; prefix: string; panel: string; className: string; onChange: (id: T) => void }

/** `prefix` stands before each tab's id in the page, `panel` is the id of what they show. */
export function TabList<T extends string>({ label, tabs, value, prefix, panel, className, onChange }: Props<T>) {
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = tabs[(tabs.findIndex(({ id }) => id === value) + by + tabs.length) % tabs.length];
    if (by === 0 || !next) return;
    event.preventDefault();
    onChange(next.id);
    event.currentTarget.querySelector<HTMLElement>(`#${prefix}${next.id}`)?.focus();
  };
  return (
    <div role="tablist" tabIndex={-1} aria-label={label} onKeyDown={onKey} className={cx("flex overflow-x-auto px-1.5 [scrollbar-width:none]", className)}>
      {tabs.map(({ id, name, count = 0 }) => (
        <button key={id} id={prefix + id} type="button" role="tab" data-inset aria-selected={id === value} aria-controls={panel} tabIndex={id === value ? 0 : -1} onClick={() => onChange(id)} className={cx("relative px-2.5 text-sm whitespace-nowrap", id === value ? "font-medium text-fg" : "text-fg-3 hover:text-fg")}>
          {name}{count > 0 && <span className="nums ml-1.5 text-xs font-normal">{count}</span>}
          {id === value && <span aria-hidden className="absolute inset-x-2 bottom-0 h-0.5 bg-signal" />}
        </button>
      ))}
    </div>
  );
}
