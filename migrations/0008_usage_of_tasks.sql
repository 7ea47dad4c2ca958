-- Which agent's task asked for tokens: on the reservation, the usage row and the request's record. Owner: billing.

alter table reservations add column task_id uuid, add column agent_id text;
alter table token_usage add column task_id uuid, add column agent_id text;
alter table llm_requests alter column agent_id type text;

create index token_usage_task on token_usage (task_id) where task_id is not null;

drop function billing_sweep(timestamptz, timestamptz, int);
drop function billing_settle(timestamptz, uuid[], bigint[], bigint[], bigint[], text[], bigint[], bigint[], text[]);
drop function billing_reserve(
  timestamptz, timestamptz, date, bigint, uuid[], uuid[], uuid[], text[], text[], bigint[], bigint[], text[]);

-- As before; the task and the agent of each order, or null, are kept with it.
create function billing_reserve(
  p_now timestamptz, p_lease_until timestamptz, p_period date, p_default_limit bigint,
  p_request uuid[], p_user uuid[], p_key uuid[], p_model text[], p_kind text[],
  p_prompt bigint[], p_completion bigint[], p_settings text[], p_task uuid[], p_agent text[]
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
                            settings, lease_until, created_at, task_id, agent_id)
    select o.request_id, o.user_id, o.key_id, o.model, o.kind, p_period, o.prompt, o.prompt + o.completion,
           o.settings::jsonb, p_lease_until, p_now, o.task, o.agent
      from unnest(p_request, p_user, p_key, p_model, p_kind, p_prompt, p_completion, p_settings, p_task,
                  p_agent)
        as o (request_id, user_id, key_id, model, kind, prompt, completion, settings, task, agent)
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

-- As before, with the task and the agent.
create function billing_settle(
  p_now timestamptz, p_request uuid[], p_prompt bigint[], p_completion bigint[], p_cached bigint[],
  p_status text[], p_ttft_ms bigint[], p_total_ms bigint[], p_error text[]
) returns table (
  outcome text, reserved bigint, request_id uuid, user_id uuid, api_key_id uuid, model_id text, kind text,
  prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint, status text,
  ttft_ms bigint, total_ms bigint, created_at timestamptz, task_id uuid, agent_id text
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
                r.created_at as begun_at, r.task_id, r.agent_id, o.prompt, o.completion, o.cached, o.status, o.ttft_ms, o.total_ms, o.error
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
                               cached_tokens, kind, status, created_at, period_start, ttft_ms, total_ms, task_id, agent_id)
        select w.request_id, w.user_id, w.api_key_id, w.model_id, w.prompt, w.completion, w.cached, w.kind, w.status,
               p_now, w.period_start, w.ttft_ms, w.total_ms, w.task_id, w.agent_id
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
                                error_reason, created_at, task_id, agent_id)
        select w.request_id, w.user_id, w.api_key_id, w.model_id,
               case w.kind when 'embedding' then 'llm.embed' else 'llm.' || w.kind end,
               -- this statement still sees the row as it was before it
               (select r.settings from reservations r where r.request_id = w.request_id),
               w.ttft_ms, w.total_ms, w.status, nullif(w.error, ''), w.begun_at, w.task_id,
               w.agent_id
          from won w
    )
    select 'won', w.reserved, w.request_id, w.user_id, w.api_key_id, w.model_id, w.kind, w.prompt, w.completion,
           w.cached, w.status, w.ttft_ms, w.total_ms, p_now, w.task_id, w.agent_id
      from won w
    union all
    select 'stands', r.reserved, u.request_id, u.user_id, u.api_key_id, u.model_id, u.kind, u.prompt_tokens,
           u.completion_tokens, u.cached_tokens, u.status, u.ttft_ms, u.total_ms, u.created_at, u.task_id, u.agent_id
      from reservations r
      join token_usage u on u.request_id = r.request_id and u.created_at = r.settled_at
     where r.request_id = any (p_request) and r.state = 'settled';
end
$$;

-- As before, with the task and the agent.
create function billing_sweep(p_now timestamptz, p_before timestamptz, p_most int) returns table (
  outcome text, reserved bigint, request_id uuid, user_id uuid, api_key_id uuid, model_id text, kind text,
  prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint, status text,
  ttft_ms bigint, total_ms bigint, created_at timestamptz, task_id uuid, agent_id text
)
language plpgsql as $$
#variable_conflict use_column
declare
  v_request  uuid[];
  v_prompt   bigint[];
  v_produced bigint[];
  v_zero     bigint[];
begin
  select array_agg(r.request_id), array_agg(case when r.produced > 0 then r.prompt_tokens else 0 end),
         array_agg(r.produced), array_agg(0::bigint)
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
