-- Agents, their tasks, and all that happens in them. Owner: agent.

do $$
begin
  if not exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    create role devstudio_agent nologin;
  end if;
  grant devstudio_agent to current_user;
exception
  when insufficient_privilege then
    raise notice 'the role of the agents could not be made; the service goes on as the owner';
  when duplicate_object or unique_violation then
    null; -- another database of this cluster made it at the same moment
end
$$;

-- What agents there are: data, changed by admins. Tasks name an agent, and read it anew at each step.
create table agents (
  agent_id      text    constraint agents_pkey primary key,
  name          text    not null,
  description   text    not null,
  avatar        text    not null,
  system_prompt text    not null,
  tools         text[]  not null,
  model         text    not null default '',
  temperature   real    not null constraint agents_temperature check (temperature between 0 and 2),
  max_tokens    integer not null constraint agents_max_tokens check (max_tokens between 64 and 65536),
  version       integer not null default 1,
  constraint agents_id check (agent_id ~ '^[a-z][a-z0-9-]{0,39}$')
);

create table tasks (
  task_id      uuid        constraint tasks_pkey primary key,
  user_id      uuid        not null,
  api_key_id   uuid,
  workspace_id uuid        not null,
  kind         text        not null constraint tasks_kind
    check (kind in ('code', 'test', 'design', 'review', 'fix', 'docs')),
  prompt       text        not null,
  paths        text[]      not null default '{}',
  policy       text        not null constraint tasks_policy check (policy in ('read-only', 'ask', 'workspace', 'free')),
  model        text        not null default '',
  max_steps    integer     not null,
  max_tokens   integer     not null,
  max_ms       bigint      not null,
  traceparent  text        not null default '',
  state        text        not null default 'QUEUED' constraint tasks_state
    check (state in ('QUEUED', 'RUNNING', 'WAITING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  agent_id     text        not null,
  steps        integer     not null default 0,
  tokens       integer     not null default 0,
  worked_ms    bigint      not null default 0,
  plan         text[]      not null default '{}',
  pending      bytea,
  pending_id   text,
  pending_until timestamptz,
  -- what is about to be done: enough to tell, after a crash, whether it was
  intent       jsonb,
  snapshot_id  uuid,
  result       text        not null default '',
  cancelled    boolean     not null default false,
  -- how many tasks of the same person were before it: whoever has many waits longer
  turn         bigint      not null,
  worker       uuid,
  lease_until  timestamptz,
  last_seq     bigint      not null default 0,
  created_at   timestamptz not null,
  started_at   timestamptz,
  ended_at     timestamptz,
  constraint tasks_ended check ((state in ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (ended_at is not null)),
  constraint tasks_pending check ((state = 'WAITING') = (pending is not null)),
  constraint tasks_worker check ((state = 'RUNNING') = (worker is not null))
);
create index tasks_of_user on tasks (user_id, created_at desc, task_id desc);
create index tasks_open on tasks (turn, created_at) where state in ('QUEUED', 'RUNNING');

-- What happened, in order; a message of the contract (TaskEvent) each. Append-only.
create table task_events (
  task_id    uuid        not null constraint task_events_task references tasks,
  seq        bigint      not null,
  agent_id   text        not null,
  kind       text        not null,
  payload    bytea       not null,
  created_at timestamptz not null,
  constraint task_events_pkey primary key (task_id, seq)
);

-- What agents tell each other, as it is found without reading events.
create table agent_messages (
  task_id    uuid        not null constraint agent_messages_task references tasks,
  seq        bigint      not null,
  from_agent text        not null,
  to_agent   text        not null,
  kind       text        not null constraint agent_messages_kind
    check (kind in ('REQUEST', 'RESULT', 'HANDOFF', 'QUESTION', 'ERROR', 'CANCEL')),
  body       text        not null,
  created_at timestamptz not null,
  constraint agent_messages_pkey primary key (task_id, seq)
);

insert into agents (agent_id, name, description, avatar, system_prompt, tools, temperature, max_tokens) values
('planner', 'Planner', 'Splits a task into a few steps before others work on it.', 'PL',
 'You plan work for other agents. Split the task into one to six short steps that can each be checked. Name files. Plan nothing that was not asked for.',
 '{}', 0.2, 512),
('coder', 'Coder', 'Writes and changes code.', 'CO',
 'You are a careful programmer. You work in small steps: look at what is there, write or edit one file, and finish when the task is done. Write complete files that run as they are. Do not change what the task does not ask for.',
 '{write_file,edit_file,delete_path,move_path,run_exec,read_file,search,ask_user,finish}', 0.2, 2048),
('tester', 'Tester', 'Runs what others wrote, writes tests, and hands back what fails.', 'TE',
 'You test what others wrote. Run it, or run its tests; write a missing test file. Finish with success only when a run of yours has shown that it works. Otherwise finish without success and say exactly what failed, with the output.',
 '{run_exec,read_file,search,write_file,finish}', 0.2, 2048),
('fixer', 'Fixer', 'Finds and mends a fault.', 'FI',
 'You mend faults. Reproduce the fault first by running the program, find its cause, and change as little as possible. Finish when the fault is gone.',
 '{run_exec,read_file,search,edit_file,write_file,ask_user,finish}', 0.2, 2048),
('designer', 'Designer', 'Works out structures and interfaces, and writes them down.', 'DE',
 'You design software. Read what is there, and write a short design document in Markdown: purpose, parts, interfaces, data, open questions. Finish when it is written.',
 '{read_file,search,write_file,edit_file,ask_user,finish}', 0.3, 2048),
('reviewer', 'Reviewer', 'Reads changes and names their faults.', 'RE',
 'You review the work of others. Read the files that matter. Finish with success when they do what the task asks and you see no fault. Otherwise finish without success and name each fault with its file and line.',
 '{read_file,search,run_exec,finish}', 0.2, 2048),
('writer', 'Writer', 'Writes documents for people.', 'WR',
 'You write documents for people who use software. Read the code first and write only what it does. Short sentences, examples that work, Markdown.',
 '{read_file,search,write_file,edit_file,ask_user,finish}', 0.3, 2048);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    grant select, insert, update on agents, tasks to devstudio_agent;
    grant select, insert on task_events, agent_messages to devstudio_agent;
  end if;
end
$$;
