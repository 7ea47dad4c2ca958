//! Limits and grants: what changes, and what stays.

use devstudio_billing::Config;
use devstudio_kit::{Reason, clock::timestamp};
use devstudio_proto::billing::v1::{GetBudgetRequest, Scope};
use time::macros::datetime;
use uuid::Uuid;

use crate::harness::{World, admin, dev, refused, told};

/// TL1d
#[tokio::test]
async fn changing_a_limit_keeps_what_was_used_and_is_reserved() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(1000)).await.expect("an admin sets it");
    let id = world.reserve(&person, 300, 100).await.expect("there is room");
    world.settle(id, 300, 50).await.expect("it is open");
    world.reserve(&person, 100, 0).await.expect("there is room");

    let budget = world.set_limit(Scope::User, person.id, Some(400)).await.expect("an admin lowers it");
    assert_eq!((budget.used, budget.reserved, budget.remaining), (350, 100, Some(0)));
    refused(world.reserve(&person, 1, 0).await, Reason::TokenBudgetExceeded);
    let budget = world.set_limit(Scope::User, person.id, Some(451)).await.expect("an admin raises it");
    assert_eq!((budget.used, budget.reserved, budget.remaining), (350, 100, Some(1)));
    world.reserve(&person, 1, 0).await.expect("one is left");
    let budget = world.set_limit(Scope::User, person.id, None).await.expect("an admin lifts it");
    assert_eq!((budget.monthly_limit, budget.used, budget.remaining), (None, 350, None));
    world.reserve(&person, 1_000_000, 0).await.expect("there is no bound, and it counts");
    assert_eq!(world.balance(&person).await.reserved, 1_000_101);
}

#[tokio::test]
async fn people_without_a_limit_have_the_default_and_an_admin_may_lift_it() {
    let world = World::with(Config { default_monthly_tokens: Some(100), ..Config::default() }).await;
    let person = dev().with_key();
    let budgets = world.budgets(&person).await;
    assert_eq!((budgets[0].scope(), budgets[0].remaining), (Scope::User, Some(100)));
    assert_eq!((budgets[1].scope(), budgets[1].remaining), (Scope::Key, None), "the default is for people");
    assert_eq!(budgets[0].resets_at, Some(timestamp(datetime!(2026-04-01 0:00 UTC))));
    refused(world.reserve(&person, 101, 0).await, Reason::TokenBudgetExceeded);
    world.set_limit(Scope::User, person.id, None).await.expect("an admin lifts it");
    world.reserve(&person, 101, 0).await.expect("no bound");
    assert_eq!(world.budgets(&person).await[1].reserved, 101);
}

#[tokio::test]
async fn granted_tokens_come_on_top_and_no_more_is_taken_back_than_was_granted() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(100)).await.expect("an admin sets it");
    refused(world.grant(&person, -1).await, Reason::StateConflict);
    assert_eq!(world.grant(&person, 50).await.expect("granted").remaining, Some(150));
    world.reserve(&person, 150, 0).await.expect("all of it");
    refused(world.grant(&person, -51).await, Reason::StateConflict);
    let budget = world.grant(&person, -20).await.expect("taken back");
    assert_eq!((budget.granted, budget.remaining, budget.reserved), (30, Some(0), 150));
    world.check_books().await;
}

#[tokio::test]
async fn grants_at_once_are_all_counted_and_never_below_zero() {
    let world = World::new().await;
    let person = dev();
    let grants = (0..40).map(|i| world.grant(&person, if i % 2 == 0 { 10 } else { -10 }));
    let done = futures::future::join_all(grants).await;
    let sum: i64 = done
        .iter()
        .enumerate()
        .filter(|(_, grant)| grant.is_ok())
        .map(|(i, _)| if i % 2 == 0 { 10 } else { -10 })
        .sum();
    assert!(done.iter().step_by(2).all(Result::is_ok), "granting is never refused");
    assert_eq!(world.balance(&person).await.granted, sum);
    world.check_books().await;
}

#[tokio::test]
async fn limits_beyond_what_can_be_counted_are_refused() {
    let world = World::new().await;
    for limit in [-1, i64::MAX, 1_000_000_000_000_001] {
        refused(world.set_limit(Scope::User, Uuid::new_v4(), Some(limit)).await, Reason::SchemaViolation);
    }
    refused(world.set_limit(Scope::Unspecified, Uuid::new_v4(), Some(1)).await, Reason::SchemaViolation);
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(1_000_000_000_000_000)).await.expect("the largest");
    for _ in 0..1000 / if crate::harness::proving() { 1 } else { 100 } {
        world.grant(&person, 1_000_000_000_000).await.expect("granted");
    }
    world.reserve(&person, i32::MAX, i32::MAX).await.expect("there is room");
}

#[tokio::test]
async fn admins_see_the_budget_of_a_person_without_their_own_key() {
    let world = World::new().await;
    let (person, boss) = (dev(), admin().with_key());
    let request = GetBudgetRequest { user_id: person.id.to_string() };
    let answer = told(world.client().get_budget(world.by(&boss, request)).await).expect("admins may");
    assert_eq!(answer.budgets.len(), 1);
    assert_eq!(answer.budgets[0].subject_id, person.id.to_string());
}
