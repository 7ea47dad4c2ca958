// The clients of agents and their tasks; apart from the transport, since only tabs need them.
import { createClient } from "@connectrpc/connect";
import { AgentService } from "../gen/devstudio/agent/v1/agent_pb";
import { ProvisionService } from "../gen/devstudio/agent/v1/provision_pb";
import { transport } from "./transport";

export const agents = createClient(AgentService, transport);
export const provision = createClient(ProvisionService, transport);
