// Chooses one of a list, over Radix.
import { Check, ChevronDown } from "lucide-react";
import { Select as RadixSelect } from "radix-ui";
import { cx } from "./cx";
import { inputClass } from "./field";
import { itemClass } from "./item";

export interface Option { value: string; label: string; about?: string; disabled?: boolean }

/** Chooses one of a few. */
export function Select({ id, label, value, options, onChange, quiet, ...rest }: { id?: string; label?: string; value: string; options: Option[]; onChange: (value: string) => void; quiet?: boolean; "aria-describedby"?: string }) {
  return (
    <RadixSelect.Root value={value} onValueChange={onChange}>
      <RadixSelect.Trigger id={id} aria-label={label} className={cx(quiet ? "rounded-ctl px-2 text-xs text-fg-2 hover:bg-hover" : inputClass, "flex h-8 min-w-0 items-center justify-between gap-2 text-left max-tab:h-10")} {...rest}>
        <span className="truncate"><RadixSelect.Value /></span>
        <RadixSelect.Icon><ChevronDown size={14} aria-hidden className="text-fg-3" /></RadixSelect.Icon>
      </RadixSelect.Trigger>
      <RadixSelect.Portal>
        <RadixSelect.Content position="popper" sideOffset={4} collisionPadding={8} className="enter z-60 max-h-80 min-w-(--radix-select-trigger-width) overflow-hidden rounded-card bg-overlay p-1 shadow-over">
          <RadixSelect.Viewport>
            {options.map((option) => (
              <RadixSelect.Item key={option.value} value={option.value} disabled={option.disabled ?? false} className={cx(itemClass, "py-1.5")}>
                <span className="flex w-4 justify-center"><RadixSelect.ItemIndicator><Check size={14} aria-hidden /></RadixSelect.ItemIndicator></span>
                <span className="min-w-0">
                  <RadixSelect.ItemText>{option.label}</RadixSelect.ItemText>
                  {option.about && <span className="block text-xs text-fg-3">{option.about}</span>}
                </span>
              </RadixSelect.Item>
            ))}
          </RadixSelect.Viewport>
        </RadixSelect.Content>
      </RadixSelect.Portal>
    </RadixSelect.Root>
  );
}
