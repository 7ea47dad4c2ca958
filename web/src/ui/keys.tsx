// Key caps, in the spelling of the person's machine and language.
import { m } from "../paraglide/messages";

const mac = /mac|iphone|ipad/i.test(navigator.userAgent);

/** Shows a combination such as "Mod+S". */
export function Keys({ keys }: { keys: string }) {
  const first = keys.split(" / ")[0] ?? keys;
  return (
    <kbd className="font-code rounded-tag border border-line-2 bg-raised px-1 text-2xs text-fg-2" aria-label={first}>
      {first.split("+").map(spell).join(" ")}
    </kbd>
  );
}

function spell(key: string): string {
  const names: Record<string, string> = { Mod: mac ? "⌘" : m.key_ctrl(), Shift: "⇧", Enter: "⏎", Space: m.key_space(), Escape: "Esc", ArrowUp: "↑", ArrowDown: "↓", Delete: m.key_delete() };
  return names[key] ?? key;
}
