-- Choices among options are metered as a kind of their own. Owner: billing.

alter table reservations
  drop constraint reservations_kind,
  add constraint reservations_kind check (kind in ('chat', 'completion', 'embedding', 'decide'));
alter table token_usage
  drop constraint token_usage_kind,
  add constraint token_usage_kind check (kind in ('chat', 'completion', 'embedding', 'decide'));
