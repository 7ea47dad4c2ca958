//! The month: where it ends, what belongs to it, and clocks that jump.

use devstudio_kit::Reason;
use devstudio_proto::billing::v1::{GetUsageRequest, Scope};
use time::{
    Duration,
    macros::{date, datetime},
};

use crate::harness::{NOON, World, dev, refused, told};

/// TL6
#[tokio::test]
async fn over_a_month_boundary_open_reservations_are_neither_lost_nor_doubled() {
    let world = World::new().await;
    let person = dev().with_key();
    world.set_limit(Scope::User, person.id, Some(100)).await.expect("an admin sets it");
    world.clock.advance(datetime!(2026-03-31 23:59:59 UTC) - NOON);
    let old = world.reserve(&person, 60, 20).await.expect("March has room");
    refused(world.reserve(&person, 30, 0).await, Reason::TokenBudgetExceeded);

    world.clock.advance(Duration::SECOND);
    let new = world.reserve(&person, 30, 40).await.expect("April begins with all of it");
    world.extend(old, 20, 15).await.expect("March still has 20");
    let fault = refused(world.extend(old, 1, 15).await, Reason::TokenBudgetExceeded);
    assert_eq!(fault.details["resets_at"], "2026-04-01T00:00:00Z", "it asked for more of March");
    world.settle(old, 60, 35).await.expect("it is open");
    world.settle(new, 30, 10).await.expect("it is open");

    let (march, april) = (date!(2026 - 03 - 01), date!(2026 - 04 - 01));
    for (scope, subject) in [("user", person.id), ("key", person.key.expect("it has one"))] {
        let (old, new) =
            (world.balance_in(scope, subject, march).await, world.balance_in(scope, subject, april).await);
        assert_eq!((old.used, old.reserved), (95, 0), "{scope}");
        assert_eq!((new.used, new.reserved), (40, 0), "{scope}");
    }
    let months: Vec<(time::Date, i64, i64)> =
        sqlx::query_as("select month, requests, total_tokens from monthly_usage order by month")
            .fetch_all(&world.owner)
            .await
            .expect("the view");
    assert_eq!(months, [(march, 1, 95), (april, 1, 40)]);
    world.check_books().await;
}

#[tokio::test]
async fn a_granted_token_and_a_limit_reach_as_far_as_they_should() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(100)).await.expect("an admin sets it");
    world.grant(&person, 50).await.expect("an admin grants");
    assert_eq!(world.budgets(&person).await[0].remaining, Some(150));
    world.clock.advance(Duration::days(20));
    let budget = &world.budgets(&person).await[0];
    assert_eq!((budget.monthly_limit, budget.granted, budget.remaining), (Some(100), 0, Some(100)));
    let status: (i64, i64, time::OffsetDateTime) =
        sqlx::query_as("select remaining, granted, resets_at from budget_status($1, $2)")
            .bind(person.id)
            .bind(NOON)
            .fetch_one(&world.owner)
            .await
            .expect("the function");
    assert_eq!(status, (150, 50, datetime!(2026-04-01 0:00 UTC)));
}

/// TL11
#[tokio::test]
async fn a_clock_that_jumps_an_hour_either_way_loses_nothing() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(200)).await.expect("an admin sets it");
    world.clock.advance(datetime!(2026-04-01 0:30 UTC) - NOON);
    let first = world.reserve(&person, 50, 10).await.expect("April has room");
    world.clock.advance(Duration::hours(-1));
    let second = world.reserve(&person, 50, 10).await.expect("March has room");
    world.extend(first, 10, 5).await.expect("April has room");
    world.settle(first, 50, 20).await.expect("it is open");
    world.clock.advance(Duration::hours(2));
    assert_eq!(
        devstudio_billing::sweep_once(&world.deps).await.expect("a sweep"),
        1,
        "an hour without a beat"
    );
    let row = world.settle(second, 50, 9).await.expect("it is there");
    assert!(row.already_settled);
    let march = world.balance_in("user", person.id, date!(2026 - 03 - 01)).await;
    assert_eq!((march.used, march.reserved), (0, 0), "what produced nothing costs nothing");
    assert_eq!(world.balance_in("user", person.id, date!(2026 - 04 - 01)).await.used, 70);
    world.check_books().await;
}

#[tokio::test]
async fn partitions_are_made_ahead_once_and_rows_find_them() {
    let world = World::new().await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'token_usage'::regclass";
    assert_eq!(world.count(partitions).await, 1, "the default");
    for _ in 0..2 {
        devstudio_billing::make_partitions(&world.deps).await.expect("billing may have them made");
        assert_eq!(world.count(partitions).await, 4);
    }
    let person = dev();
    for days in [0, 17, 200] {
        world.clock.advance(Duration::days(days));
        let id = world.reserve(&person, 1, 1).await.expect("no bound");
        world.settle(id, 1, 1).await.expect("it is open");
    }
    assert_eq!(world.count("select count(*) from token_usage_2026_03").await, 1);
    assert_eq!(world.count("select count(*) from token_usage_2026_04").await, 1);
    assert_eq!(
        world.count("select count(*) from token_usage_default").await,
        1,
        "far ahead of all partitions"
    );
    devstudio_billing::make_partitions(&world.deps).await.expect("a month with rows stays where it is");
    let from = Some(devstudio_kit::clock::timestamp(NOON));
    let request = GetUsageRequest { from, ..GetUsageRequest::default() };
    let usage = told(world.client().get_usage(world.by(&person, request)).await).expect("one's own");
    assert_eq!(usage.total.expect("a total").requests, 3);
    world.check_books().await;
}
