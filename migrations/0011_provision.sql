-- Plans that set workspaces up, and the agent that makes them. Owner: agent.

create table env_plans (
  plan_id      uuid        constraint env_plans_pkey primary key,
  user_id      uuid        not null,
  api_key_id   uuid,
  workspace_id uuid        not null,
  wish         text        not null,
  model        text        not null default '',
  facts        bytea       not null,
  plan         bytea       not null,
  state        text        not null default 'PLANNED' constraint env_plans_state
    check (state in ('PLANNED', 'APPLYING', 'APPLIED', 'VERIFIED', 'ROLLED_BACK')),
  snapshot_id  uuid,
  -- whoever applies it may be gone
  lease_until  timestamptz,
  created_at   timestamptz not null
);
create index env_plans_of_user on env_plans (user_id, created_at desc);

insert into agents (agent_id, name, description, avatar, system_prompt, tools, temperature, max_tokens) values
('provisioner', 'Provisioner', 'Sets a workspace up: plans its first files and how to check them.', 'PR',
 'You set up workspaces. Plan the few files that are wanted, each complete, and one to three commands that show that they work. Programs run without network: use only what a language brings along. Paths are relative.',
 '{}', 0.2, 3072);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    grant select, insert, update on env_plans to devstudio_agent;
  end if;
end
$$;
