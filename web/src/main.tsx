// Starts the Studio: the session decides between the sign-in page and the shell, each loaded when it is needed.
import { lazy, StrictMode, Suspense, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { refreshSession, startSession, useSession } from "./api/session";
import "./index.css";
import { useLanguage } from "./lib/language";
import { followTheme } from "./lib/theme";
import { m } from "./paraglide/messages";

const SignIn = lazy(() => import("./signin/page"));
const Shell = lazy(() => import("./shell"));

function App() {
  const status = useSession((s) => s.status);
  const language = useLanguage((s) => s.language);
  return (
    <Suspense fallback={<div className="h-full bg-canvas" />}>
      {status === "in" && <Shell key={language} />}
      {status === "out" && <SignIn key={language} />}
      {status === "unreachable" && <Unreachable key={language} />}
    </Suspense>
  );
}

/** The server does not answer, so nobody can be signed in; tries again by itself. */
function Unreachable() {
  useEffect(() => {
    const timer = setInterval(() => void refreshSession(), 5_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <main className="flex h-full items-center justify-center p-6">
      <div className="max-w-110">
        <h1 className="text-xl font-semibold text-fg">{m.unreachable_title()}</h1>
        <p className="mt-2 text-base">{m.unreachable_about()}</p>
        <p className="font-code mt-4 rounded-ctl border border-line-2 bg-editor px-3 py-2 text-code text-fg">$ devstudio up</p>
        <button type="button" autoFocus onClick={() => void refreshSession()} className="mt-4 h-8 rounded-ctl bg-accent px-3 text-sm font-medium text-on-accent hover:bg-accent-hover">
          {m.try_again()}
        </button>
      </div>
    </main>
  );
}

followTheme();
void startSession();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
