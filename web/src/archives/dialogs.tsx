// The dialog of archives that is asked for; each part is loaded when it is first needed.
import { lazy, Suspense } from "react";
import { useArchives } from "../lib/archives";

const Import = lazy(() => import("./import"));
const Export = lazy(() => import("./export"));

export function ArchiveDialogs() {
  const asked = useArchives((s) => s.asked);
  return <Suspense>{asked?.kind === "import" ? <Import asked={asked} /> : asked && <Export asked={asked} />}</Suspense>;
}
