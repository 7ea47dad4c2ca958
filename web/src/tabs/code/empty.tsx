// What an empty workspace offers: ask the model, or begin with a file.
import { FilePlus2, FileTerminal, LayoutTemplate, MessageSquare } from "lucide-react";
import { useState } from "react";
import { workspace } from "../../api/workspace";
import { useChat } from "../../lib/chat";
import { go } from "../../lib/nav";
import { here } from "../../lib/place";
import { showFile } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Textarea } from "../../ui/field";
import { tried } from "../../ui/tried";

const examples: Record<string, string> = {
  "hello.py": 'import sys\n\nname = sys.argv[1] if len(sys.argv) > 1 else "DevStudio"\nprint(f"Hello, {name}")\n',
  "hello.js": 'const name = process.argv[2] ?? "DevStudio";\nconsole.log(`Hello, ${name}`);\n',
};

export function EmptyWorkspace({ onNew }: { onNew: () => void }) {
  const [text, setText] = useState("");
  const describe = () => {
    useChat.setState({ activeId: null, draft: text.trim() });
    go("/chat");
  };
  const write = async (path: string) => {
    const done = await tried(() => workspace.writeFile({ workspaceId: here(), path, content: { case: "text", value: examples[path] ?? "" }, ifVersion: 0n }));
    if (done) showFile(path);
  };
  const card = "flex items-center gap-3 rounded-card border border-line-2 bg-raised px-4 py-3 text-left hover:bg-hover";
  return (
    <div className="flex min-h-0 flex-1 items-center justify-center overflow-auto bg-canvas p-6">
      <div className="w-full max-w-140">
        <h2 className="text-xl font-semibold text-fg">{m.workspace_empty_title()}</h2>
        <p className="mt-1 text-base">{m.workspace_empty_about()}</p>
        <form
          className="mt-5 rounded-card border border-line-strong bg-raised p-3"
          onSubmit={(event) => {
            event.preventDefault();
            describe();
          }}
        >
          <Textarea aria-label={m.workspace_describe()} value={text} onChange={(event) => setText(event.target.value)} rows={3} placeholder={m.workspace_describe()} className="resize-none border-0 bg-transparent !px-1 text-base" />
          <div className="mt-1 flex items-center justify-between gap-3 pl-1">
            <p className="text-xs text-fg-3">{m.workspace_describe_about()}</p>
            <Button type="submit" tone="primary" icon={MessageSquare} disabled={text.trim() === ""}>{m.chat_ask()}</Button>
          </div>
        </form>
        <div className="mt-3 grid gap-2 wide:grid-cols-2">
          {Object.keys(examples).map((path) => (
            <button key={path} type="button" className={card} onClick={() => void write(path)}>
              <FileTerminal size={18} strokeWidth={1.6} aria-hidden className="shrink-0" />
              <span><span className="block text-sm font-medium text-fg">{path}</span><span className="text-xs text-fg-3">{m.workspace_example()}</span></span>
            </button>
          ))}
          <button type="button" className={card} onClick={() => go("/setup")}>
            <LayoutTemplate size={18} strokeWidth={1.6} aria-hidden className="shrink-0" />
            <span><span className="block text-sm font-medium text-fg">{m.setup()}</span><span className="text-xs text-fg-3">{m.setup_card()}</span></span>
          </button>
          <button type="button" className={card} onClick={onNew}>
            <FilePlus2 size={18} strokeWidth={1.6} aria-hidden className="shrink-0" />
            <span><span className="block text-sm font-medium text-fg">{m.file_empty()}</span><span className="text-xs text-fg-3">{m.file_empty_about()}</span></span>
          </button>
        </div>
      </div>
    </div>
  );
}
