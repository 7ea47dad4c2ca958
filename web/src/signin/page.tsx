// The sign-in page: the form, and beside it what one does here. It loads without the shell.
import { ArrowRight, Check, Eye, EyeOff, Globe, SunMoon } from "lucide-react";
import { useEffect, useState, type FormEvent } from "react";
import { explain, type Fault } from "../api/errors";
import { signIn, useSession } from "../api/session";
import { languages, setLanguage, useLanguage } from "../lib/language";
import { setTheme, useTheme } from "../lib/theme";
import { m } from "../paraglide/messages";
import { Mark } from "../ui/mark";
import { inputClass } from "../ui/field";
import { useSecondsUntil } from "../ui/seconds";

export default function SignInPage() {
  useEffect(() => { document.title = `${m.signin()} · DevStudio`; }, []);
  return (
    <div className="flex h-full overflow-auto bg-panel">
      <Side />
      <main className="relative flex min-w-0 flex-1 flex-col items-center justify-center px-6 py-20">
        <div className="w-full max-w-85">
          <div className="mb-8 flex items-center gap-3 tab:hidden"><Mark size={32} /><span className="text-lg font-semibold text-fg">DevStudio</span></div>
          <h1 className="text-xl font-semibold tracking-tight text-fg">{m.signin()}</h1>
          <p className="mt-1 text-sm">{m.signin_where({ host: location.host })}</p>
          <Form />
          <p className="mt-5 text-xs text-fg-3">{m.signin_forgot()}</p>
        </div>
        <Foot />
      </main>
    </div>
  );
}

function Form() {
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const endedBy = useSession((s) => s.endedBy);
  const [fault, setFault] = useState<Fault | null>(() => (endedBy ? explain(endedBy) : null));
  const [waitUntil, setWaitUntil] = useState(0);
  const seconds = useSecondsUntil(waitUntil);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    setBusy(true);
    setFault(null);
    try {
      await signIn(String(data.get("email")).trim(), String(data.get("password")));
    } catch (cause) {
      const now = explain(cause);
      setFault(now);
      if (now.reason === "RATE_LIMITED") setWaitUntil(Date.now() + Math.max(1_000, now.retryAfterMs || 10_000));
    } finally {
      setBusy(false);
    }
  };
  const throttled = seconds > 0;
  const message = throttled ? m.signin_throttled() : fault && fault.reason !== "RATE_LIMITED" ? [fault.title, fault.action].filter(Boolean).join(" ") : "";
  return (
    <form onSubmit={(event) => void submit(event)} className="mt-6 flex flex-col gap-4">
      <div className="flex flex-col gap-1.5">
        <label htmlFor="email" className="label">{m.email()}</label>
        <input id="email" name="email" type="email" required autoFocus autoComplete="username" aria-describedby="signin-fault" className={`${inputClass} h-10`} />
      </div>
      <div className="flex flex-col gap-1.5">
        <label htmlFor="password" className="label">{m.password()}</label>
        <div className="relative">
          <input id="password" name="password" type={shown ? "text" : "password"} required autoComplete="current-password" aria-describedby="signin-fault" className={`${inputClass} h-10 pr-11`} />
          <button type="button" aria-label={shown ? m.password_hide() : m.password_show()} aria-pressed={shown} onClick={() => setShown(!shown)} className="absolute top-1 right-1 flex size-8 items-center justify-center rounded-ctl text-fg-3 hover:text-fg">
            {shown ? <EyeOff size={16} aria-hidden /> : <Eye size={16} aria-hidden />}
          </button>
        </div>
      </div>
      <p id="signin-fault" role="alert" className="text-sm text-err empty:hidden">{message}</p>
      <button type="submit" disabled={busy || throttled} className="flex h-10 items-center justify-center gap-2 rounded-ctl bg-accent text-sm font-medium text-on-accent shadow-primary hover:bg-accent-hover disabled:bg-hover disabled:text-fg-2 disabled:shadow-none">
        {throttled ? m.signin_again_in({ seconds }) : busy ? m.signin_busy() : <>{m.signin()}<ArrowRight size={16} aria-hidden /></>}
      </button>
    </form>
  );
}

function Side() {
  const steps = [m.step_ask(), m.step_answer(), m.step_insert(), m.step_save(), m.step_run(), m.step_count()];
  return (
    <section aria-label="DevStudio" className="signin-side flex w-[53%] flex-col justify-between border-r border-line bg-canvas p-14 max-wide:p-9 phone-hidden">
      <div className="flex items-center gap-3"><Mark size={32} /><span className="text-lg font-semibold text-fg">DevStudio</span></div>
      <div className="max-w-130">
        <p className="text-display font-semibold tracking-tight whitespace-pre-line text-fg">{m.signin_claim()}</p>
        <p className="mt-3 text-base">{m.signin_claim_about()}</p>
        <ol className="mt-8 rounded-card border border-line-2 bg-panel py-2">
          {steps.map((step, i) => (
            <li key={step} className="flex items-center gap-3 px-4 py-1.5 text-sm text-fg">
              <span aria-hidden className="font-code flex size-6 items-center justify-center rounded-ctl border border-line-strong text-2xs text-fg-2">{i + 1}</span>
              <span className="flex-1">{step}</span>
              <Check size={15} aria-hidden className="text-ok" />
            </li>
          ))}
        </ol>
      </div>
      <p className="font-code flex gap-8 text-2xs text-fg-3"><span>DevStudio {__VERSION__}</span><span>{m.signin_plate()}</span></p>
    </section>
  );
}

function Foot() {
  const theme = useTheme((s) => s.theme);
  const language = useLanguage((s) => s.language);
  const other = language === "de" ? "en" : "de";
  const next = theme === "SerialSteel" ? "NeonCyberNight" : "SerialSteel";
  const link = "flex h-8 items-center gap-1.5 rounded-ctl px-2 text-xs text-fg-2 hover:text-fg max-tab:h-10";
  return (
    <footer className="absolute right-6 bottom-4 flex gap-2 max-tab:right-auto">
      <button type="button" className={link} onClick={() => setLanguage(other)} aria-label={m.language_now({ now: languages[language], other: languages[other] })}><Globe size={15} aria-hidden />{languages[language]}</button>
      <button type="button" className={link} onClick={() => setTheme(next)} aria-label={m.theme_now({ now: theme, other: next })}><SunMoon size={15} aria-hidden />{theme}</button>
    </footer>
  );
}
