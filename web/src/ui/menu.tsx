// Menus and selects over Radix.
import { Check, ChevronDown, type LucideIcon } from "lucide-react";
import { DropdownMenu, Select as RadixSelect } from "radix-ui";
import type { ReactNode } from "react";
import { cx } from "./cx";
import { inputClass } from "./field";
import { Keys } from "./keys";

const item = "flex min-h-8 cursor-pointer items-center gap-2.5 rounded-ctl px-2.5 text-sm text-fg-2 outline-none select-none data-[disabled]:cursor-not-allowed data-[disabled]:text-fg-3 data-[highlighted]:bg-hover data-[highlighted]:text-fg max-tab:min-h-10";
const box = "enter z-50 max-h-(--radix-dropdown-menu-content-available-height) min-w-48 overflow-y-auto rounded-card bg-overlay p-1 shadow-over";

/** A menu under a button. */
export function Menu({ trigger, children, align = "end", label, side }: { trigger: ReactNode; children: ReactNode; align?: "start" | "center" | "end"; label?: string; side?: "top" | "bottom" }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align={align} {...(side ? { side } : {})} sideOffset={6} collisionPadding={8} aria-label={label} className={box}>
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

/** One entry of a menu. */
export function MenuItem({ icon: Icon, children, onSelect, keys, danger, disabled }: { icon?: LucideIcon; children: ReactNode; onSelect: () => void; keys?: string | undefined; danger?: boolean; disabled?: boolean }) {
  return (
    <DropdownMenu.Item className={cx(item, danger && "text-err data-[highlighted]:text-err")} onSelect={onSelect} disabled={disabled ?? false}>
      {Icon && <Icon size={15} strokeWidth={1.7} aria-hidden />}
      <span className="flex-1">{children}</span>
      {keys && <Keys keys={keys} />}
    </DropdownMenu.Item>
  );
}

/** Entries of which one is chosen. */
export function MenuChoice({ label, value, options, onChange }: { label: string; value: string; options: { value: string; label: string }[]; onChange: (value: string) => void }) {
  return (
    <DropdownMenu.RadioGroup value={value} onValueChange={onChange} aria-label={label}>
      <DropdownMenu.Label className="label px-2.5 pt-2 pb-1">{label}</DropdownMenu.Label>
      {options.map((option) => (
        <DropdownMenu.RadioItem key={option.value} value={option.value} className={item}>
          <span className="flex w-4 justify-center"><DropdownMenu.ItemIndicator><Check size={14} aria-hidden /></DropdownMenu.ItemIndicator></span>
          {option.label}
        </DropdownMenu.RadioItem>
      ))}
    </DropdownMenu.RadioGroup>
  );
}

export const MenuLine = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />;
export const MenuNote = ({ children }: { children: ReactNode }) => <div className="px-2.5 py-2 text-xs text-fg-3">{children}</div>;

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
              <RadixSelect.Item key={option.value} value={option.value} disabled={option.disabled ?? false} className={cx(item, "py-1.5")}>
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
