// Highlights code in the colours of the theme; each language is loaded when it is first seen.
import type { HighlighterCore, LanguageRegistration } from "shiki";

type Grammar = () => Promise<{ default: LanguageRegistration[] }>;
const grammars: Record<string, Grammar> = {
  python: () => import("shiki/langs/python.mjs"),
  javascript: () => import("shiki/langs/javascript.mjs"),
  typescript: () => import("shiki/langs/typescript.mjs"),
  rust: () => import("shiki/langs/rust.mjs"),
  json: () => import("shiki/langs/json.mjs"),
  shellscript: () => import("shiki/langs/shellscript.mjs"),
  html: () => import("shiki/langs/html.mjs"),
  css: () => import("shiki/langs/css.mjs"),
  sql: () => import("shiki/langs/sql.mjs"),
  go: () => import("shiki/langs/go.mjs"),
  c: () => import("shiki/langs/c.mjs"),
  cpp: () => import("shiki/langs/cpp.mjs"),
  java: () => import("shiki/langs/java.mjs"),
  yaml: () => import("shiki/langs/yaml.mjs"),
  toml: () => import("shiki/langs/toml.mjs"),
};
const aliases: Record<string, string> = { py: "python", python3: "python", js: "javascript", node: "javascript", jsx: "javascript", ts: "typescript", tsx: "typescript", rs: "rust", sh: "shellscript", bash: "shellscript", shell: "shellscript", zsh: "shellscript", yml: "yaml", "c++": "cpp", golang: "go" };
const extensions: Record<string, string> = { python: "py", javascript: "js", typescript: "ts", rust: "rs", json: "json", shellscript: "sh", html: "html", css: "css", sql: "sql", go: "go", c: "c", cpp: "cpp", java: "java", yaml: "yaml", toml: "toml" };

let core: Promise<HighlighterCore> | null = null;

/** The language's one name; empty where it is not known. */
export function languageOf(word: string): string {
  const name = word.toLowerCase();
  const known = aliases[name] ?? name;
  return known in grammars ? known : "";
}

/** The file name's ending for a language. */
export const extensionOf = (language: string) => extensions[languageOf(language)] ?? "txt";

/** A piece of a line and its colour. */
export interface Piece { content: string; color?: string | undefined }

/** The lines of a code block in coloured pieces; null where the language is not known. */
export async function highlight(code: string, word: string): Promise<Piece[][] | null> {
  const lang = languageOf(word);
  const grammar = grammars[lang];
  if (!grammar) return null;
  core ??= make();
  const highlighter = await core;
  if (!highlighter.getLoadedLanguages().includes(lang)) await highlighter.loadLanguage((await grammar()).default);
  return highlighter.codeToTokensBase(code, { lang, theme: "css-variables" }).map((line) => line.map(({ content, color }) => ({ content, color })));
}

async function make(): Promise<HighlighterCore> {
  const [{ createHighlighterCore, createCssVariablesTheme }, { createJavaScriptRegexEngine }] = await Promise.all([import("shiki/core"), import("shiki/engine/javascript")]);
  return createHighlighterCore({ themes: [createCssVariablesTheme({ name: "css-variables", variablePrefix: "--shiki-" })], engine: createJavaScriptRegexEngine({ forgiving: true }) });
}
