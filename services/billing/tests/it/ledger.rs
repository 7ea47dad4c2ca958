//! The ledger in the database: append-only for everybody, and billing's role reaches no further than it must.

use devstudio_kit::Service;
use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::{World, dev};

async fn fails(pool: &PgPool, sql: &str) -> String {
    let answer = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(pool).await;
    let error = answer.expect_err(sql);
    error.as_database_error().and_then(|error| error.code()).expect("the database refused it").into_owned()
}

/// TL10
#[tokio::test]
async fn entries_and_usage_are_never_changed_not_even_by_the_owner() {
    let world = World::new().await;
    devstudio_billing::make_partitions(&world.deps).await.expect("partitions");
    let id = world.reserve(&dev(), 10, 10).await.expect("no bound");
    world.settle(id, 10, 5).await.expect("it is open");
    let service = world.fresh.connect(Service::Billing).await;
    for pool in [&world.owner, &service] {
        for sql in [
            "update ledger_entries set amount = 0",
            "delete from ledger_entries",
            "truncate ledger_entries",
            "update token_usage set completion_tokens = 0",
            "delete from token_usage",
            "update token_usage_2026_03 set completion_tokens = 0",
            "delete from token_usage_2026_03",
            "truncate token_usage",
            "truncate token_usage_2026_03",
            "truncate token_usage_default",
        ] {
            assert_eq!(fails(pool, sql).await, "42501", "{sql}");
        }
    }
    assert_eq!(world.count("select count(*) from ledger_entries").await, 2);
    world.check_books().await;
}

#[tokio::test]
async fn the_role_of_billing_reaches_its_own_tables_only_and_other_roles_reach_none_of_them() {
    let world = World::new().await;
    let billing = world.fresh.connect(Service::Billing).await;
    for sql in [
        "delete from reservations",
        "delete from token_balances",
        "drop table budgets",
        "create table mine (id int)",
        "update llm_requests set status = 'OK'",
    ] {
        assert_eq!(fails(&billing, sql).await, "42501", "{sql}");
    }
    for other in [Service::Auth, Service::Sandbox, Service::Edge, Service::Llm] {
        let pool = world.fresh.connect(other).await;
        for sql in [
            "select * from token_balances",
            "insert into budgets values ('user', gen_random_uuid(), null)",
            "select * from monthly_usage",
            "select billing_make_partitions('2026-01-01', 1)",
            "select * from billing_budget('user', gen_random_uuid(), '2026-01-01', null)",
        ] {
            assert_eq!(fails(&pool, sql).await, "42501", "{other}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_tables_of_the_contract_are_there_by_their_names() {
    let world = World::new().await;
    let sql = "select count(*) from information_schema.tables where table_schema = 'public' and table_name in
      ('budgets', 'token_balances', 'reservations', 'token_usage', 'ledger_entries', 'model_usage', 'llm_requests',
       'monthly_usage')";
    assert_eq!(world.count(sql).await, 8);
    let sql = "select count(*) from information_schema.columns where table_name = 'token_usage' and column_name in
      ('id', 'request_id', 'user_id', 'api_key_id', 'model_id', 'prompt_tokens', 'completion_tokens', 'cached_tokens',
       'kind', 'status', 'created_at')";
    assert_eq!(world.count(sql).await, 11);
}
