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
