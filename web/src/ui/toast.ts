// Short notes at the edge of the page; the library comes with the first one.
import type { ExternalToast } from "sonner";

const say = (kind: "message" | "success" | "error" | "info") => (text: string, options?: ExternalToast): void => {
  void import("sonner").then(({ toast }) => toast[kind](text, options));
};

/** Tells the person something that needs no answer. */
export const toast = Object.assign(say("message"), { success: say("success"), error: say("error"), info: say("info") });
