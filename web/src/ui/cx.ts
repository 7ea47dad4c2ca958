// Joins class names; what is false stays out.
export const cx = (...names: (string | false | null | undefined)[]) => names.filter(Boolean).join(" ");
