// Keys that a phone's keyboard does not have; Ctrl and Alt hold for the next sign.
import { useStore } from "zustand";
import { m } from "../../paraglide/messages";
import { arrow, withHeld } from "./bytes";
import type { Session } from "./session";

const key = "font-code flex h-10 min-w-10 flex-1 items-center justify-center rounded-ctl border border-line-2 bg-raised px-1 text-xs text-fg aria-pressed:border-signal aria-pressed:bg-selected aria-pressed:font-semibold";

export default function KeyRow({ session }: { session: Session }) {
  const { ctrl, alt } = useStore(session.view);
  // The keyboard of the phone stays open: the button does not take the focus.
  const stay = (event: React.PointerEvent) => event.preventDefault();
  const send = (text: string) => {
    session.type(withHeld(text, ctrl, alt));
    if (ctrl || alt) session.view.setState({ ctrl: false, alt: false });
  };
  const move = (letter: "A" | "B" | "C" | "D") => send(arrow(letter, session.screen.modes.applicationCursorKeysMode));
  const arrows = [["D", "←", m.terminal_key_left()], ["A", "↑", m.terminal_key_up()], ["B", "↓", m.terminal_key_down()], ["C", "→", m.terminal_key_right()]] as const;
  const plain = (name: string, text: string, label = name) => <button key={name} type="button" aria-label={label} onPointerDown={stay} onClick={() => send(text)} className={key}>{name}</button>;
  return (
    <div role="group" aria-label={m.terminal_key_row()} className="flex shrink-0 gap-1.5 overflow-x-auto border-t border-line bg-panel px-2 py-2 [scrollbar-width:none]">
      {plain("Esc", "\u001b")}
      {plain("Tab", "\t")}
      <button type="button" aria-pressed={ctrl} onPointerDown={stay} onClick={() => session.view.setState({ ctrl: !ctrl })} className={key}>{m.key_ctrl()}</button>
      <button type="button" aria-pressed={alt} onPointerDown={stay} onClick={() => session.view.setState({ alt: !alt })} className={key}>Alt</button>
      {arrows.map(([letter, sign, label]) => <button key={letter} type="button" aria-label={label} onPointerDown={stay} onClick={() => move(letter)} className={key}>{sign}</button>)}
      {["|", "/", "~", "-"].map((sign) => plain(sign, sign))}
    </div>
  );
}
