-- Budgets, reservations, usage and the ledger. Owner: billing.
-- People, keys and models belong to other services and are known by their ids only. Times and months come from the
-- caller's clock; months are calendar months in UTC. Counts of tokens are bigint.

-- The monthly limit of a person or key. No row: the setting's default for people, no bound for keys.
-- A row without limit: no bound.
create table budgets (
  scope         text   not null,
  subject_id    uuid   not null,
  monthly_limit bigint,
  constraint budgets_pk primary key (scope, subject_id),
  constraint budgets_scope check (scope in ('user', 'key')),
  constraint budgets_monthly_limit check (monthly_limit between 0 and 1000000000000000)
);

-- What was granted, used and is reserved in a month; made at the month's first reservation.
create table token_balances (
  scope        text   not null,
  subject_id   uuid   not null,
  period_start date   not null,
  granted      bigint not null default 0,
  used         bigint not null default 0,
  reserved     bigint not null default 0,
  constraint token_balances_pk primary key (scope, subject_id, period_start),
  constraint token_balances_scope check (scope in ('user', 'key')),
  constraint token_balances_period check (extract(day from period_start) = 1),
  constraint token_balances_granted check (granted between 0 and 1000000000000000),
  constraint token_balances_used check (used >= 0),
  constraint token_balances_reserved check (reserved >= 0)
) with (fillfactor = 50);

-- One row a request, from its reserve on; it also keeps a request id from being used twice.
create table reservations (
  request_id    uuid        not null,
  user_id       uuid        not null,
  api_key_id    uuid,
  model_id      text        not null,
  kind          text        not null,
  period_start  date        not null,
  prompt_tokens bigint      not null,
  reserved      bigint      not null,
  produced      bigint      not null default 0,
  state         text        not null default 'open',
  settings      jsonb       not null default '{}',
  lease_until   timestamptz not null,
  created_at    timestamptz not null,
  settled_at    timestamptz,
  constraint reservations_pk primary key (request_id),
  constraint reservations_kind check (kind in ('chat', 'completion', 'embedding')),
  constraint reservations_period check (extract(day from period_start) = 1),
  constraint reservations_tokens check (prompt_tokens >= 0 and reserved >= prompt_tokens and produced >= 0),
  constraint reservations_state check (state in ('open', 'settled') and (state = 'settled') = (settled_at is not null))
) with (fillfactor = 80);

-- By created_at and not by lease_until, so that renewing a lease touches no index.
create index reservations_open on reservations (created_at) where state = 'open';

-- What each request used; append-only. period_start is the month that it was billed to, that of its reserve.
create table token_usage (
  id                bigserial   not null,
  request_id        uuid        not null,
  user_id           uuid        not null,
  api_key_id        uuid,
  model_id          text        not null,
  prompt_tokens     bigint      not null,
  completion_tokens bigint      not null,
  cached_tokens     bigint      not null,
  kind              text        not null,
  status            text        not null,
  created_at        timestamptz not null,
  period_start      date        not null,
  ttft_ms           bigint      not null,
  total_ms          bigint      not null,
  constraint token_usage_request unique (request_id, created_at),
  constraint token_usage_tokens check (prompt_tokens >= 0 and completion_tokens >= 0 and cached_tokens >= 0),
  constraint token_usage_kind check (kind in ('chat', 'completion', 'embedding')),
  constraint token_usage_status check (status in ('OK', 'CANCELLED', 'FAILED', 'BUDGET', 'SWEPT')),
  constraint token_usage_times check (ttft_ms >= 0 and total_ms >= 0)
) partition by range (created_at);

create index token_usage_user on token_usage (user_id, created_at desc, id desc);
create index token_usage_newest on token_usage (created_at desc, id desc);

-- Takes what no month's partition takes, so that nothing is ever refused for want of one.
create table token_usage_default partition of token_usage default;

-- Double entry: tokens flow from the house to a person (grant) and from a person to a model (use). The amounts of a
-- request sum to zero, one row an account. Append-only.
create table ledger_entries (
  request_id   uuid        not null,
  kind         text        not null,
  account      text        not null,
  subject      text        not null,
  amount       bigint      not null,
  period_start date        not null,
  created_at   timestamptz not null,
  constraint ledger_entries_pk primary key (request_id, kind, account),
  constraint ledger_entries_kind check (kind in ('use', 'grant')),
  constraint ledger_entries_account check (account in ('user', 'model', 'house'))
);

