// The load of the model service, once a second over the stream, and the last minute of it.
import { useEffect, useState } from "react";
import { readEdgeJson } from "../../api/edgejson";
import { watch } from "../../api/stream";
import { WatchStatsResponseSchema, type WatchStatsResponse } from "../../gen/devstudio/llm/v1/llm_pb";

const SECONDS = 60;

export interface Stats { now: WatchStatsResponse | null; cpu: number[]; memory: number[]; speed: number[]; queue: number[] }

export function useStats(): Stats {
  const [last, setLast] = useState<WatchStatsResponse[]>([]);
  useEffect(
    () => watch({ method: "llm.watch_stats", params: () => ({}), onMessage: (message) => setLast((before) => [...before.slice(1 - SECONDS), readEdgeJson(WatchStatsResponseSchema, message)]) }),
    [],
  );
  return {
    now: last.at(-1) ?? null,
    cpu: last.map((s) => s.cpuPercent),
    memory: last.map((s) => Number(s.rssBytes)),
    speed: last.map((s) => s.tokensPerSecond),
    queue: last.map((s) => s.activeRequests + s.queuedRequests),
  };
}
