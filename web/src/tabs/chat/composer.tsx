// Where one writes to the model: text, model with its state, settings, send or stop.
import { useQuery } from "@connectrpc/connect-query";
import { ArrowUp, SlidersHorizontal, Square } from "lucide-react";
import { Popover } from "radix-ui";
import { useEffect, useRef } from "react";
import { LlmService, ModelState, type Model } from "../../gen/devstudio/llm/v1/llm_pb";
import { ask, defaultSettings, setSettings, stopAnswer, useChat } from "../../lib/chat";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Keys } from "../../ui/keys";
import { usePhone } from "../../ui/media";
import { Select } from "../../ui/select";
import { Slider } from "../../ui/slider";

export function Composer({ busy, used }: { busy: boolean; used: number }) {
  const { draft, settings } = useChat();
  const phone = usePhone();
  const box = useRef<HTMLTextAreaElement>(null);
  const models = useQuery(LlmService.method.listModels, {}, { refetchInterval: 15_000 });
  const talking = (models.data?.models ?? []).filter((model) => !model.embedding);
  const chosen = talking.find((model) => model.modelId === settings.model) ?? talking.find((model) => model.isDefault);
  const send = () => {
    if (draft.trim() === "" || busy) return;
    void ask(draft.trim());
  };
  useEffect(() => {
    if (!box.current) return;
    box.current.style.height = "auto";
    box.current.style.height = `${Math.min(box.current.scrollHeight, 240)}px`;
  }, [draft]);
  useEffect(() => { if (!phone) box.current?.focus(); }, [phone]);
  return (
    <div className="mx-auto w-full max-w-180 px-4 pb-4 max-tab:px-3 max-tab:pb-3">
      <div className="rounded-card border border-line-strong bg-raised p-2.5 focus-within:border-focus">
        <textarea
          ref={box}
          rows={1}
          value={draft}
          aria-label={m.chat_message()}
          placeholder={m.chat_message_to({ name: chosen?.name ?? m.the_model() })}
          maxLength={200_000}
          onChange={(event) => useChat.setState({ draft: event.target.value })}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
            event.preventDefault();
            send();
          }}
          className="max-h-60 min-h-9 w-full resize-none bg-transparent px-1.5 py-1.5 text-base text-fg outline-none"
        />
        <div className="flex items-center gap-1.5">
          <ModelPicker models={talking} value={settings.model} chosen={chosen} />
          <SettingsButton />
          <Gauge used={used} size={chosen?.contextSize ?? 0} />
          <span className="flex-1" />
          {busy && !phone && <span className="flex items-center gap-1.5 text-xs text-fg-3">{m.stop_with()} <Keys keys="Escape" /></span>}
          {busy
            ? <Button icon={Square} onClick={stopAnswer}>{m.stop()}</Button>
            : <Button tone="primary" icon={ArrowUp} disabled={draft.trim() === ""} onClick={send}>{m.send()}</Button>}
        </div>
      </div>
    </div>
  );
}

export function modelStateName(state: ModelState): string {
  switch (state) {
    case ModelState.LOADED: return m.model_loaded();
    case ModelState.LOADING: return m.model_loading();
    case ModelState.DOWNLOADING: return m.model_downloading();
    case ModelState.DOWNLOADED: return m.model_stopped();
    case ModelState.UNLOADING: return m.model_unloading();
    default: return m.model_available();
  }
}

function ModelPicker({ models, value, chosen }: { models: Model[]; value: string; chosen: Model | undefined }) {
  if (models.length === 0) return <span className="px-2 text-xs text-fg-3">{m.models_none()}</span>;
  const ready = chosen?.state === ModelState.LOADED;
  return (
    <div className="flex min-w-0 items-center">
      <span aria-hidden className={cx("ml-1.5 size-1.5 shrink-0 rounded-full", ready ? "bg-ok" : "bg-warn")} />
      <Select
        quiet
        label={m.model()}
        value={models.some((model) => model.modelId === value) ? value : (chosen?.modelId ?? "")}
        onChange={(model) => setSettings({ model })}
        options={models.map((model) => ({ value: model.modelId, label: model.name || model.modelId, about: [modelStateName(model.state), model.aliases.join(", "), model.oversize ? m.model_oversize() : ""].filter(Boolean).join(" · ") }))}
      />
    </div>
  );
}

function SettingsButton() {
  const settings = useChat((s) => s.settings);
  return (
    <Popover.Root>
      <Popover.Trigger asChild><IconButton label={m.chat_settings()} icon={SlidersHorizontal} /></Popover.Trigger>
      <Popover.Portal>
        <Popover.Content side="top" align="start" sideOffset={8} collisionPadding={8} aria-label={m.chat_settings()} className="enter z-50 flex w-72 flex-col gap-4 rounded-card bg-overlay p-4 shadow-over">
          <Slider label={m.temperature()} value={settings.temperature} min={0} max={2} step={0.05} digits={2} onChange={(temperature) => setSettings({ temperature })} />
          <Slider label={m.top_p()} value={settings.topP} min={0} max={1} step={0.01} digits={2} onChange={(topP) => setSettings({ topP })} />
          <Slider label={m.repeat_penalty()} value={settings.repeatPenalty} min={1} max={2} step={0.05} digits={2} onChange={(repeatPenalty) => setSettings({ repeatPenalty })} />
          <Slider label={m.max_tokens()} value={settings.maxTokens} min={64} max={8192} step={64} digits={0} onChange={(maxTokens) => setSettings({ maxTokens })} />
          <Button small tone="quiet" className="self-start" onClick={() => setSettings({ ...defaultSettings, model: settings.model })}>{m.reset_defaults()}</Button>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** How full the model's context is after the last answer. */
function Gauge({ used, size }: { used: number; size: number }) {
  if (size === 0 || used === 0) return null;
  const share = Math.min(1, used / size);
  return (
    <span className="flex items-center gap-1.5 text-xs text-fg-3 phone-hidden" title={m.context_gauge()}>
      <span aria-hidden className="h-1 w-12 overflow-hidden rounded-full bg-line"><span className={cx("block h-full", share >= 0.96 ? "bg-err" : share >= 0.8 ? "bg-warn" : "bg-c1")} style={{ width: `${share * 100}%` }} /></span>
      <span className={cx("nums", share >= 0.8 && "text-warn")}>{number(used)} / {number(size)}</span>
    </span>
  );
}
