// Small marks: tags with a tone, meters, avatars, bars that wait.
import type { ReactNode } from "react";
import { cx } from "./cx";

export type Tone = "plain" | "ok" | "warn" | "err" | "live" | "accent";
const tones: Record<Tone, string> = {
  plain: "border border-line-2 text-fg-2",
  ok: "bg-ok-soft text-ok",
  warn: "bg-warn-soft text-warn",
  err: "bg-err-soft text-err",
  live: "bg-live-soft text-live",
  accent: "bg-accent-soft text-accent-text",
};

/** A word on a coloured ground. */
export function Tag({ tone = "plain", dot, children, className }: { tone?: Tone; dot?: boolean; children: ReactNode; className?: string }) {
  return (
    <span className={cx("inline-flex h-5 shrink-0 items-center gap-1 rounded-tag px-1.5 text-2xs font-medium whitespace-nowrap", tones[tone], className)}>
      {dot && <span aria-hidden className={cx("size-1.5 rounded-full bg-current", tone === "live" && "live-dot")} />}
      {children}
    </span>
  );
}

const levels = (share: number) => (share >= 0.96 ? "bg-err" : share >= 0.8 ? "bg-warn" : "bg-c1");

/** How much of something is used; the colour turns at 80 and 96 %. */
export function Meter({ share, label, tone, className }: { share: number; label: string; tone?: "signal" | "plain"; className?: string }) {
  const now = Math.max(0, Math.min(1, share));
  return (
    <div role="progressbar" aria-label={label} aria-valuenow={Math.round(now * 100)} aria-valuemin={0} aria-valuemax={100} className={cx("h-1 overflow-hidden rounded-full bg-line", className)}>
      <div className={cx("h-full rounded-full", tone === "signal" ? "bg-signal" : tone === "plain" ? "bg-c1" : levels(share))} style={{ width: `${now * 100}%` }} />
    </div>
  );
}

/** A person or an agent in two letters: the given ones, else those of the name. */
export function Avatar({ name, letters: given = "", square, large }: { name: string; letters?: string; square?: boolean; large?: boolean }) {
  const letters = given || name.replace(/@.*/, "").split(/[\s._-]+/).filter(Boolean).slice(0, 2).map((p) => p[0]).join("").toUpperCase();
  return (
    <span aria-hidden className={cx("font-code inline-flex shrink-0 items-center justify-center border-[1.5px] font-semibold text-fg", large ? "size-9 text-sm" : "size-7 text-2xs", square ? "rounded-ctl border-c1 bg-accent-soft" : "rounded-full border-line-strong bg-hover")}>
      {letters || "?"}
    </span>
  );
}

/** Quiet bars in place of rows that are on their way; they show after 150 ms. */
export function Waiting({ rows = 5, height = 40, label }: { rows?: number; height?: number; label: string }) {
  return (
    <div role="status" aria-label={label} className="late flex flex-col">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="flex items-center px-4" style={{ height }}>
          <span className="h-2 rounded-full bg-hover" style={{ width: `${[62, 44, 71, 38, 55][i % 5]}%` }} />
        </div>
      ))}
    </div>
  );
}

/** What is so where nothing is, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-3 p-8 text-center">
      <p className="text-base text-fg-2">{title}</p>
      {children}
    </div>
  );
}
