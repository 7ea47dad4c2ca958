// One Monaco editor for all files of a side: it changes models and keeps each one's view.
import { useEffect, useLayoutEffect, useRef } from "react";
import { TaskKind } from "../../gen/devstudio/agent/v1/agent_pb";
import { flushKept } from "../../lib/keep";
import { useStatus } from "../../lib/status";
import { beginQuestion, beginTask } from "../../lib/task-draft";
import { useTheme } from "../../lib/theme";
import { useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { usePhone } from "../../ui/media";
import { keepView, modelOf, viewOf } from "./files";
import { applyTheme, languageName, looks, monaco } from "./monaco";

let current: monaco.editor.IStandaloneCodeEditor | null = null;

/** Runs one of Monaco's own actions in the editor. */
export function editorAction(id: string): void {
  current?.focus();
  void current?.getAction(id)?.run();
}

export function Editor({ path, right, focused, locked }: { path: string; right: boolean; focused: boolean; locked: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneCodeEditor | null>(null);
  const theme = useTheme((s) => s.theme);
  const phone = usePhone();
  const insertion = useWorkbench((s) => s.insertion);
  const spot = useWorkbench((s) => s.spot);
  const shown = useRef(path);
  useEffect(() => { shown.current = path; }, [path]);

  useEffect(() => {
    if (!box.current) return;
    const made = monaco.editor.create(box.current, {
      model: null,
      ...looks(phone),
      ariaLabel: m.editor(),
      lineNumbersMinChars: phone ? 3 : 4,
      folding: !phone,
      glyphMargin: false,
      renderLineHighlight: "all",
      smoothScrolling: false,
      fixedOverflowWidgets: true,
      bracketPairColorization: { enabled: false },
      dropIntoEditor: { enabled: false },
      unicodeHighlight: { ambiguousCharacters: false },
      scrollbar: { verticalScrollbarSize: 10, horizontalScrollbarSize: 8, useShadows: false },
    });
    editor.current = made;
    current ??= made;
    const cursor = made.onDidChangeCursorPosition(({ position }) => { if (current === made) useStatus.setState({ cursor: { line: position.lineNumber, column: position.column } }); });
    const markers = monaco.editor.onDidChangeMarkers(() => { if (current === made) countProblems(made.getModel()); });
    // What agents and the model can do with the selection, or with the file.
    const offer = (id: string, label: string, order: number, run: (path: string, selection: string) => void) =>
      made.addAction({ id: `devstudio.${id}`, label, contextMenuGroupId: "9_agents", contextMenuOrder: order, run: () => run(shown.current, made.getModel()?.getValueInRange(made.getSelection() ?? new monaco.Selection(1, 1, 1, 1)) ?? "") });
    const offers = [
      offer("fix", m.editor_fix(), 1, (file, selection) => beginTask(TaskKind.FIX, m.editor_fix_prompt({ path: file }), file, selection)),
      offer("test", m.editor_test(), 2, (file, selection) => beginTask(TaskKind.TEST, m.editor_test_prompt({ path: file }), file, selection)),
      offer("explain", m.editor_explain(), 3, (file, selection) => beginQuestion(m.editor_explain_prompt({ path: file }), selection === "" ? (made.getModel()?.getValue() ?? "") : selection)),
    ];
    void document.fonts.ready.then(() => monaco.editor.remeasureFonts());
    return () => {
      cursor.dispose();
      markers.dispose();
      offers.forEach((one) => one.dispose());
      made.dispose();
      if (current !== made) return;
      current = null;
      useStatus.setState({ cursor: null, language: "", problems: { errors: 0, warnings: 0 } });
    };
  }, [phone]);

  useEffect(() => applyTheme(theme), [theme]);

  useEffect(() => editor.current?.updateOptions({ readOnly: locked, readOnlyMessage: { value: m.editor_locked() } }), [locked, phone]);

  useEffect(() => {
    const model = modelOf(path);
    const made = editor.current;
    if (!made || !model) return;
    made.setModel(model);
    const view = viewOf(path, right);
    if (view) made.restoreViewState(view);
    made.updateOptions({ ariaLabel: `${m.editor()}: ${path}` });
  }, [path, right, phone]);

  // Before the model is another or the editor gone, which effects bring about that come after this one's end.
  useLayoutEffect(() => {
    const keep = () => keepView(path, right, editor.current?.getModel() ? editor.current.saveViewState() : null);
    const leave = () => {
      keep();
      flushKept();
    };
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      keep();
    };
  }, [path, right, phone]);

  useEffect(() => {
    const made = editor.current;
    const model = modelOf(path);
    if (!made || !model || !focused) return;
    current = made;
    const at = made.getPosition();
    useStatus.setState({ language: languageName(model.getLanguageId()), cursor: { line: at?.lineNumber ?? 1, column: at?.column ?? 1 } });
    countProblems(model);
    if (!phone) made.focus();
  }, [path, focused, phone]);

  useEffect(() => {
    const made = editor.current;
    if (!made?.getModel() || !focused || insertion?.path !== path) return;
    useWorkbench.setState({ insertion: null });
    const selection = made.getSelection() ?? new monaco.Selection(1, 1, 1, 1);
    made.pushUndoStop();
    made.executeEdits("chat", [{ range: selection, text: insertion.text, forceMoveMarkers: true }]);
    made.pushUndoStop();
    made.revealPositionInCenterIfOutsideViewport(made.getPosition() ?? { lineNumber: 1, column: 1 });
    made.focus();
  }, [insertion, path, focused]);

  useEffect(() => {
    const made = editor.current;
    if (!made?.getModel() || !focused || spot?.path !== path) return;
    useWorkbench.setState({ spot: null });
    made.setSelection({ startLineNumber: spot.line, startColumn: spot.column, endLineNumber: spot.line, endColumn: spot.column + spot.length });
    made.revealLineInCenter(spot.line);
    made.focus();
  }, [spot, path, focused]);

  return <div ref={box} className="font-code min-h-0 flex-1 overflow-hidden" />;
}

function countProblems(model: monaco.editor.ITextModel | null): void {
  const markers = model ? monaco.editor.getModelMarkers({ resource: model.uri }) : [];
  useStatus.setState({
    problems: {
      errors: markers.filter((marker) => marker.severity === monaco.MarkerSeverity.Error).length,
      warnings: markers.filter((marker) => marker.severity === monaco.MarkerSeverity.Warning).length,
    },
  });
}
