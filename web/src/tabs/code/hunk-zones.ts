// Places for bars inside a Monaco editor: a gap above a line, and a box over it that takes clicks and the focus.
import { monaco } from "./monaco";

/** Makes a box above each line, and gives them with what removes them. */
export function makeZones(editor: monaco.editor.ICodeEditor, lines: readonly number[], height: number): { boxes: HTMLElement[]; remove: () => void } {
  const boxes: HTMLElement[] = [];
  const widgets: monaco.editor.IOverlayWidget[] = [];
  const ids: string[] = [];
  const place = () => {
    const { contentLeft, contentWidth, verticalScrollbarWidth } = editor.getLayoutInfo();
    for (const box of boxes) Object.assign(box.style, { left: `${contentLeft}px`, width: `${contentWidth - verticalScrollbarWidth}px` });
  };
  editor.changeViewZones((zones) => {
    for (const [at, line] of lines.entries()) {
      const box = document.createElement("div");
      Object.assign(box.style, { height: `${height}px`, display: "none", zIndex: "5" });
      boxes.push(box);
      const widget: monaco.editor.IOverlayWidget = { getId: () => `hunk-${at}`, getDomNode: () => box, getPosition: () => null };
      widgets.push(widget);
      editor.addOverlayWidget(widget);
      ids.push(zones.addZone({
        afterLineNumber: line - 1,
        heightInPx: height,
        ordinal: 1,
        domNode: document.createElement("div"),
        // Lines lie over zones, so what is to be clicked lies in a box of its own that follows the zone.
        onDomNodeTop: (top) => {
          box.style.top = `${top}px`;
          box.style.display = top > -height && top < editor.getLayoutInfo().height ? "" : "none";
        },
      }));
    }
  });
  place();
  const layout = editor.onDidLayoutChange(place);
  return {
    boxes,
    remove: () => {
      layout.dispose();
      for (const widget of widgets) editor.removeOverlayWidget(widget);
      editor.changeViewZones((zones) => { for (const id of ids) zones.removeZone(id); });
    },
  };
}
