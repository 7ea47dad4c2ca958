// A task that is watched over the one stream, as long as somebody looks at it.
import { useEffect, useState } from "react";
import { explain, type Fault } from "../api/errors";
import { readEdgeJson } from "../api/edgejson";
import { refetch } from "../api/query";
import { watch } from "../api/stream";
import { AgentService, WatchTaskResponseSchema } from "../gen/devstudio/agent/v1/agent_pb";
import { emptyTimeline, hasEnded, withMessage, type Timeline } from "./timeline";

const AGAIN_MS = 1_000;
const FINAL = ["NOT_FOUND", "SCHEMA_VIOLATION", "TOKEN_INVALID", "USER_DISABLED"];

/** Follows a task; after a lost connection it goes on where it was. */
export function useTask(taskId: string): { timeline: Timeline; fault: Fault | null } {
  const [shown, setShown] = useState<{ taskId: string; timeline: Timeline; fault: Fault | null }>({ taskId, timeline: emptyTimeline, fault: null });
  useEffect(() => {
    let timeline = emptyTimeline;
    let end = () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => {
      end = watch({
        method: "agent.watch",
        params: () => ({ taskId, afterSeq: String(timeline.seq) }),
        onMessage: (json) => {
          const message = readEdgeJson(WatchTaskResponseSchema, json);
          const state = timeline.task?.state;
          timeline = withMessage(timeline, message);
          setShown({ taskId, timeline, fault: null });
          if (timeline.task?.state !== state) refetch(AgentService.method.listTasks);
        },
        // The server stops, and will be there again; a task that has ended is told whole before.
        onEnd: () => { if (!timeline.task || !hasEnded(timeline.task.state)) timer = setTimeout(start, AGAIN_MS); },
        onFault: (cause) => {
          const fault = explain(cause);
          if (FINAL.includes(fault.reason)) setShown({ taskId, timeline, fault });
          else timer = setTimeout(start, AGAIN_MS);
        },
      });
    };
    start();
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [taskId]);
  return shown.taskId === taskId ? shown : { timeline: emptyTimeline, fault: null };
}
