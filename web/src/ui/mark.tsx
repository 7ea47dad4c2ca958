// The mark of DevStudio.

/** The mark in the colours of the theme. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden className="shrink-0">
      <rect width="32" height="32" rx="7" className="fill-accent [[data-theme=SerialSteel]_&]:[rx:2px]" />
      <path d="M10.5 9h5.2a7 7 0 0 1 0 14h-5.2z" fill="none" className="stroke-on-accent" strokeWidth="2.8" strokeLinejoin="round" />
      <circle cx="23" cy="16" r="2.8" className="fill-signal" />
    </svg>
  );
}
