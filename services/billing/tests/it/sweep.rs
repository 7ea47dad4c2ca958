//! The sweeper: what a crash left open is settled once, at what was last reported, and not before its time.

use devstudio_billing::sweep_once;
use devstudio_kit::Reason;
use devstudio_proto::billing::v1::{Scope, UsageStatus};
use time::Duration;

use crate::harness::{Balance, World, dev, proving, refused};

#[tokio::test]
async fn an_abandoned_reservation_holds_its_tokens_and_is_then_settled_at_what_was_last_reported() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(200)).await.expect("an admin sets it");
    let id = world.reserve(&person, 10, 100).await.expect("there is room");
    world.extend(id, 50, 70).await.expect("there is room");
    world.clock.advance(Duration::seconds(30 + 600));
    assert_eq!(sweep_once(&world.deps).await.expect("a sweep"), 0, "ten minutes are not over");
    refused(world.reserve(&person, 50, 0).await, Reason::TokenBudgetExceeded);
    world.clock.advance(Duration::SECOND);
    assert_eq!(sweep_once(&world.deps).await.expect("a sweep"), 1);
    assert_eq!(sweep_once(&world.deps).await.expect("a sweep"), 0);
    assert_eq!(world.balance(&person).await, Balance { granted: 0, used: 80, reserved: 0 });
    let answer = world.settle(id, 10, 90).await.expect("it is there");
    assert!(answer.already_settled);
    let row = answer.row.expect("a row");
    assert_eq!((row.prompt_tokens, row.completion_tokens), (10, 70));
    assert_eq!(row.status(), UsageStatus::Swept);
    world.check_books().await;
}

#[tokio::test]
async fn a_lease_that_is_renewed_is_not_swept_however_long_it_takes() {
    let world = World::new().await;
    let id = world.reserve(&dev(), 10, 10).await.expect("no bound");
    for _ in 0..5 {
        world.clock.advance(Duration::minutes(10));
        world.extend(id, 0, 1).await.expect("it is open");
        assert_eq!(sweep_once(&world.deps).await.expect("a sweep"), 0);
    }
}

#[tokio::test]
async fn sweepers_and_settles_at_once_settle_each_reservation_once() {
    let world = World::new().await;
    let person = dev().with_key();
    let count = if proving() { 2000 } else { 300 };
    let reserves = (0..count).map(|_| world.reserve(&person, 1, 9));
    let ids: Vec<_> =
        futures::future::join_all(reserves).await.into_iter().map(|id| id.expect("no bound")).collect();
    world.clock.advance(Duration::hours(1));
    let settles = ids.iter().step_by(3).map(|id| world.settle(*id, 1, 5));
    let sweeps = (0..4).map(|_| sweep_once(&world.deps));
    let (settled, swept) =
        tokio::join!(futures::future::join_all(settles), futures::future::join_all(sweeps));
    let swept: u64 = swept.into_iter().map(|count| count.expect("a sweep")).sum();
    let won =
        settled.into_iter().filter(|answer| !answer.as_ref().expect("it is there").already_settled).count();
    assert_eq!(swept as usize + won, count);
    let balance = world.balance(&person).await;
    assert_eq!((balance.used, balance.reserved), (6 * won as i64, 0), "what produced nothing costs nothing");
    world.check_books().await;
}

#[tokio::test]
async fn the_sweeper_makes_partitions_and_sweeps_as_soon_as_it_runs() {
    let world = World::new().await;
    let id = world.reserve(&dev(), 1, 9).await.expect("no bound");
    world.clock.advance(Duration::hours(1));
    let sweeper = devstudio_billing::spawn_sweeper(world.deps.clone());
    let swept = async {
        while world.count("select count(*) from token_usage").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), swept).await.expect("it sweeps at its start");
    assert!(world.settle(id, 1, 9).await.expect("it is there").already_settled);
    assert_eq!(world.count("select count(*) from token_usage_2026_03").await, 1);
    sweeper.abort();
}