-- Sums of a model's day (UTC).
create table model_usage (
  model_id          text   not null,
  day               date   not null,
  requests          bigint not null default 0,
  prompt_tokens     bigint not null default 0,
  completion_tokens bigint not null default 0,
  errors            bigint not null default 0,
  total_ms          bigint not null default 0,
  constraint model_usage_pk primary key (model_id, day),
  constraint model_usage_sums check
    (requests >= 0 and prompt_tokens >= 0 and completion_tokens >= 0 and errors >= 0 and total_ms >= 0)
) with (fillfactor = 50);

-- How each request was made and ended; no prompt text.
create table llm_requests (
  request_id   uuid        not null,
  user_id      uuid        not null,
  api_key_id   uuid,
  agent_id     uuid,
  task_id      uuid,
  model_id     text        not null,
  method       text        not null,
  settings     jsonb       not null,
  ttft_ms      bigint      not null,
  total_ms     bigint      not null,
  status       text        not null,
  error_reason text,
  created_at   timestamptz not null,
  constraint llm_requests_pk primary key (request_id)
);

create index llm_requests_user on llm_requests (user_id, created_at desc);

-- Whoever tries: entries and usage are written once.
create function billing_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;

create trigger ledger_entries_append_only before update or delete or truncate on ledger_entries
  for each statement execute function billing_refuse_change();
create trigger token_usage_append_only before update or delete on token_usage
  for each row execute function billing_refuse_change();
create trigger token_usage_no_truncate before truncate on token_usage
  for each statement execute function billing_refuse_change();
create trigger token_usage_no_truncate before truncate on token_usage_default
  for each statement execute function billing_refuse_change();

-- Makes the partitions of token_usage for p_months months from p_from on, where they are missing. Runs with the
-- owner's rights, since billing may not make tables. A month of which rows are in the default partition stays there.
create function billing_make_partitions(p_from date, p_months int) returns int
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
  v_month date;
  v_name  text;
  v_made  int := 0;
