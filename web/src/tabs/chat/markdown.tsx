// Answers as markdown: cut into blocks, each drawn once, and only the last one again with every token.
import { memo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { cx } from "../../ui/cx";
import { CodeBlock } from "./code-block";

/** Cuts markdown at blank lines outside of fences; a fence is a block of its own. */
export function blocksOf(text: string): string[] {
  const blocks: string[] = [];
  let current: string[] = [];
  let fence = "";
  const push = () => {
    if (current.some((line) => line.trim() !== "")) blocks.push(current.join("\n"));
    current = [];
  };
  for (const line of text.split("\n")) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
    if (fence) {
      current.push(line);
      if (mark.startsWith(fence) && line.trim() === mark) {
        fence = "";
        push();
      }
    } else if (mark) {
      push();
      fence = mark;
      current.push(line);
    } else if (line.trim() === "" && !/^\s*([-*+]|\d+[.)])\s/.test(current.at(-1) ?? "")) push();
    else current.push(line);
  }
  push();
  return blocks;
}

/** The code of a fence block, or null where it is not one. */
export function fenceOf(block: string): { language: string; path: string; code: string; closed: boolean } | null {
  const lines = block.split("\n");
  const head = /^ {0,3}(`{3,}|~{3,})\s*(\S*)\s*(.*)$/.exec(lines[0] ?? "");
  if (!head) return null;
  const closed = lines.length > 1 && lines.at(-1)?.trim() === head[1];
  const info = head[2] ?? "";
  const path = /[\w./-]+\.\w{1,5}/.exec(`${head[3] ?? ""}`)?.[0] ?? "";
  return { language: info.replace(/[{:].*$/, ""), path, code: lines.slice(1, closed ? -1 : undefined).join("\n"), closed };
}

const components: Components = {
  a: ({ href, children }) => <a href={href} target="_blank" rel="noreferrer noopener" className="text-accent-text underline underline-offset-2">{children}</a>,
  code: ({ children }) => <code className="font-code rounded-tag border border-line-2 bg-editor px-1 text-code text-fg">{children}</code>,
  pre: ({ children }) => <pre className="font-code my-2 overflow-x-auto rounded-ctl border border-line-2 bg-editor p-3 text-code [&_code]:border-0 [&_code]:bg-transparent [&_code]:p-0">{children}</pre>,
  h1: ({ children }) => <h3 className="mt-4 mb-1 text-lg font-semibold text-fg">{children}</h3>,
  h2: ({ children }) => <h3 className="mt-4 mb-1 text-lg font-semibold text-fg">{children}</h3>,
  h3: ({ children }) => <h4 className="mt-3 mb-1 text-base font-semibold text-fg">{children}</h4>,
  h4: ({ children }) => <h4 className="mt-3 mb-1 text-base font-semibold text-fg">{children}</h4>,
  ul: ({ children }) => <ul className="my-2 list-disc pl-5">{children}</ul>,
  ol: ({ children, start }) => <ol start={start} className="my-2 list-decimal pl-5">{children}</ol>,
  p: ({ children }) => <p className="my-2 break-words">{children}</p>,
  blockquote: ({ children }) => <blockquote className="my-2 border-l-2 border-line-2 pl-3 text-fg-2">{children}</blockquote>,
  table: ({ children }) => <div className="my-2 overflow-x-auto"><table className="text-sm">{children}</table></div>,
  th: ({ children }) => <th className="border-b border-line-2 px-2 py-1 text-left font-semibold">{children}</th>,
  td: ({ children }) => <td className="border-b border-line px-2 py-1">{children}</td>,
  hr: () => <hr className="my-4 border-line" />,
  img: ({ alt }) => <span className="text-fg-3">[{alt}]</span>,
};

const Block = memo(function Block({ text, live, name }: { text: string; live: boolean; name: string }) {
  const fence = fenceOf(text);
  if (fence) return <CodeBlock {...fence} live={live && !fence.closed} name={name} />;
  return <ReactMarkdown remarkPlugins={[remarkGfm]} rehypePlugins={[rehypeSanitize]} components={components}>{text}</ReactMarkdown>;
});

/** An answer, or a part of one that is still being written. */
export function Markdown({ text, live, name }: { text: string; live: boolean; name: string }) {
  const blocks = blocksOf(text);
  return <div className={cx("text-base text-fg", live && "answer-live")}>{blocks.map((block, i) => <Block key={i} text={block} live={live && i === blocks.length - 1} name={name} />)}</div>;
}
