// The colour that a service keeps everywhere.
import { cx } from "../../ui/cx";

/** A dot in the colour of a service. */
export function ServiceDot({ service }: { service: string }) {
  const colours: Record<string, string> = { edge: "bg-c2", auth: "bg-c5", billing: "bg-c3", sandbox: "bg-c6", llm: "bg-c1" };
  return <span aria-hidden className={cx("inline-block size-2 rounded-[2px]", colours[service] ?? "bg-c4")} />;
}
