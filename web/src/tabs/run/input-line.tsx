// A line for a program that waits for input while it runs.
import { CornerDownLeft } from "lucide-react";
import { useState } from "react";
import { writeRun } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Tip } from "../../ui/tip";
import { tried } from "../../ui/tried";

export function InputLine() {
  const [text, setText] = useState("");
  const [sent, setSent] = useState<string[]>([]);
  const [back, setBack] = useState(0);
  const send = async () => {
    const line = text;
    // At once, so that what is typed meanwhile stays and a second Enter sends no second time.
    setText("");
    setBack(0);
    if (!(await tried(() => writeRun(line)))) return setText((now) => now || line);
    if (line !== "") setSent((before) => [line, ...before.filter((other) => other !== line)].slice(0, 50));
  };
  const recall = (by: number) => {
    const next = Math.max(0, Math.min(sent.length, back + by));
    setBack(next);
    setText(next === 0 ? "" : (sent[next - 1] ?? ""));
  };
  return (
    <form onSubmit={(event) => { event.preventDefault(); void send(); }} className="flex min-h-10 shrink-0 items-center gap-2 border-t border-line bg-panel px-4 py-1 max-tab:px-3">
      <span aria-hidden className="font-code text-code text-accent-text">›</span>
      <input
        autoFocus
        aria-label={m.run_input_line()}
        placeholder={m.run_input_line()}
        value={text}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "ArrowUp") recall(1);
          else if (event.key === "ArrowDown") recall(-1);
          else if (event.key === "d" && event.ctrlKey && text === "") void tried(() => writeRun(null));
          else return;
          event.preventDefault();
        }}
        className="font-code h-8 min-w-0 flex-1 bg-transparent text-code text-fg outline-none"
      />
      <IconButton type="submit" label={m.run_input_send()} keys="Enter" icon={CornerDownLeft} size={15} />
      <Tip text={m.run_input_end()} keys="Mod+D"><Button small aria-label={m.run_input_end()} onClick={() => void tried(() => writeRun(null))}>EOF</Button></Tip>
    </form>
  );
}
