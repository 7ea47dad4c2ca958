-- Locks, snapshots, empty folders, and the order in which a workspace changed. Owner: sandbox.

-- seq counts the changes of a workspace, fence its locks; both only go up.
alter table workspaces
  add column seq bigint not null default 0,
  add column fence bigint not null default 0;

-- The change that a file has its state from, and how that change came.
alter table files
  add column seq bigint not null default 0,
  add column is_binary boolean not null default false,
  add column lines_added integer not null default 0 constraint files_lines_added check (lines_added >= 0),
  add column lines_removed integer not null default 0 constraint files_lines_removed check (lines_removed >= 0),
  add column changed_by_agent text not null default ''
    constraint files_changed_by_agent check (char_length(changed_by_agent) <= 80);
create index files_by_seq on files (workspace_id, seq);

-- Folders that somebody made; others are there by the files in them. One that is gone keeps its row for watchers.
create table folders (
  workspace_id uuid not null
    constraint folders_workspace references workspaces (workspace_id) on delete cascade,
  path text collate "C" not null constraint folders_path check (octet_length(path) between 1 and 1024),
  seq bigint not null,
  removed boolean not null default false,
  updated_at timestamptz not null,
  constraint folders_pkey primary key (workspace_id, path)
);

create table locks (
  lock_id uuid constraint locks_pkey primary key,
  workspace_id uuid not null
    constraint locks_workspace references workspaces (workspace_id) on delete cascade,
  path text collate "C" not null constraint locks_path check (octet_length(path) <= 1024),
  scope text not null constraint locks_scope check (scope in ('file', 'subtree')),
  mode text not null constraint locks_mode check (mode in ('exclusive', 'shared')),
  owner_user uuid not null,
  owner_agent text not null default '' constraint locks_owner_agent check (char_length(owner_agent) <= 80),
  task_id uuid,
  fencing_token bigint not null,
  pinned boolean not null default false,
  unlock_request text not null default '' constraint locks_unlock_request check (char_length(unlock_request) <= 500),
  created_at timestamptz not null,
  expires_at timestamptz,
  constraint locks_fencing_token unique (workspace_id, fencing_token),
  constraint locks_end check (pinned = (expires_at is null)),
  constraint locks_pinned_by_people check (not pinned or (owner_agent = '' and task_id is null))
);

create table snapshots (
  snapshot_id uuid constraint snapshots_pkey primary key,
  workspace_id uuid not null
    constraint snapshots_workspace references workspaces (workspace_id) on delete cascade,
  parent_id uuid,
  tree_sha256 bytea not null constraint snapshots_tree check (octet_length(tree_sha256) = 32),
  reason text not null default '' constraint snapshots_reason check (char_length(reason) <= 200),
  created_by uuid not null,
  created_at timestamptz not null,
  file_count bigint not null,
  size_bytes bigint not null
);
create index snapshots_of_workspace on snapshots (workspace_id, created_at desc, snapshot_id desc);
create index snapshots_by_tree on snapshots (tree_sha256);

-- A tree by the hash of all its paths and contents: snapshots that are equal share it. No content: a folder.
create table snapshot_entries (
  tree_sha256 bytea not null constraint snapshot_entries_tree check (octet_length(tree_sha256) = 32),
  path text collate "C" not null,
  sha256 bytea constraint snapshot_entries_sha256 references blobs (sha256),
  size_bytes bigint not null,
  is_binary boolean not null,
  constraint snapshot_entries_pkey primary key (tree_sha256, path)
);
create index snapshot_entries_by_content on snapshot_entries (sha256) where sha256 is not null;

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_sandbox') then
    grant select, insert, update, delete on folders, locks, snapshots, snapshot_entries to devstudio_sandbox;
  end if;
end
$$;
