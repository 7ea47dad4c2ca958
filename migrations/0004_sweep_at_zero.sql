-- A request that failed before its first token costs nothing, also where nobody was left to say so. Owner: billing.

create or replace function billing_sweep(p_now timestamptz, p_before timestamptz, p_most int) returns table (
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
