-- What is old goes, who waits has a turn, and a task that no worker gets further with ends. Owner: agent.

-- How often a worker took the task up since something of it was written down.
alter table tasks add column attempts integer not null default 0;
-- Since when it waits, or waited last: who gave way is behind those that waited then.
alter table tasks add column queued_at timestamptz;
update tasks set queued_at = created_at;
alter table tasks alter column queued_at set not null;
create index tasks_ended on tasks (user_id, ended_at desc) where ended_at is not null;

-- Bytes of what a run keeps: of one person's, the oldest go when it is too much.
alter table chain_runs add column kept_bytes bigint not null default 0;
update chain_runs r
   set kept_bytes = octet_length(spec) + octet_length(input) + coalesce(octet_length(result), 0)
                  + coalesce((select sum(octet_length(payload)) from chain_frames f where f.run_id = r.run_id), 0);

-- What belongs to something goes with it; alone it stays.
alter table task_events drop constraint task_events_task,
  add constraint task_events_task foreign key (task_id) references tasks on delete cascade;
alter table agent_messages drop constraint agent_messages_task,
  add constraint agent_messages_task foreign key (task_id) references tasks on delete cascade;
alter table chain_frames drop constraint chain_frames_run,
  add constraint chain_frames_run foreign key (run_id) references chain_runs on delete cascade;

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    grant delete on tasks, chain_runs, env_plans to devstudio_agent;
  end if;
end
$$;
