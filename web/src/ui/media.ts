// Widths at which the layout changes.
import { useSyncExternalStore } from "react";

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (tell) => {
      const media = matchMedia(query);
      media.addEventListener("change", tell);
      return () => media.removeEventListener("change", tell);
    },
    () => matchMedia(query).matches,
  );
}

const PHONE = "(max-width: 767.9px)";
/** A phone: one pane at a time, bars above and below. */
export const usePhone = () => useMedia(PHONE);
/** The same where nothing is drawn. */
export const isPhone = (): boolean => matchMedia(PHONE).matches;
/** Too narrow for three panes. */
export const useNarrow = () => useMedia("(max-width: 1179.9px)");
