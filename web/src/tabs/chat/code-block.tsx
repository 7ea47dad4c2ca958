// A code block of an answer: highlighted when it is closed, and ready to be inserted, saved, run or copied.
import { Copy, CornerDownLeft, FileCode2, Play, Save } from "lucide-react";
import { useEffect, useState } from "react";
import { extensionOf, highlight, languageOf, type Piece } from "../../lib/highlight";
import { go } from "../../lib/nav";
import { startRun } from "../../lib/runs";
import { insertIntoEditor } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { SaveAs } from "./save-as";

interface Props { language: string; path: string; code: string; live: boolean; name: string }

export function CodeBlock({ language, path, code, live, name }: Props) {
  const [lines, setLines] = useState<{ code: string; pieces: Piece[][] } | null>(null);
  const [saving, setSaving] = useState(false);
  useEffect(() => {
    if (live) return;
    let current = true;
    void highlight(code, language).then((pieces) => { if (current && pieces) setLines({ code, pieces }); }).catch(() => undefined);
    return () => { current = false; };
  }, [code, language, live]);
  const known = languageOf(language);
  const runtime = known === "python" ? "python" : known === "javascript" ? "node" : null;
  const suggested = path || `${slug(name)}.${extensionOf(language)}`;
  const insert = () => {
    if (!insertIntoEditor(code.endsWith("\n") ? code : `${code}\n`)) setSaving(true);
  };
  const run = () => {
    void startRun({ engine: "run", runtime: runtime ?? "", code }, code.trim().split("\n")[0] ?? m.run_code());
    go("/run");
  };
  const shown = lines?.code === code ? lines.pieces : code.split("\n").map((content): Piece[] => [{ content }]);
  return (
    <figure className="my-3 overflow-hidden rounded-card border border-line-2 bg-editor" aria-label={m.code_block({ language: known || m.text() })}>
      <figcaption className="flex min-h-9 flex-wrap items-center gap-1 border-b border-line bg-raised py-1 pr-1.5 pl-3">
        <FileCode2 size={15} strokeWidth={1.6} aria-hidden className="text-fg-3" />
        <span className="font-code mr-auto pl-1 text-xs text-fg-2">{path || known || language || m.text()}</span>
        {!live && (
          <>
            <Button small tone="quiet" icon={Copy} onClick={() => copyText(code)}><span className="max-tab:sr-only">{m.copy()}</span></Button>
            <Button small tone="quiet" icon={Save} onClick={() => setSaving(true)}><span className="max-tab:sr-only">{m.save_as()}</span></Button>
            {runtime && <Button small tone="quiet" icon={Play} onClick={run}><span className="max-tab:sr-only">{m.run()}</span></Button>}
            <Button small icon={CornerDownLeft} aria-label={m.insert_into_editor()} onClick={insert}><span className="phone-hidden">{m.insert_into_editor()}</span><span aria-hidden className="tab:hidden">{m.insert_short()}</span></Button>
          </>
        )}
      </figcaption>
      <pre tabIndex={0} data-inset aria-label={m.code_block({ language: known || m.text() })} className="font-code text-code overflow-x-auto py-2.5 text-fg">
        <code>
          {shown.map((line, i) => (
            <span key={i} className="block min-h-5 pr-4">
              <span aria-hidden className="inline-block w-10 pr-4 text-right text-fg-3 select-none">{i + 1}</span>
              {line.map((piece, j) => <span key={j} style={piece.color ? { color: piece.color } : undefined}>{piece.content}</span>)}
            </span>
          ))}
        </code>
      </pre>
      {saving && <SaveAs code={code} suggested={suggested} onClose={() => setSaving(false)} />}
    </figure>
  );
}

function slug(name: string): string {
  const words = name.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, " ").trim().split(" ").filter((word) => word.length > 2).slice(0, 3);
  return words.join("_") || "code";
}
