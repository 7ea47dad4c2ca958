// A switch: on or off, at once.
import { useId } from "react";
import { cx } from "./cx";

/** Switches something; what it means stands below its name. */
export function Switch({ label, about, checked, onChange }: { label: string; about?: string; checked: boolean; onChange: (on: boolean) => void }) {
  const id = useId();
  return (
    <div className="flex min-h-8 shrink-0 items-start justify-between gap-3 max-tab:min-h-10">
      <label htmlFor={id} className="min-w-0 cursor-pointer">
        <span className="block text-sm text-fg">{label}</span>
        {about && <span id={`${id}-about`} className="block text-xs text-fg-3">{about}</span>}
      </label>
      <button id={id} type="button" role="switch" aria-checked={checked} {...(about ? { "aria-describedby": `${id}-about` } : {})} onClick={() => onChange(!checked)} className={cx("relative mt-0.5 h-5 w-9 shrink-0 rounded-full border transition-colors duration-90", checked ? "border-accent bg-accent" : "border-line-strong bg-hover")}>
        <span aria-hidden className={cx("absolute top-1/2 size-3.5 -translate-y-1/2 rounded-full transition-[left] duration-90", checked ? "left-4.5 bg-on-accent" : "left-0.5 bg-fg-3")} />
      </button>
    </div>
  );
}
