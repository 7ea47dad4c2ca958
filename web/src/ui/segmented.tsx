// A row of choices of which one is on.
import { ToggleGroup } from "radix-ui";
import { cx } from "./cx";

/** Chooses one; arrows move between the choices. */
export function Segmented<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: { value: T; label: string; className?: string }[]; onChange: (value: T) => void }) {
  return (
    <ToggleGroup.Root type="single" value={value} onValueChange={(next) => { if (next) onChange(next as T); }} aria-label={label} className="inline-flex h-8 shrink-0 items-center gap-0.5 rounded-ctl border border-line-2 bg-raised p-0.5 max-tab:h-10">
      {options.map((option) => (
        <ToggleGroup.Item key={option.value} value={option.value} data-inset className={cx("h-full rounded-tag px-2.5 text-xs text-fg-3 transition-colors duration-90 hover:text-fg data-[state=on]:bg-selected data-[state=on]:font-semibold data-[state=on]:text-fg", option.className)}>
          {option.label}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}
