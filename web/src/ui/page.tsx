// The layout of pages with cards: title and actions above, figures, tables.
import type { ReactNode } from "react";
import { cx } from "./cx";

/** A page with its title. */
export function Page({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <div className="flex min-w-0 flex-col gap-4 p-6 max-tab:p-3">
      <div className="flex flex-wrap items-center gap-2"><h2 className="mr-auto text-lg font-semibold text-fg">{title}</h2>{actions}</div>
      {children}
    </div>
  );
}

/** A card with an optional head. */
export function Card({ title, aside, children, className }: { title?: string; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section aria-label={title} className={cx("min-w-0 overflow-hidden rounded-card border border-line-2 bg-raised", className)}>
      {title && <div className="flex min-h-10 flex-wrap items-center gap-2 border-b border-line px-4 py-1.5"><h3 className="mr-auto text-sm font-medium text-fg">{title}</h3>{aside}</div>}
      {children}
    </section>
  );
}

/** One key figure. */
export function Figure({ name, value, unit, note, children }: { name: string; value: string; unit?: string; note?: ReactNode; children?: ReactNode }) {
  return (
    <section aria-label={name} className="min-w-0 rounded-card border border-line-2 bg-raised px-4 pt-3 pb-2.5">
      <p className="label">{name}</p>
      <p className="nums truncate text-xl font-semibold text-fg">{value} {unit && <span className="text-xs font-normal text-fg-3">{unit}</span>}</p>
      {note && <p className="text-xs text-fg-3">{note}</p>}
      {children}
    </section>
  );
}

/** A table with its head; wide ones scroll sideways in their card. */
export function Table({ label, head, children }: { label: string; head: { name: string; right?: boolean; wide?: boolean; hidden?: boolean }[]; children: ReactNode }) {
  return (
    <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={label}>
      <table className="w-full text-sm">
        <thead>
          <tr className="h-8 border-b border-line">
            {head.map((column) => (
              <th key={column.name} scope="col" className={cx("label px-3 whitespace-nowrap first:pl-4 last:pr-4", column.right ? "text-right" : "text-left", column.wide && "w-full")}>{column.hidden ? <span className="sr-only">{column.name}</span> : column.name}</th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export const rowClass = "h-10 border-b border-line last:border-b-0 hover:bg-hover";
export const cellClass = "px-3 py-1.5 whitespace-nowrap first:pl-4 last:pr-4";
