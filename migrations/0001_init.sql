-- The first schema: people, keys, the log, budgets and the ledger.
-- Runs on PostgreSQL 15 to 18. A table has one owning service; the role devstudio_<service> has rights on its own
-- tables only. Roles cannot sign in; a connection takes one by SET ROLE.
do $$
declare service text;
begin
  foreach service in array array['auth', 'billing', 'sandbox', 'edge', 'llm'] loop
    if not exists (select 1 from pg_roles where rolname = 'devstudio_' || service) then
      execute format('create role %I nologin', 'devstudio_' || service);
    end if;
    execute format('grant %I to current_user', 'devstudio_' || service);
  end loop;
exception
  when insufficient_privilege then
    raise notice 'roles of the services could not be made; every service goes on as the owner';
  when duplicate_object or unique_violation then
    null; -- another database of this cluster made them at the same moment
end
$$;

-- People, their sessions, keys and tickets, the audit trail, and the log that people see. Owner: auth.
-- Times come from the service's clock. Secrets are here as SHA-256 or bcrypt only.
create table users (
  id uuid constraint users_pkey primary key,
  email text not null constraint users_email_length check (octet_length(email) between 3 and 254),
  -- citext is not on every server; addresses differ by more than the case of A to Z
  email_key text collate "C" not null generated always as (lower(email collate "C")) stored
    constraint users_email_key unique,
  display_name text not null default '',
  password_hash text not null,
  role text not null constraint users_role check (role in ('admin', 'dev')),
  token_version integer not null default 1 constraint users_token_version check (token_version > 0),
  disabled_at timestamptz,
  created_at timestamptz not null,
  last_login_at timestamptz
);

-- A session is a family of refresh tokens, of which one is live.
create table sessions (
  id uuid constraint sessions_pkey primary key,
  user_id uuid not null constraint sessions_user references users (id) on delete cascade,
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_why text constraint sessions_revoked_why check (revoked_why in ('logout', 'reuse', 'password', 'disabled')),
  constraint sessions_revoked check ((revoked_at is null) = (revoked_why is null))
);
create index sessions_of_user on sessions (user_id) where revoked_at is null;
create index sessions_by_end on sessions (expires_at);

create table refresh_tokens (
  hash bytea constraint refresh_tokens_pkey primary key constraint refresh_tokens_hash check (octet_length(hash) = 32),
  session_id uuid not null constraint refresh_tokens_session references sessions (id) on delete cascade,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  rotated_at timestamptz
);
create unique index refresh_tokens_one_live on refresh_tokens (session_id) where rotated_at is null;
create index refresh_tokens_of_session on refresh_tokens (session_id);

create table api_keys (
  id uuid constraint api_keys_pkey primary key,
  user_id uuid not null constraint api_keys_user references users (id) on delete cascade,
  name text not null constraint api_keys_name_length check (octet_length(name) between 1 and 80),
  prefix text not null constraint api_keys_prefix unique,
  last_four text not null constraint api_keys_last_four check (octet_length(last_four) = 4),
  key_hash bytea not null constraint api_keys_hash check (octet_length(key_hash) = 32),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null
);
-- a name is free again when its key is revoked
create unique index api_keys_name on api_keys (user_id, name) where revoked_at is null;

create table tickets (
  hash bytea constraint tickets_pkey primary key constraint tickets_hash check (octet_length(hash) = 32),
  user_id uuid not null constraint tickets_user references users (id) on delete cascade,
  api_key_id uuid constraint tickets_key references api_keys (id) on delete cascade,
  path text not null,
  origin text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index tickets_by_end on tickets (expires_at);

create table audit_log (
  id bigint generated always as identity constraint audit_log_pkey primary key,
  at timestamptz not null,
  action text not null,
  actor_id uuid,
  service text not null,
  subject_id uuid,
  request_id uuid not null,
  client_address text not null default '',
  details jsonb not null default '{}'
);
create index audit_log_by_time on audit_log (at);
create index audit_log_of_subject on audit_log (subject_id, id);

create function audit_log_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'audit_log takes new rows only' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_log_append_only before update or delete on audit_log
  for each row execute function audit_log_refuse_change();
create trigger audit_log_not_emptied before truncate on audit_log
  for each statement execute function audit_log_refuse_change();

create table logs (
  id bigint generated always as identity constraint logs_pkey primary key,
  at timestamptz not null,
  level smallint not null constraint logs_level check (level between 1 and 4),
  service text not null,
  trace_id text not null default '',
  user_id uuid,
  message text not null,
  fields jsonb not null default '{}'
);
create index logs_of_user on logs (user_id, id);
create index logs_of_trace on logs (trace_id, id) where trace_id <> '';
create index logs_by_time on logs (at);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_auth') then
    grant select, insert, update, delete on users, sessions, refresh_tokens, api_keys, tickets, logs to devstudio_auth;
    grant select, insert on audit_log to devstudio_auth;
  end if;
end
$$;
