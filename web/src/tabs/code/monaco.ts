// Monaco, self-hosted: the chosen languages, workers from this origin, colours from the theme's variables.
import * as monaco from "monaco-editor/editor";
import "monaco-editor/features/register.all";
import "monaco-editor/languages/definitions/cpp/register";
import "monaco-editor/languages/definitions/css/register";
import "monaco-editor/languages/definitions/dockerfile/register";
import "monaco-editor/languages/definitions/go/register";
import "monaco-editor/languages/definitions/html/register";
import "monaco-editor/languages/definitions/ini/register";
import "monaco-editor/languages/definitions/java/register";
import "monaco-editor/languages/definitions/javascript/register";
import "monaco-editor/languages/definitions/markdown/register";
import "monaco-editor/languages/definitions/python/register";
import "monaco-editor/languages/definitions/rust/register";
import "monaco-editor/languages/definitions/shell/register";
import "monaco-editor/languages/definitions/sql/register";
import "monaco-editor/languages/definitions/typescript/register";
import "monaco-editor/languages/definitions/xml/register";
import "monaco-editor/languages/definitions/yaml/register";
import "monaco-editor/languages/features/json/register";
import "monaco-editor/languages/features/typescript/register";
import EditorWorker from "monaco-editor/editor/editor.worker?worker";
import JsonWorker from "monaco-editor/languages/features/json/json.worker?worker";
import TypeScriptWorker from "monaco-editor/languages/features/typescript/ts.worker?worker";
import { token, type Theme } from "../../lib/theme";

globalThis.MonacoEnvironment = {
  getWorker: (_id: string, label: string) => {
    if (label === "json") return new JsonWorker();
    if (label === "typescript" || label === "javascript") return new TypeScriptWorker();
    return new EditorWorker();
  },
};

export { monaco };

/** Gives Monaco the colours of the theme. */
export function applyTheme(theme: Theme): void {
  const rule = (scope: string, name: string, fontStyle = "") => ({ token: scope, foreground: token(name).slice(1), fontStyle });
  monaco.editor.defineTheme(theme, {
    base: theme === "SerialSteel" ? "vs" : "vs-dark",
    inherit: true,
    rules: [
      { token: "", foreground: token("fg").slice(1), background: token("editor").slice(1) },
      rule("keyword", "sx-keyword"), rule("storage", "sx-keyword"), rule("tag", "sx-keyword"),
      rule("identifier.function", "sx-function"), rule("function", "sx-function"), rule("attribute.name", "sx-property"),
      rule("type", "sx-type"), rule("type.identifier", "sx-type"), rule("namespace", "sx-type"),
      rule("string", "sx-string"), rule("string.escape", "sx-constant"), rule("regexp", "sx-string"), rule("attribute.value", "sx-string"),
      rule("number", "sx-number"), rule("constant", "sx-constant"), rule("variable.predefined", "sx-constant"),
      rule("comment", "sx-comment", "italic"), rule("string.key.json", "sx-property"), rule("string.value.json", "sx-string"),
      rule("delimiter", "sx-punct"), rule("operator", "sx-punct"),
    ],
    colors: {
      "editor.background": token("editor"), "editor.foreground": token("fg"), "editorCursor.foreground": token("signal"),
      "editor.lineHighlightBackground": token("hover"), "editor.lineHighlightBorder": token("hover"),
      "editorLineNumber.foreground": token("fg-3"), "editorLineNumber.activeForeground": token("fg"),
      "editor.selectionBackground": token("selected"), "editor.inactiveSelectionBackground": token("selected"),
      "editor.wordHighlightBackground": token("selected"), "editor.wordHighlightStrongBackground": token("selected"), "editor.wordHighlightTextBackground": token("selected"), "editor.selectionHighlightBackground": token("selected"),
      "editorIndentGuide.background1": token("line"), "editorIndentGuide.activeBackground1": token("line-2"),
      "editorWidget.background": token("overlay"), "editorWidget.foreground": token("fg"), "editorWidget.border": token("line-2"),
      "editorSuggestWidget.background": token("overlay"), "editorSuggestWidget.selectedBackground": token("selected"), "editorSuggestWidget.foreground": token("fg-2"), "editorSuggestWidget.highlightForeground": token("accent-text"),
      "editorHoverWidget.background": token("overlay"), "input.background": token("raised"), "input.foreground": token("fg"), "input.border": token("line-strong"),
      "editorError.foreground": token("err"), "editorWarning.foreground": token("warn"), "editorInfo.foreground": token("info"),
      "diffEditor.insertedTextBackground": `${token("add-bg")}`, "diffEditor.removedTextBackground": `${token("del-bg")}`,
      "diffEditor.insertedLineBackground": `${token("add-bg")}`, "diffEditor.removedLineBackground": `${token("del-bg")}`,
      "scrollbarSlider.background": `${token("line-2")}99`, "scrollbarSlider.hoverBackground": token("line-2"), "scrollbarSlider.activeBackground": token("line-strong"),
      "focusBorder": token("focus"), "list.hoverBackground": token("hover"), "list.activeSelectionBackground": token("selected"), "list.activeSelectionForeground": token("fg"),
      "editorBracketMatch.background": token("selected"), "editorBracketMatch.border": token("line-strong"),
      "editorBracketHighlight.foreground1": token("sx-punct"), "editorBracketHighlight.foreground2": token("sx-punct"), "editorBracketHighlight.foreground3": token("sx-punct"),
      "minimap.background": token("editor"), "editorOverviewRuler.border": token("editor"), "editorStickyScroll.background": token("editor"),
      "menu.background": token("overlay"), "menu.foreground": token("fg"), "menu.selectionBackground": token("hover"),
      "quickInput.background": token("overlay"), "quickInput.foreground": token("fg"),
    },
  });
  monaco.editor.setTheme(theme);
}

/** What one text and two beside each other have in common. */
export const looks = (phone: boolean) => ({
  automaticLayout: true,
  fontFamily: '"JetBrains Mono Variable", monospace',
  fontLigatures: false,
  fontSize: phone ? 12 : 12.5,
  lineHeight: 20,
  minimap: { enabled: false },
  padding: { top: 8, bottom: 8 },
  overviewRulerBorder: false,
  hideCursorInOverviewRuler: true,
  scrollBeyondLastLine: false,
  stickyScroll: { enabled: false },
} satisfies monaco.editor.IEditorOptions);

/** The name of a model's language, as the status bar shows it. */
export function languageName(id: string): string {
  const known = monaco.languages.getLanguages().find((l) => l.id === id);
  return known?.aliases?.[0] ?? id;
}
