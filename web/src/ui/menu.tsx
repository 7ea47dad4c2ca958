// Menus over Radix.
import { Check, type LucideIcon } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";
import { cx } from "./cx";
import { itemClass } from "./item";
import { Keys } from "./keys";

const menuBox = "enter z-50 max-h-(--radix-dropdown-menu-content-available-height) min-w-48 overflow-y-auto rounded-card bg-overlay p-1 shadow-over";

/** A menu under a button. */
export function Menu({ trigger, children, align = "end", label, side }: { trigger: ReactNode; children: ReactNode; align?: "start" | "center" | "end"; label?: string; side?: "top" | "bottom" }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align={align} {...(side ? { side } : {})} sideOffset={6} collisionPadding={8} aria-label={label} className={menuBox}>
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

/** A menu at a place of the page, such as the pointer. Where the focus goes when it closes is the caller's; by itself it goes nowhere. */
export function MenuAt({ x, y, label, onClose, onFocusBack, children }: { x: number; y: number; label: string; onClose: () => void; onFocusBack?: () => void; children: ReactNode }) {
  return (
    <DropdownMenu.Root open modal={false} onOpenChange={(open) => { if (!open) onClose(); }}>
      <DropdownMenu.Trigger asChild><span aria-hidden className="fixed size-0" style={{ left: x, top: y }} /></DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align="start" sideOffset={2} collisionPadding={8} aria-label={label} className={menuBox} onCloseAutoFocus={(event) => { event.preventDefault(); onFocusBack?.(); }}>
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

/** One entry of a menu. */
export function MenuItem({ icon: Icon, children, onSelect, keys, danger, disabled }: { icon?: LucideIcon; children: ReactNode; onSelect: () => void; keys?: string | undefined; danger?: boolean; disabled?: boolean }) {
  return (
    <DropdownMenu.Item className={cx(itemClass, danger && "text-err!")} onSelect={onSelect} disabled={disabled ?? false}>
      {Icon && <Icon size={15} strokeWidth={1.7} aria-hidden />}
      <span className="flex-1">{children}</span>
      {keys && <span className="phone-hidden"><Keys keys={keys} /></span>}
    </DropdownMenu.Item>
  );
}

/** Entries of which one is chosen. */
export function MenuChoice({ label, value, options, onChange }: { label: string; value: string; options: { value: string; label: string }[]; onChange: (value: string) => void }) {
  return (
    <DropdownMenu.RadioGroup value={value} onValueChange={onChange} aria-label={label}>
      <DropdownMenu.Label className="label px-2.5 pt-2 pb-1">{label}</DropdownMenu.Label>
      {options.map((option) => (
        <DropdownMenu.RadioItem key={option.value} value={option.value} className={itemClass}>
          <span className="flex w-4 justify-center"><DropdownMenu.ItemIndicator><Check size={14} aria-hidden /></DropdownMenu.ItemIndicator></span>
          {option.label}
        </DropdownMenu.RadioItem>
      ))}
    </DropdownMenu.RadioGroup>
  );
}

/** An entry that is in or out, of which several may be in: the menu stays open. */
export function MenuCheck({ checked, onChange, children }: { checked: boolean; onChange: (checked: boolean) => void; children: ReactNode }) {
  return (
    <DropdownMenu.CheckboxItem checked={checked} onCheckedChange={onChange} onSelect={(event) => event.preventDefault()} className={itemClass}>
      <span className="flex w-4 justify-center"><DropdownMenu.ItemIndicator><Check size={14} aria-hidden /></DropdownMenu.ItemIndicator></span>
      <span className="flex items-center gap-2">{children}</span>
    </DropdownMenu.CheckboxItem>
  );
}

export const MenuLine = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />;
export const MenuNote = ({ children }: { children: ReactNode }) => <div className="px-2.5 py-2 text-xs text-fg-3">{children}</div>;
