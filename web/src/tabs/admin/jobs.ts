// Jobs of models, followed over the stream while they run.
import { useQuery } from "@connectrpc/connect-query";
import { useEffect, useState } from "react";
import { toast } from "../../ui/toast";
import { readEdgeJson } from "../../api/edgejson";
import { refetch } from "../../api/query";
import { watch } from "../../api/stream";
import { JobState, LlmService, WatchJobResponseSchema, type Job } from "../../gen/devstudio/llm/v1/llm_pb";
import { m } from "../../paraglide/messages";

/** The newest job of each model. */
export function useJobs(): Record<string, Job> {
  const list = useQuery(LlmService.method.listJobs, {}, { refetchInterval: 10_000 });
  const [watched, setWatched] = useState<Record<string, Job>>({});
  const running = (list.data?.jobs ?? []).filter((job) => job.state === JobState.RUNNING).map((job) => job.jobId).sort().join(" ");
  useEffect(() => {
    const ends = running.split(" ").filter(Boolean).map((jobId) =>
      watch({
        method: "llm.watch_job",
        params: () => ({ jobId }),
        onMessage: (message) => {
          const { job } = readEdgeJson(WatchJobResponseSchema, message);
          if (!job) return;
          setWatched((before) => ({ ...before, [jobId]: job }));
          if (job.state !== JobState.RUNNING) refetch(LlmService.method.listModels, LlmService.method.listJobs);
          if (job.state === JobState.FAILED) toast.error(m.job_failed({ model: job.modelId }), { id: jobId, description: job.errorMessage, duration: 10_000 });
        },
        onEnd: () => refetch(LlmService.method.listModels, LlmService.method.listJobs),
      }),
    );
    return () => { for (const end of ends) end(); };
  }, [running]);
  const newest: Record<string, Job> = {};
  for (const job of list.data?.jobs ?? []) newest[job.modelId] ??= watched[job.jobId] ?? job;
  return newest;
}
