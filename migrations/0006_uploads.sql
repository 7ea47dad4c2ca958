-- Uploads: contents too large for one message, in parts, kept for a day. Owner: sandbox.

create table uploads (
  upload_id uuid constraint uploads_pkey primary key,
  user_id uuid not null,
  -- set when all of it is here; until then nobody finds it
  sha256 bytea constraint uploads_sha256 check (octet_length(sha256) = 32),
  size_bytes bigint not null default 0 constraint uploads_size check (size_bytes >= 0),
  -- when its last part came, or when the same content was uploaded again
  touched_at timestamptz not null,
  constraint uploads_of_user unique (user_id, sha256)
);
create index uploads_by_age on uploads (touched_at);

create table upload_parts (
  upload_id uuid not null
    constraint upload_parts_upload references uploads (upload_id) on delete cascade,
  number integer not null constraint upload_parts_number check (number >= 0),
  bytes bytea not null constraint upload_parts_bytes check (octet_length(bytes) between 1 and 1048576),
  constraint upload_parts_pkey primary key (upload_id, number)
);
-- What was uploaded is compressed mostly; trying once more costs time and gains nothing.
alter table upload_parts alter column bytes set storage external;

-- An uploaded module may be larger than a file; one that is run is kept like every other.
alter table blobs
  drop constraint blobs_bytes,
  add constraint blobs_bytes check (octet_length(bytes) <= 16777216);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_sandbox') then
    grant select, insert, update, delete on uploads, upload_parts to devstudio_sandbox;
  end if;
end
$$;
