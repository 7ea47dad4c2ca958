// Does what a click asks for; a failure is told in a note.
import { explain } from "../api/errors";
import { toast } from "./toast";

/** True when it was done. */
export async function tried(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (cause) {
    const fault = explain(cause);
    toast.error(fault.title, { description: [fault.meaning, fault.action].filter(Boolean).join(" ") });
    return false;
  }
}
