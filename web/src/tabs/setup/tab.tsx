// Sets a workspace up: what it is, templates and wishes, a plan that is looked at before it is written, and its checks.
import { useQuery } from "@connectrpc/connect-query";
import { useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import { explain } from "../../api/errors";
import { ProvisionService } from "../../gen/devstudio/agent/v1/provision_pb";
import { usePlace } from "../../lib/place";
import { useStatus } from "../../lib/status";
import { m } from "../../paraglide/messages";
import { FaultPane } from "../../ui/fault";
import { Waiting } from "../../ui/tag";
import { Choose } from "./choose";
import { PlanView } from "./plan";

export default function SetUpTab() {
  const { plan } = useSearch({ strict: false }) as { plan?: string };
  const place = usePlace();
  useEffect(() => {
    useStatus.setState({ object: m.setup() });
    return () => useStatus.setState({ object: "" });
  }, []);
  return (
    <div data-pane className="flex min-h-0 flex-1 flex-col overflow-y-auto bg-canvas">
      <div className="mx-auto flex w-full max-w-200 flex-col gap-4 p-6 max-tab:p-3">
        {plan ? <Plan key={plan} planId={plan} /> : <Choose key={place} workspaceId={place} />}
      </div>
    </div>
  );
}

function Plan({ planId }: { planId: string }) {
  const preview = useQuery(ProvisionService.method.previewPlan, { planId }, { staleTime: 0 });
  if (preview.error) return <FaultPane fault={explain(preview.error)} onRetry={() => void preview.refetch()} />;
  if (!preview.data) return <Waiting rows={6} label={m.loading()} />;
  return <PlanView planId={planId} plan={preview.data} />;
}
