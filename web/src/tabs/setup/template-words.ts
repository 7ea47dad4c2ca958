// The words for templates that DevStudio brings along; a person's own have theirs.
import type { Template } from "../../gen/devstudio/agent/v1/provision_pb";
import { m } from "../../paraglide/messages";

const known: Record<string, { name: () => string; about: () => string }> = {
  "python-cli": { name: m.template_python_cli, about: m.template_python_cli_about },
  "node-module": { name: m.template_node_module, about: m.template_node_module_about },
  "bash-tool": { name: m.template_bash_tool, about: m.template_bash_tool_about },
  "c-program": { name: m.template_c_program, about: m.template_c_program_about },
  "web-page": { name: m.template_web_page, about: m.template_web_page_about },
};

export const nameOf = ({ builtIn, name }: Template): string => known[builtIn]?.name() ?? name;
export const aboutOf = ({ builtIn, about }: Template): string => known[builtIn]?.about() ?? about;
