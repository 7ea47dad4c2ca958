// Copies text and says so.
import { toast } from "./toast";
import { m } from "../paraglide/messages";

/** Puts text on the clipboard. */
export function copyText(text: string): void {
  navigator.clipboard.writeText(text).then(
    () => toast.success(m.copied()),
    () => toast.error(m.copy_refused()),
  );
}
