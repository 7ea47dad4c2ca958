//! Usage: sums by day, model, person and key, and pages of rows.

use devstudio_kit::{Reason, clock::timestamp};
use devstudio_proto::billing::v1::{
    GetUsageRequest, GetUsageResponse, GroupBy, ListUsageRequest, ReserveRequest, SettleRequest,
};
use time::{Duration, macros::datetime};
use uuid::Uuid;

use crate::harness::{NOON, Person, World, actual, admin, dev, order, refused, told};

async fn use_tokens(world: &World, person: &Person, model: &str, prompt: i32, completion: i32) {
    let order = ReserveRequest { model_id: model.into(), ..order(prompt, completion) };
    let id: Uuid = order.request_id.parse().expect("a UUID");
    told(world.client().reserve(world.by(person, order)).await).expect("no bound");
    let used = SettleRequest { cached_tokens: 1, ..actual(id, prompt, completion) };
    told(world.client().settle(used).await).expect("it is open");
}

async fn get(world: &World, person: &Person, request: GetUsageRequest) -> GetUsageResponse {
    told(world.client().get_usage(world.by(person, request)).await).expect("it may")
}

fn groups(answer: &GetUsageResponse) -> Vec<(&str, i64, i64)> {
    answer
        .groups
        .iter()
        .map(|sum| (sum.group.as_str(), sum.requests, sum.prompt_tokens + sum.completion_tokens))
        .collect()
}

#[tokio::test]
async fn usage_is_summed_by_day_model_person_and_key() {
    let world = World::new().await;
    let (person, other, boss) = (dev().with_key(), dev(), admin());
    let without_key = Person { key: None, ..person };
    world.clock.advance(datetime!(2026-02-27 9:00 UTC) - NOON);
    use_tokens(&world, &person, "small", 900, 0).await;
    world.clock.advance(datetime!(2026-03-02 23:59:59 UTC) - datetime!(2026-02-27 9:00 UTC));
    use_tokens(&world, &person, "small", 10, 5).await;
    world.clock.advance(Duration::seconds(1));
    use_tokens(&world, &person, "large", 100, 50).await;
    use_tokens(&world, &without_key, "small", 1, 1).await;
    use_tokens(&world, &other, "large", 1000, 1).await;

    let all = get(&world, &person, GetUsageRequest::default()).await;
    let total = all.total.as_ref().expect("a total");
    assert_eq!(
        (total.requests, total.prompt_tokens, total.completion_tokens),
        (3, 111, 56),
        "this month, one's own"
    );
    assert_eq!((total.cached_tokens, total.total_ms), (3, 150));
    assert!(all.groups.is_empty());
    assert_eq!(all.budget.expect("one person was asked for").used, 167);

    let by = |group_by: GroupBy| GetUsageRequest { group_by: group_by.into(), ..GetUsageRequest::default() };
    let days = get(&world, &person, by(GroupBy::Day)).await;
    assert_eq!(groups(&days), [("2026-03-02", 1, 15), ("2026-03-03", 2, 152)]);
    let models = get(&world, &person, by(GroupBy::Model)).await;
    assert_eq!(groups(&models), [("large", 1, 150), ("small", 2, 17)]);
    let keys = get(&world, &person, by(GroupBy::Key)).await;
    let key = person.key.expect("it has one").to_string();
    assert_eq!(groups(&keys), [(key.as_str(), 2, 165), ("", 1, 2)]);

    let everyone = GetUsageRequest { everyone: true, ..by(GroupBy::User) };
    let people = get(&world, &boss, everyone).await;
    let (first, second) = (other.id.to_string(), person.id.to_string());
    assert_eq!(groups(&people), [(first.as_str(), 1, 1001), (second.as_str(), 3, 167)]);
    assert!(people.budget.is_none());
}

#[tokio::test]
async fn a_span_holds_its_first_moment_and_not_its_last() {
    let world = World::new().await;
    let person = dev();
    for seconds in 0..3 {
        use_tokens(&world, &person, "m", 10_i32.pow(seconds), 0).await;
        world.clock.advance(Duration::SECOND);
    }
    let span = |from, to| GetUsageRequest {
        from: Some(timestamp(NOON + Duration::seconds(from))),
        to: Some(timestamp(NOON + Duration::seconds(to))),
        ..GetUsageRequest::default()
    };
    let middle = get(&world, &person, span(1, 2)).await;
    assert_eq!(middle.total.expect("a total").prompt_tokens, 10);
    let nothing = get(&world, &person, span(7, 7)).await.total.expect("a total");
    assert_eq!((nothing.requests, nothing.prompt_tokens), (0, 0));
    let backwards = told(world.client().get_usage(world.by(&person, span(2, 1))).await);
    refused(backwards, Reason::SchemaViolation);
    let far = GetUsageRequest {
        to: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..GetUsageRequest::default()
    };
    refused(told(world.client().get_usage(world.by(&person, far)).await), Reason::SchemaViolation);
}

#[tokio::test]
async fn rows_come_newest_first_and_every_one_once_while_new_ones_arrive() {
    let world = World::new().await;
    let (person, other) = (dev(), dev());
    for i in 0..25 {
        use_tokens(&world, &person, "m", i, 0).await;
        use_tokens(&world, &other, "m", 777, 0).await;
        if i % 3 == 0 {
            world.clock.advance(Duration::milliseconds(1));
        }
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListUsageRequest { page_size: 10, page_token, ..ListUsageRequest::default() };
        let page = told(world.client().list_usage(world.by(&person, request)).await).expect("one's own");
        assert!(page.rows.len() <= 10);
        seen.extend(page.rows.iter().map(|row| row.prompt_tokens));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        world.clock.advance(Duration::SECOND);
        use_tokens(&world, &person, "m", 999, 0).await;
    }
    assert_eq!(seen, (0..25).rev().collect::<Vec<_>>());

    let request = ListUsageRequest { everyone: true, ..ListUsageRequest::default() };
    let page = told(world.client().list_usage(world.by(&admin(), request)).await).expect("admins may");
    assert_eq!(page.rows.len(), 50, "the page where none is asked for");
    let request = ListUsageRequest { page_token: "1; drop table".into(), ..ListUsageRequest::default() };
    refused(told(world.client().list_usage(world.by(&person, request)).await), Reason::SchemaViolation);
}
