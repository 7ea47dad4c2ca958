-- Workspaces with versioned files, their contents, and the runs of engines. Owner: sandbox.
-- People are named by their id without a foreign key: they belong to another service. Times come from the service's
-- clock. PostgreSQL is the truth; the copies that programs see are made from it.
create table workspaces (
  workspace_id uuid constraint workspaces_pkey primary key,
  user_id uuid not null,
  name text not null constraint workspaces_name check (char_length(name) between 1 and 200),
  is_default boolean not null default false,
  used_bytes bigint not null default 0 constraint workspaces_used_bytes check (used_bytes >= 0),
  file_count bigint not null default 0 constraint workspaces_file_count check (file_count >= 0),
  created_at timestamptz not null
);
create unique index workspaces_one_default on workspaces (user_id) where is_default;
create index workspaces_of_user on workspaces (user_id, created_at);

-- Contents by their SHA-256; those that nothing names any more are swept a day after their last use.
create table blobs (
  sha256 bytea constraint blobs_pkey primary key constraint blobs_sha256 check (octet_length(sha256) = 32),
  bytes bytea not null constraint blobs_bytes check (octet_length(bytes) <= 1048576),
  used_at timestamptz not null
);

-- A file that was deleted keeps its row without content, so that the versions of its path go on counting.
create table files (
  workspace_id uuid not null
    constraint files_workspace references workspaces (workspace_id) on delete cascade,
  path text collate "C" not null constraint files_path check (octet_length(path) between 1 and 1024),
  version bigint not null constraint files_version check (version > 0),
  sha256 bytea constraint files_sha256 references blobs (sha256),
  size_bytes bigint not null constraint files_size_bytes check (size_bytes between 0 and 524288),
  mode integer not null default 420 constraint files_mode check (mode between 0 and 511),
  updated_at timestamptz not null,
  constraint files_pkey primary key (workspace_id, path),
  constraint files_deleted check (sha256 is not null or size_bytes = 0)
);
create index files_by_content on files (sha256) where sha256 is not null;

create table exec_runs (
  exec_id uuid constraint exec_runs_pkey primary key,
  user_id uuid not null,
  workspace_id uuid,
  -- which service ran it, to end what a killed one left open
  instance text not null,
  engine text not null constraint exec_runs_engine check (char_length(engine) <= 32),
  runtime text not null,
  title text not null,
  request jsonb not null,
  module_sha256 bytea constraint exec_runs_module references blobs (sha256),
  isolation text not null,
  started_at timestamptz not null,
  status text constraint exec_runs_status check (status in (
    'SUCCEEDED', 'NONZERO_EXIT', 'SIGNALED', 'TIMEOUT', 'OUT_OF_MEMORY', 'TRAPPED', 'CANCELLED', 'FAILED')),
  exit_code integer not null default -1,
  signal integer not null default 0,
  wall_ms bigint not null default 0 constraint exec_runs_wall_ms check (wall_ms >= 0),
  cpu_ms bigint not null default 0 constraint exec_runs_cpu_ms check (cpu_ms >= 0),
  max_rss_bytes bigint not null default 0 constraint exec_runs_max_rss_bytes check (max_rss_bytes >= 0),
  truncated boolean not null default false,
  message text not null default '',
  stdout bytea not null default '',
  stderr bytea not null default '',
  facts jsonb not null default '{}',
  changed_paths text[] not null default '{}',
  rejected_paths jsonb not null default '{}',
  ended_at timestamptz,
  constraint exec_runs_ended check ((status is null) = (ended_at is null))
);
create index exec_runs_of_user on exec_runs (user_id, started_at desc, exec_id desc);
create index exec_runs_open on exec_runs (instance) where status is null;
create index exec_runs_by_age on exec_runs (started_at);
create index exec_runs_by_module on exec_runs (module_sha256) where module_sha256 is not null;

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_sandbox') then
    grant select, insert, update, delete on workspaces, files, blobs, exec_runs to devstudio_sandbox;
  end if;
end
$$;
