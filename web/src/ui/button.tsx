// Buttons: one primary action a screen, plain ones, quiet ones, and icons with a name.
import type { LucideIcon } from "lucide-react";
import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { cx } from "./cx";
import { Tip } from "./tip";

type Tone = "primary" | "plain" | "quiet" | "danger" | "danger-quiet";
const tones: Record<Tone, string> = {
  primary: "bg-accent text-on-accent hover:bg-accent-hover shadow-primary font-medium",
  plain: "bg-raised text-fg border border-line-2 hover:bg-hover",
  quiet: "text-fg-2 hover:bg-hover hover:text-fg",
  danger: "bg-err-solid text-on-err font-medium hover:brightness-110",
  "danger-quiet": "bg-raised text-err border border-line-2 hover:bg-err-soft",
};

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> { tone?: Tone; small?: boolean; icon?: LucideIcon; busy?: boolean; children?: ReactNode; ref?: Ref<HTMLButtonElement> }

/** A button with words. */
export function Button({ tone = "plain", small, icon: Icon, busy, children, className, disabled, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      type={type}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      className={cx(
        "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-ctl whitespace-nowrap transition-colors duration-90 disabled:cursor-not-allowed disabled:bg-hover disabled:text-fg-3 disabled:shadow-none",
        small ? "h-6 px-2 text-xs max-tab:h-10 max-tab:px-3" : "h-8 px-3 text-sm max-tab:h-10",
        tones[tone],
        className,
      )}
      {...rest}
    >
      {Icon && <Icon size={small ? 14 : 16} strokeWidth={1.7} aria-hidden />}
      {children}
    </button>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> { label: string; icon: LucideIcon; keys?: string; size?: number; tone?: "quiet" | "plain"; ref?: Ref<HTMLButtonElement> }

/** A button with an icon; its name is in the tooltip. */
export function IconButton({ label, icon: Icon, keys, size = 16, tone = "quiet", className, type = "button", ...rest }: IconButtonProps) {
  return (
    <Tip text={label} keys={keys}>
      <button
        type={type}
        aria-label={label}
        className={cx("inline-flex size-7 shrink-0 items-center justify-center rounded-ctl transition-colors duration-90 disabled:cursor-not-allowed disabled:text-line-strong max-tab:size-10", tones[tone], className)}
        {...rest}
      >
        <Icon size={size} strokeWidth={1.7} aria-hidden />
      </button>
    </Tip>
  );
}
