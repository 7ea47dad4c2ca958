//! Many at once: no overspend, no needless refusal, no waiting in a circle, and nothing lost with a connection.

use devstudio_billing::sweep_once;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::billing::v1::{ExtendRequest, Scope};
use futures::future::join_all;
use time::{Duration, macros::date};
use uuid::Uuid;

use crate::harness::{Client, Person, World, actual, dev, order, proving, told};

/// TL1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_never_overspend_a_budget_for_thirty_seven_and_a_half_of_them() {
    let world = World::new().await;
    for _ in 0..if proving() { 50 } else { 3 } {
        let person = dev().with_key();
        world.set_key_budget(person.key.expect("it has one"), 1875).await;
        let calls = (0..200).map(|_| async {
            let id = world.reserve(&person, 20, 30).await?;
            world.extend(id, 0, 15).await?;
            world.settle(id, 20, 30).await
        });
        let answers = join_all(calls).await;
        let completed = answers.iter().filter(|answer| answer.is_ok()).count();
        for fault in answers.into_iter().filter_map(Result::err) {
            assert_eq!(fault.reason, Reason::TokenBudgetExceeded, "{fault:?}");
        }
        assert_eq!(completed, 37);
        let key = world.balance_in("key", person.key.expect("it has one"), date!(2026 - 03 - 01)).await;
        assert_eq!((key.used, key.reserved), (1850, 0));
    }
    world.check_books().await;
}

/// TL1b
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_answers_are_not_refused_for_the_long_ones_they_might_have_been() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(60_000)).await.expect("an admin sets it");
    let calls = (0..200).map(|_| async {
        let id = world.reserve(&person, 100, 128).await?;
        world.settle(id, 100, 30).await
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok), "200 × 228 are under 60,000");
    assert_eq!(world.balance(&person).await.used, 26_000);
    world.check_books().await;
}

/// TL3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_requests_ever_of_a_person_race_over_one_row() {
    let world = World::new().await;
    let second = world.second().await;
    for _ in 0..if proving() { 200 } else { 10 } {
        let person = dev().with_key();
        world.set_limit(Scope::User, person.id, Some(55)).await.expect("an admin sets it");
        let calls = (0..20).map(|i| {
            let mut client = if i % 2 == 0 { world.client() } else { second.clone() };
            let request = world.by(&person, order(5, 5));
            async move { told(client.reserve(request).await) }
        });
        let reserved = join_all(calls).await.into_iter().filter(Result::is_ok).count();
        assert_eq!((reserved, world.balance(&person).await.reserved), (5, 50));
    }
    world.check_books().await;
}

/// TL12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn near_the_limit_only_what_does_not_fit_is_refused() {
    let world = World::new().await;
    let person = dev();
    world.set_limit(Scope::User, person.id, Some(100_000)).await.expect("an admin sets it");
    let id = world.reserve(&person, 98_000, 0).await.expect("there is room");
    world.settle(id, 98_000, 0).await.expect("it is open");
    let rounds = if proving() { 5000 } else { 300 };
    let calls = (0..rounds).map(|i| {
        let world = &world;
        async move {
            let asked = 1 + i % 97;
            match world.reserve(&person, asked, asked).await {
                Ok(id) => world.settle(id, i % 2, 0).await.map(drop).expect("it is open"),
                Err(fault) => assert_fits_not(&fault, i64::from(2 * asked)),
            }
        }
    });
    join_all(calls).await;
    let left = 2000 - (world.balance(&person).await.used - 98_000);
    assert!(world.reserve(&person, left as i32 + 1, 0).await.is_err());
    world.reserve(&person, left as i32, 0).await.expect("to the last token");
    world.check_books().await;
}

fn assert_fits_not(fault: &Fault, asked: i64) {
    assert_eq!(fault.reason, Reason::TokenBudgetExceeded, "{fault:?}");
    let number = |key: &str| fault.details[key].parse::<i64>().expect("a number");
    assert_eq!(number("asked"), asked);
    assert!(number("used") + number("reserved") + asked > number("limit"), "a false refusal: {fault:?}");
}