begin
  perform pg_advisory_xact_lock(hashtext('billing_make_partitions'));
  for i in 0 .. least(p_months, 24) - 1 loop
    v_month := (date_trunc('month', p_from::timestamp) + make_interval(months => i))::date;
    v_name := 'token_usage_' || to_char(v_month, 'YYYY_MM');
    continue when to_regclass(v_name) is not null;
    begin
      execute format('create table %I (like token_usage including defaults including constraints)', v_name);
      execute format(
        'create trigger token_usage_no_truncate before truncate on %I
           for each statement execute function billing_refuse_change()', v_name);
      execute format('alter table token_usage attach partition %I for values from (%L) to (%L)', v_name,
        to_char(v_month, 'YYYY-MM-DD') || ' 00:00:00+00',
        to_char(v_month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
      v_made := v_made + 1;
    exception when check_violation then
      raise notice 'rows of % are in the default partition already and stay there', v_month;
    end;
  end loop;
  return v_made;
end
$$;

-- A refusal: which budget had too little left.
create type billing_refusal as (
  request_id    uuid,
  scope         text,
  monthly_limit bigint,
  granted       bigint,
  used          bigint,
  reserved      bigint
);

-- Takes tokens from the budgets of people and keys, each order (one place of the arrays) from both or from neither,
-- and tells which orders were refused. Rows are made and locked in one order, so takers never wait in a circle.
-- Plans go by the index always: one made while a table was small must not outlive it.
create function billing_take(
  p_request uuid[], p_user uuid[], p_key uuid[], p_period date[], p_tokens bigint[], p_default_limit bigint
) returns setof billing_refusal
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_scope   text[];
  v_subject uuid[];
  v_period  date[];
  v_total   bigint[];
  v_count   int;
  v_refusal billing_refusal;
begin
  select array_agg(t.scope), array_agg(t.subject_id), array_agg(t.period_start), array_agg(t.tokens)
    into v_scope, v_subject, v_period, v_total
    from (
      select s.scope, s.subject_id, o.period_start, sum(o.tokens)::bigint as tokens
        from unnest(p_user, p_key, p_period, p_tokens) as o (user_id, key_id, period_start, tokens)
       cross join lateral (values ('user', o.user_id), ('key', o.key_id)) as s (scope, subject_id)
       where s.subject_id is not null
       group by s.scope, s.subject_id, o.period_start
       order by s.scope, s.subject_id, o.period_start
    ) t;
  if v_scope is null then
    return;
  end if;

  insert into token_balances (scope, subject_id, period_start)
    select t.scope, t.subject_id, t.period_start
      from unnest(v_scope, v_subject, v_period) as t (scope, subject_id, period_start)
     where not exists (
       select 1 from token_balances b
        where b.scope = t.scope and b.subject_id = t.subject_id and b.period_start = t.period_start)
     order by t.scope, t.subject_id, t.period_start
    on conflict on constraint token_balances_pk do nothing;

  perform 1
    from unnest(v_scope, v_subject, v_period) as t (scope, subject_id, period_start)
    join token_balances b using (scope, subject_id, period_start)
   order by b.scope, b.subject_id, b.period_start
     for update of b;

  -- Mostly there is room for all: then one statement takes everything.
  if not exists (
    select 1
      from unnest(v_scope, v_subject, v_period, v_total) as t (scope, subject_id, period_start, tokens)
      join token_balances b using (scope, subject_id, period_start)
      left join budgets l using (scope, subject_id)
     where b.used + b.reserved + t.tokens
         > case when l.scope is not null then l.monthly_limit when t.scope = 'user' then p_default_limit end + b.granted
  ) then
    update token_balances b
       set reserved = b.reserved + t.tokens
      from unnest(v_scope, v_subject, v_period, v_total) as t (scope, subject_id, period_start, tokens)
      left join budgets l using (scope, subject_id)
     where b.scope = t.scope and b.subject_id = t.subject_id and b.period_start = t.period_start
       and (b.used + b.reserved + t.tokens
         > case when l.scope is not null then l.monthly_limit when t.scope = 'user' then p_default_limit end + b.granted
       ) is not true;
    get diagnostics v_count = row_count;
    if v_count <> cardinality(v_scope) then
      raise exception 'a limit was changed in between' using errcode = 'serialization_failure';
    end if;
    return;
  end if;

  -- Otherwise one order after the other, as they came.
  for i in 1 .. cardinality(p_request) loop
    with mine as (
      select b.scope, b.subject_id, b.period_start, b.granted, b.used, b.reserved,
             case when l.scope is not null then l.monthly_limit when b.scope = 'user' then p_default_limit end
               as monthly_limit
        from (values ('user', p_user[i]), ('key', p_key[i])) as s (scope, subject_id)
        join token_balances b
          on b.scope = s.scope and b.subject_id = s.subject_id and b.period_start = p_period[i]
        left join budgets l on l.scope = s.scope and l.subject_id = s.subject_id
    ), short as (
      select * from mine m where m.used + m.reserved + p_tokens[i] > m.monthly_limit + m.granted
    ), taken as (
      update token_balances b
         set reserved = b.reserved + p_tokens[i]
        from mine m
       where b.scope = m.scope and b.subject_id = m.subject_id and b.period_start = m.period_start
         and (b.used + b.reserved + p_tokens[i] > m.monthly_limit + b.granted) is not true
         and not exists (select 1 from short)
    )
    select p_request[i], s.scope, s.monthly_limit, s.granted, s.used, s.reserved
      into v_refusal from short s order by s.scope desc limit 1;
    if found then
      return next v_refusal;
    end if;
  end loop;
end
$$;

-- Reserves for every order that has room, and tells of the others: 'refused', or 'exists' where the request id was
-- used before. Orders of one call have different request ids.
create function billing_reserve(
  p_now timestamptz, p_lease_until timestamptz, p_period date, p_default_limit bigint,
  p_request uuid[], p_user uuid[], p_key uuid[], p_model text[], p_kind text[],
  p_prompt bigint[], p_completion bigint[], p_settings text[]
) returns table (
  request_id uuid, outcome text, scope text, monthly_limit bigint, granted bigint, used bigint, reserved bigint
)
language plpgsql set lock_timeout = '3s' as $$
#variable_conflict use_column
declare
  v_before  uuid[];
  v_refused billing_refusal[];
  v_new     int;
  v_count   int;
begin
  v_before := array(select r.request_id from reservations r where r.request_id = any (p_request));

  with fresh as (
    select *
      from unnest(p_request, p_user, p_key, p_prompt, p_completion) with ordinality
        as o (request_id, user_id, key_id, prompt, completion, place)
     where o.request_id <> all (v_before)
  ), orders as (
    select count(*)::int as count,
           array_agg(o.request_id order by o.place) as request, array_agg(o.user_id order by o.place) as person,
           array_agg(o.key_id order by o.place) as key,
           array_agg(o.prompt + o.completion order by o.place) as tokens
      from fresh o
  )
  select o.count, array(select t from billing_take(
           o.request, o.person, o.key, array_fill(p_period, array[o.count]), o.tokens, p_default_limit) t)
    into v_new, v_refused from orders o;

  insert into reservations (request_id, user_id, api_key_id, model_id, kind, period_start, prompt_tokens, reserved,
                            settings, lease_until, created_at)
    select o.request_id, o.user_id, o.key_id, o.model, o.kind, p_period, o.prompt, o.prompt + o.completion,
           o.settings::jsonb, p_lease_until, p_now
      from unnest(p_request, p_user, p_key, p_model, p_kind, p_prompt, p_completion, p_settings)
        as o (request_id, user_id, key_id, model, kind, prompt, completion, settings)
     where o.request_id <> all (v_before)
       and not exists (select 1 from unnest(v_refused) f where f.request_id = o.request_id)
     order by o.request_id
    on conflict on constraint reservations_pk do nothing;
  get diagnostics v_count = row_count;
  if v_count + cardinality(v_refused) <> v_new then
    raise exception 'a request id was used in between' using errcode = 'serialization_failure';
  end if;

  return query
    select f.request_id, 'refused', f.scope, f.monthly_limit, f.granted, f.used, f.reserved from unnest(v_refused) f
    union all
    select b, 'exists', null, null, null, null, null from unnest(v_before) b;
end
$$;

-- Takes further tokens for open reservations, keeps what was produced and renews their leases; a refused one keeps
-- what it holds. Tells what became of each reservation that there is: 'open', 'refused' or 'settled'.
create function billing_extend(
  p_lease_until timestamptz, p_default_limit bigint, p_request uuid[], p_tokens bigint[], p_produced bigint[]
) returns table (
  request_id uuid, outcome text, held bigint, period_start date,
  scope text, monthly_limit bigint, granted bigint, used bigint, reserved bigint
)
language plpgsql set lock_timeout = '3s' as $$
#variable_conflict use_column
declare
  v_refused billing_refusal[];
begin
  perform 1 from reservations r where r.request_id = any (p_request) order by r.request_id for update;

  select array(select t from billing_take(o.request, o.person, o.key, o.period, o.tokens, p_default_limit) t)
    into v_refused
    from (
      select array_agg(r.request_id order by o.place) as request, array_agg(r.user_id order by o.place) as person,
             array_agg(r.api_key_id order by o.place) as key, array_agg(r.period_start order by o.place) as period,
             array_agg(o.tokens order by o.place) as tokens
        from unnest(p_request, p_tokens) with ordinality as o (request_id, tokens, place)
        join reservations r on r.request_id = o.request_id
       where r.state = 'open' and o.tokens > 0
    ) o;

  return query
    with changed as (
      update reservations r
         set lease_until = p_lease_until,
             produced = greatest(r.produced, o.produced),
             reserved = r.reserved + case when f.request_id is null then o.tokens else 0 end
        from unnest(p_request, p_tokens, p_produced) as o (request_id, tokens, produced)
        left join unnest(v_refused) f on f.request_id = o.request_id
       where r.request_id = o.request_id and r.state = 'open'
      returning r.request_id, case when f.request_id is null then 'open' else 'refused' end, r.reserved,
                r.period_start, f.scope, f.monthly_limit, f.granted, f.used, f.reserved
    )
    select * from changed
    union all
    select r.request_id, 'settled', r.reserved, r.period_start, null, null, null, null, null
      from reservations r where r.request_id = any (p_request) and r.state = 'settled';
end
$$;

-- Settles open reservations at what was used, and writes usage, ledger and sums with it. Tells the row that stands of
-- each reservation that there is: 'won' by this call, or 'stands' from one before.
create function billing_settle(
  p_now timestamptz, p_request uuid[], p_prompt bigint[], p_completion bigint[], p_cached bigint[],
  p_status text[], p_ttft_ms bigint[], p_total_ms bigint[], p_error text[]
) returns table (
  outcome text, reserved bigint, request_id uuid, user_id uuid, api_key_id uuid, model_id text, kind text,
  prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint, status text,
  ttft_ms bigint, total_ms bigint, created_at timestamptz
)
language plpgsql
set lock_timeout = '3s' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  perform 1 from reservations r where r.request_id = any (p_request) order by r.request_id for update;

  perform 1
    from (
      select distinct s.scope, s.subject_id, r.period_start
        from reservations r
       cross join lateral (values ('user', r.user_id), ('key', r.api_key_id)) as s (scope, subject_id)
       where r.request_id = any (p_request) and r.state = 'open' and s.subject_id is not null
    ) t
    join token_balances b using (scope, subject_id, period_start)
   order by b.scope, b.subject_id, b.period_start
     for update of b;

  return query
    with won as (
      update reservations r
         set state = 'settled', settled_at = p_now, produced = o.completion, settings = '{}'
        from unnest(p_request, p_prompt, p_completion, p_cached, p_status, p_ttft_ms, p_total_ms, p_error)
          as o (request_id, prompt, completion, cached, status, ttft_ms, total_ms, error)
       where r.request_id = o.request_id and r.state = 'open'
      returning r.request_id, r.user_id, r.api_key_id, r.model_id, r.kind, r.period_start, r.reserved,
                r.created_at as begun_at, o.prompt, o.completion, o.cached, o.status, o.ttft_ms, o.total_ms, o.error
    ), balances as (
      update token_balances b
         set used = b.used + t.used, reserved = b.reserved - t.reserved
        from (
          select s.scope, s.subject_id, w.period_start,
                 sum(w.prompt + w.completion)::bigint as used, sum(w.reserved)::bigint as reserved
            from won w
           cross join lateral (values ('user', w.user_id), ('key', w.api_key_id)) as s (scope, subject_id)
           where s.subject_id is not null
           group by s.scope, s.subject_id, w.period_start
        ) t
       where b.scope = t.scope and b.subject_id = t.subject_id and b.period_start = t.period_start
    ), usage as (
      insert into token_usage (request_id, user_id, api_key_id, model_id, prompt_tokens, completion_tokens,
                               cached_tokens, kind, status, created_at, period_start, ttft_ms, total_ms)
        select w.request_id, w.user_id, w.api_key_id, w.model_id, w.prompt, w.completion, w.cached, w.kind, w.status,
               p_now, w.period_start, w.ttft_ms, w.total_ms
          from won w
    ), entries as (
      insert into ledger_entries (request_id, kind, account, subject, amount, period_start, created_at)
        select w.request_id, 'use', s.account, s.subject, s.amount, w.period_start, p_now
          from won w
         cross join lateral (values
           ('user', w.user_id::text, -(w.prompt + w.completion)),
           ('model', w.model_id, w.prompt + w.completion)) as s (account, subject, amount)
    ), sums as (
      insert into model_usage (model_id, day, requests, prompt_tokens, completion_tokens, errors, total_ms)
        select w.model_id, (p_now at time zone 'UTC')::date, count(*), sum(w.prompt), sum(w.completion),
               count(*) filter (where w.status = 'FAILED'), sum(w.total_ms)
          from won w group by w.model_id order by w.model_id
      on conflict on constraint model_usage_pk do update
         set requests = model_usage.requests + excluded.requests,
             prompt_tokens = model_usage.prompt_tokens + excluded.prompt_tokens,
             completion_tokens = model_usage.completion_tokens + excluded.completion_tokens,
             errors = model_usage.errors + excluded.errors,
             total_ms = model_usage.total_ms + excluded.total_ms
    ), calls as (
      insert into llm_requests (request_id, user_id, api_key_id, model_id, method, settings, ttft_ms, total_ms, status,
                                error_reason, created_at)
        select w.request_id, w.user_id, w.api_key_id, w.model_id,
               case w.kind when 'embedding' then 'llm.embed' else 'llm.' || w.kind end,
               -- this statement still sees the row as it was before it
               (select r.settings from reservations r where r.request_id = w.request_id),
               w.ttft_ms, w.total_ms, w.status, nullif(w.error, ''), w.begun_at
          from won w
    )
    select 'won', w.reserved, w.request_id, w.user_id, w.api_key_id, w.model_id, w.kind, w.prompt, w.completion,
           w.cached, w.status, w.ttft_ms, w.total_ms, p_now
      from won w
    union all
    select 'stands', r.reserved, u.request_id, u.user_id, u.api_key_id, u.model_id, u.kind, u.prompt_tokens,
           u.completion_tokens, u.cached_tokens, u.status, u.ttft_ms, u.total_ms, u.created_at
      from reservations r
      join token_usage u on u.request_id = r.request_id and u.created_at = r.settled_at
     where r.request_id = any (p_request) and r.state = 'settled';
end
$$;

-- Settles up to p_most reservations whose lease ended before p_before, at their prompt and what was last produced.
-- Several processes may sweep at once: none waits for a row of another.
create function billing_sweep(p_now timestamptz, p_before timestamptz, p_most int) returns table (
  outcome text, reserved bigint, request_id uuid, user_id uuid, api_key_id uuid, model_id text, kind text,
  prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint, status text,
  ttft_ms bigint, total_ms bigint, created_at timestamptz
)
language plpgsql as $$
#variable_conflict use_column
declare
  v_request  uuid[];
  v_prompt   bigint[];
  v_produced bigint[];
  v_zero     bigint[];
begin
  select array_agg(r.request_id), array_agg(r.prompt_tokens), array_agg(r.produced), array_agg(0::bigint)
    into v_request, v_prompt, v_produced, v_zero
    from (
      select * from reservations
       where state = 'open' and lease_until < p_before
       order by created_at limit p_most
         for update skip locked
    ) r;
  if v_request is not null then
    return query select * from billing_settle(
      p_now, v_request, v_prompt, v_produced, v_zero, array_fill('SWEPT'::text, array[cardinality(v_request)]),
      v_zero, v_zero, array_fill(''::text, array[cardinality(v_request)]));
  end if;
end
$$;

-- A budget in a month, with what is left of it; nulls where there is no bound. Always one row.
create function billing_budget(p_scope text, p_subject uuid, p_period date, p_default_limit bigint) returns table (
  scope text, subject_id uuid, monthly_limit bigint, granted bigint, used bigint, reserved bigint, remaining bigint
)
language sql stable as $$
  select p_scope, p_subject, t.monthly_limit, t.granted, t.used, t.reserved,
         case when t.monthly_limit is not null then greatest(0, t.monthly_limit + t.granted - t.used - t.reserved) end
    from (
      select case when l.scope is not null then l.monthly_limit when p_scope = 'user' then p_default_limit end
               as monthly_limit,
             coalesce(b.granted, 0) as granted, coalesce(b.used, 0) as used, coalesce(b.reserved, 0) as reserved
        from (select 1) as one
        left join budgets l on l.scope = p_scope and l.subject_id = p_subject
        left join token_balances b
          on b.scope = p_scope and b.subject_id = p_subject and b.period_start = p_period
    ) t
$$;

-- A person's budget in the month (UTC) of a time. The service tells the time; the default is for people at a prompt.
create function budget_status(
  p_user uuid, p_at timestamptz default current_timestamp, p_default_limit bigint default null
) returns table (
  period_start date, resets_at timestamptz,
  monthly_limit bigint, granted bigint, used bigint, reserved bigint, remaining bigint
)
language sql stable as $$
  select m.period_start, (m.period_start + interval '1 month') at time zone 'UTC',
         b.monthly_limit, b.granted, b.used, b.reserved, b.remaining
    from (select date_trunc('month', p_at at time zone 'UTC')::date as period_start) m
   cross join lateral billing_budget('user', p_user, m.period_start, p_default_limit) b
$$;

-- What each person used in each month, by the month that it was billed to.
create view monthly_usage as
  select user_id, period_start as month, count(*) as requests,
         sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens,
         sum(cached_tokens)::bigint as cached_tokens, sum(prompt_tokens + completion_tokens)::bigint as total_tokens,
         sum(total_ms)::bigint as total_ms
    from token_usage
   group by user_id, period_start;

-- Functions run with the caller's rights, so these bound what billing can do.
revoke execute on function billing_make_partitions(date, int) from public;
do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_billing') then
    grant select, insert, update on budgets, token_balances, reservations, model_usage to devstudio_billing;
    grant select, insert on token_usage, ledger_entries, llm_requests to devstudio_billing;
    grant select on monthly_usage to devstudio_billing;
    grant usage on sequence token_usage_id_seq to devstudio_billing;
    grant execute on function billing_make_partitions(date, int) to devstudio_billing;
  end if;
end
$$;

-- Idempotency-Keys of people's calls: in progress while there is no answer. Kept for a day.
create table idempotency_keys (
  user_id uuid not null,
  key text not null,
  request_sha256 text not null,
  answer_json text,
  created_at timestamptz not null,
  constraint idempotency_keys_pk primary key (user_id, key)
);
create index idempotency_keys_created on idempotency_keys (created_at);
grant select, insert, update, delete on idempotency_keys to devstudio_billing;
