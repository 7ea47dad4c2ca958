// Fields with their label, hint and error.
import { Search } from "lucide-react";
import { useId, type InputHTMLAttributes, type ReactNode, type Ref, type TextareaHTMLAttributes } from "react";
import { cx } from "./cx";

export const inputClass =
  "w-full rounded-ctl border border-line-strong bg-raised px-2.5 text-sm text-fg transition-colors duration-90 focus:border-focus focus:outline-none focus-visible:outline-2 focus-visible:outline-offset-1 focus-visible:outline-focus disabled:text-fg-3 aria-invalid:border-err";

interface FieldProps { label: string; hint?: string | undefined; error?: string | undefined; aside?: ReactNode; className?: string; children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode }

/** A label, what is entered, and below it a hint or an error. */
export function Field({ label, hint, error, aside, className, children }: FieldProps) {
  const id = useId();
  const below = error ?? hint;
  return (
    <div className={cx("flex min-w-0 flex-col gap-1.5", className)}>
      <div className="flex items-baseline justify-between gap-2">
        <label htmlFor={id} className="label">{label}</label>
        {aside && <span className="text-xs text-fg-3">{aside}</span>}
      </div>
      {children({ id, ...(below ? { "aria-describedby": `${id}-below` } : {}), ...(error ? { "aria-invalid": true as const } : {}) })}
      {below && <p id={`${id}-below`} className={cx("text-xs", error ? "text-err" : "text-fg-3")}>{below}</p>}
    </div>
  );
}

/** A line of text. */
export function Input({ className, mono, ...rest }: InputHTMLAttributes<HTMLInputElement> & { mono?: boolean; ref?: Ref<HTMLInputElement> }) {
  return <input className={cx(inputClass, "h-8 max-tab:h-10", mono && "font-code text-code", className)} {...rest} />;
}

/** Several lines of text. */
export function Textarea({ className, mono, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement> & { mono?: boolean; ref?: Ref<HTMLTextAreaElement> }) {
  return <textarea className={cx(inputClass, "py-1.5", mono && "font-code text-code", className)} spellCheck={!mono} {...rest} />;
}

/** A search field with its name for screen readers. */
export function SearchInput({ label, className, ...rest }: InputHTMLAttributes<HTMLInputElement> & { label: string; ref?: Ref<HTMLInputElement> }) {
  return (
    <div className={cx("relative", className)}>
      <Search size={15} strokeWidth={1.7} aria-hidden className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-fg-3" />
      <input type="search" aria-label={label} placeholder={label} className={cx(inputClass, "h-8 pl-8 max-tab:h-10")} {...rest} />
    </div>
  );
}
