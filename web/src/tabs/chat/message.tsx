// One message of a conversation, with what it used.
import { Copy, RefreshCw, TriangleAlert } from "lucide-react";
import { Fragment, memo } from "react";
import { useSession } from "../../api/session";
import { regenerate, type Cost, type Message as ChatMessage } from "../../lib/chat";
import { clock, number, span } from "../../lib/format";
import { go } from "../../lib/nav";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { FaultLine } from "../../ui/fault";
import { Avatar } from "../../ui/tag";
import { Markdown } from "./markdown";

export const Message = memo(function Message({ message, threadId, threadTitle, last }: { message: ChatMessage; threadId: string; threadTitle: string; last: boolean }) {
  const user = useSession((s) => s.user);
  const mine = message.role === "user";
  const name = mine ? user?.displayName || user?.email || "" : message.model || m.the_model();
  const live = message.state === "streaming";
  return (
    <article aria-label={mine ? m.message_of({ name }) : m.answer_of({ name })} aria-busy={live || undefined} className="group flex gap-3 py-3">
      <Avatar name={mine ? name : name.replace(/[^a-z0-9]+/gi, " ")} square={!mine} />
      <div className="min-w-0 flex-1">
        <div className="flex flex-wrap items-baseline gap-x-2">
          <span className="text-sm font-semibold text-fg">{name}</span>
          {mine ? <time className="text-xs text-fg-3">{clock(message.at)}</time> : <CostLine cost={message.cost} live={live} />}
        </div>
        {mine ? <p className="mt-1 text-base break-words whitespace-pre-wrap text-fg">{message.text}</p> : <Markdown text={message.text} live={live} name={threadTitle} />}
        {live && message.text === "" && <p className="text-sm text-fg-3">{m.chat_waiting()}<span aria-hidden className="caret" /></p>}
        {message.state === "stopped" && <Note text={m.chat_stopped()} />}
        {message.finish === "length" && <Note text={m.chat_length()} />}
        {message.finish === "budget" && <Note text={m.chat_budget_end()} />}
        {message.finish === "unloaded" && <Note text={m.chat_unloaded()} />}
        {message.finish === "error" && <Note text={m.chat_error_end()} />}
        {message.fault && (
          <div className="mt-2">
            <FaultLine fault={message.fault}>
              <Button small icon={RefreshCw} onClick={() => void regenerate(threadId)}>{m.try_again()}</Button>
              {message.fault.reason === "TOKEN_BUDGET_EXCEEDED" && <Button small onClick={() => go("/account")}>{m.budget_to_usage()}</Button>}
            </FaultLine>
          </div>
        )}
        {!mine && !live && (message.text !== "" || last) && (
          <div className="mt-1 -ml-2 flex gap-1">
            {message.text !== "" && <Button small tone="quiet" icon={Copy} onClick={() => copyText(message.text)}>{m.copy()}</Button>}
            {last && !message.fault && <Button small tone="quiet" icon={RefreshCw} onClick={() => void regenerate(threadId)}>{m.regenerate()}</Button>}
          </div>
        )}
      </div>
    </article>
  );
});

function CostLine({ cost, live }: { cost: Cost | null; live: boolean }) {
  if (!cost) return null;
  const parts = live
    ? [m.chat_writes(), m.tokens_count({ count: cost.completion, shown: number(cost.completion) }), `${number(cost.tokensPerSecond, 1)} ${m.tokens_per_second()}`]
    : [m.tokens_in({ tokens: number(cost.prompt) }), ...(cost.cached > 0 ? [m.tokens_cached({ tokens: number(cost.cached) })] : []), m.tokens_out({ tokens: number(cost.completion) }), span(cost.totalMs), `${number(cost.tokensPerSecond, 1)} ${m.tokens_per_second()}`];
  return <span className="nums text-xs text-fg-3" data-testid="cost">{parts.map((part, i) => <Fragment key={i}>{i > 0 && " · "}<span className="whitespace-nowrap">{part}</span></Fragment>)}</span>;
}

const Note = ({ text }: { text: string }) => <p className="mt-1 flex items-center gap-1.5 text-sm text-warn"><TriangleAlert size={14} aria-hidden />{text}</p>;
