// Tooltips after half a second, with the key of the action: marks in the page, and one layer that shows them.
import { cloneElement, useEffect, useState, type ReactElement } from "react";
import { Keys } from "./keys";

const DELAY_MS = 500;

/** Names what is under the pointer. The name for screen readers is the element's own. */
export function Tip({ text, keys, children }: { text: string; keys?: string | undefined; children: ReactElement<Record<string, unknown>> }) {
  return cloneElement(children, { "data-tip": text, ...(keys ? { "data-keys": keys } : {}) });
}

interface Shown { text: string; keys: string; x: number; y: number; above: boolean }

/** Shows the tooltip of the element under the pointer or with keyboard focus. */
export function TipLayer() {
  const [shown, setShown] = useState<Shown | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over: Element | null = null;
    const hide = () => {
      clearTimeout(timer);
      over = null;
      setShown(null);
    };
    const meet = (target: EventTarget | null, keyboard: boolean) => {
      const element = target instanceof Element ? target.closest<HTMLElement>("[data-tip]") : null;
      if (element === over) return;
      hide();
      if (!element || (keyboard && !element.matches(":focus-visible"))) return;
      over = element;
      timer = setTimeout(() => {
        if (!element.isConnected) return;
        const box = element.getBoundingClientRect();
        const above = box.bottom > innerHeight - 48;
        setShown({ text: element.dataset["tip"] ?? "", keys: element.dataset["keys"] ?? "", x: box.left + box.width / 2, y: above ? box.top - 6 : box.bottom + 6, above });
      }, DELAY_MS);
    };
    const onPointer = (event: PointerEvent) => { if (event.pointerType !== "touch") meet(event.target, false); };
    const onFocus = (event: FocusEvent) => meet(event.target, true);
    const onKey = (event: KeyboardEvent) => { if (event.key === "Escape") hide(); };
    const options = { passive: true, capture: true };
    addEventListener("pointerover", onPointer, options);
    addEventListener("pointerdown", hide, options);
    addEventListener("focusin", onFocus, options);
    addEventListener("focusout", hide, options);
    addEventListener("keydown", onKey, options);
    addEventListener("scroll", hide, options);
    return () => {
      hide();
      removeEventListener("pointerover", onPointer, options);
      removeEventListener("pointerdown", hide, options);
      removeEventListener("focusin", onFocus, options);
      removeEventListener("focusout", hide, options);
      removeEventListener("keydown", onKey, options);
      removeEventListener("scroll", hide, options);
    };
  }, []);
  if (!shown) return null;
  const x = Math.min(Math.max(shown.x, 90), innerWidth - 90);
  return (
    <div role="tooltip" style={{ left: x, top: shown.y }} className={`enter pointer-events-none fixed z-60 ${shown.above ? "-translate-y-full" : ""}`}>
      <div className="flex max-w-72 -translate-x-1/2 items-center gap-2 rounded-ctl bg-overlay px-2 py-1 text-xs text-fg shadow-over">
        <span className="min-w-0 break-words">{shown.text}</span>
        {shown.keys && <Keys keys={shown.keys} />}
      </div>
    </div>
  );
}
