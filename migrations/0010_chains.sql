-- Runs of chains, and what their stages gave. Owner: agent.

create table chain_runs (
  run_id       uuid        constraint chain_runs_pkey primary key,
  user_id      uuid        not null,
  api_key_id   uuid,
  workspace_id uuid        not null,
  spec         bytea       not null,
  input        text        not null,
  state        text        not null default 'RUNNING' constraint chain_runs_state
    check (state in ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  error        text        not null default '',
  result       bytea,
  tokens       bigint      not null default 0,
  -- a process that dies leaves a run that another try may take up
  lease_until  timestamptz,
  created_at   timestamptz not null,
  ended_at     timestamptz,
  constraint chain_runs_ended check ((state = 'RUNNING') = (ended_at is null))
);
create index chain_runs_of_user on chain_runs (user_id, created_at desc);

-- What a stage that has ended gave: it is not run again when the run is taken up.
create table chain_frames (
  run_id     uuid        not null constraint chain_frames_run references chain_runs,
  path       text        not null,
  seq        bigint      not null,
  payload    text        not null,
  tokens     integer     not null,
  created_at timestamptz not null,
  constraint chain_frames_pkey primary key (run_id, path)
);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    grant select, insert, update on chain_runs to devstudio_agent;
    grant select, insert on chain_frames to devstudio_agent;
  end if;
end
$$;