/// One request that grows by blocks until it is refused or done. Returns what it used.
async fn grow(mut client: Client, world: &World, person: Person, seed: u64) -> i64 {
    let first = world.by(&person, order(5 + (seed % 20) as i32, 16));
    let id: Uuid = first.get_ref().request_id.parse().expect("a UUID");
    let prompt = first.get_ref().prompt_tokens;
    match told(client.reserve(first).await) {
        Ok(_) => {}
        Err(fault) => {
            assert_eq!(fault.reason, Reason::TokenBudgetExceeded, "{fault:?}");
            return 0;
        }
    }
    let mut held = 16;
    for _ in 0..seed % 7 {
        let block = ExtendRequest { request_id: id.to_string(), tokens: 16, produced_tokens: held };
        match told(client.extend(block).await) {
            Ok(extended) => {
                held += 16;
                assert_eq!(extended.reserved, i64::from(prompt + held));
            }
            Err(fault) => {
                assert_eq!(fault.reason, Reason::TokenBudgetExceeded, "{fault:?}");
                break;
            }
        }
    }
    let completion = held - (seed % 13) as i32;
    told(client.settle(actual(id, prompt, completion)).await).expect("it is open");
    i64::from(prompt + completion)
}

/// TL2, the part of billing: people and keys crossed, through two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossed_people_and_keys_over_two_processes_neither_overspend_nor_wait_in_a_circle() {
    let world = World::new().await;
    let second = world.second().await;
    let (users, keys): (Vec<_>, Vec<_>) = (0..4).map(|_| (Uuid::new_v4(), Uuid::new_v4())).unzip();
    for i in 0..4 {
        world.set_limit(Scope::User, users[i], Some(4000 + 100 * i as i64)).await.expect("set");
        world.set_key_budget(keys[i], 3500 + 200 * i as i64).await;
    }
    let count = if proving() { 10_000 } else { 400 };
    let calls = (0..count).map(|i: u64| {
        let client = if i.is_multiple_of(2) { world.client() } else { second.clone() };
        let key = (i % 5 < 4).then(|| keys[(i / 3) as usize % 4]);
        grow(client, &world, Person { id: users[i as usize % 4], key, ..dev() }, i)
    });
    let used: i64 = join_all(calls).await.into_iter().sum();
    world.check_books().await;
    assert_eq!(world.count("select sum(used)::bigint from token_balances where scope = 'user'").await, used);
    let over = "select count(*) from token_balances b join budgets l using (scope, subject_id)
      where b.used + b.reserved > l.monthly_limit";
    assert_eq!(world.count(over).await, 0);
}

/// TL8, the part of billing: its connections are cut under load, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_under_load_lose_and_double_nothing() {
    let world = World::new().await;
    let person = dev().with_key();
    world.set_limit(Scope::User, person.id, Some(20_000)).await.expect("an admin sets it");
    let kills = if proving() { 200 } else { 20 };
    let load = join_all((0..8).map(|i| {
        let world = &world;
        async move {
            for _ in 0..if proving() { 400 } else { 40 } {
                let Ok(id) = world.reserve(&person, 10, 10 + i).await else { continue };
                let _ = world.extend(id, 5, 10).await;
                let _ = world.settle(id, 10, 12).await;
            }
        }
    }));
    let cuts = async {
        for _ in 0..kills {
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                          where datname = current_database() and application_name = 'devstudio_billing'",
            )
            .execute(&world.owner)
            .await
            .expect("the owner may");
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(load, cuts);
    world.check_books().await;
    let balance = world.balance(&person).await;
    assert!(balance.used + balance.reserved <= 20_000);
    world.clock.advance(Duration::hours(1));
    // connections cut while they were idle are found out at their next use
    while sweep_once(&world.deps).await.is_err() {}
    assert_eq!(world.balance(&person).await.reserved, 0, "nothing stays held for ever");
    world.check_books().await;
}
