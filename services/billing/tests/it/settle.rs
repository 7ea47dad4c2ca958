//! Settle: once, at what was used, with everything that belongs to it.

use devstudio_kit::{Reason, clock::timestamp};
use devstudio_proto::billing::v1::{
    GetUsageRequest, GroupBy, Kind, ReserveRequest, SettleRequest, UsageRow, UsageStatus,
};
use uuid::Uuid;

use crate::harness::{Balance, NOON, Person, World, actual, dev, order, refused, told};

#[tokio::test]
async fn a_settle_writes_usage_ledger_sums_and_the_record_of_the_request() {
    let world = World::new().await;
    let person = dev().with_key();
    let order = ReserveRequest {
        kind: Kind::Completion.into(),
        settings_json: r#"{"temperature":0.5}"#.into(),
        ..order(12, 30)
    };
    let id: Uuid = order.request_id.parse().expect("a UUID");
    told(world.client().reserve(world.by(&person, order)).await).expect("no bound");
    let used = SettleRequest {
        cached_tokens: 4,
        status: UsageStatus::Failed.into(),
        error_reason: "INTERNAL".into(),
        ..actual(id, 12, 20)
    };
    let answer = told(world.client().settle(used).await).expect("it is open");
    assert!(!answer.already_settled);
    let row = UsageRow {
        request_id: id.to_string(),
        user_id: person.id.to_string(),
        key_id: person.key.map(|key| key.to_string()),
        model_id: "smol".into(),
        kind: Kind::Completion.into(),
        prompt_tokens: 12,
        completion_tokens: 20,
        cached_tokens: 4,
        status: UsageStatus::Failed.into(),
        created_at: Some(timestamp(NOON)),
        ttft_ms: 5,
        total_ms: 50,
        task_id: None,
        agent_id: None,
    };
    assert_eq!(answer.row, Some(row));
    let record: (String, String, Option<String>, Option<Uuid>) =
        sqlx::query_as("select method, settings->>'temperature', error_reason, api_key_id from llm_requests")
            .fetch_one(&world.owner)
            .await
            .expect("one record");
    assert_eq!(record, ("llm.completion".into(), "0.5".into(), Some("INTERNAL".into()), person.key));
    let day: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select requests, prompt_tokens, completion_tokens, errors, total_ms from model_usage",
    )
    .fetch_one(&world.owner)
    .await
    .expect("one day");
    assert_eq!(day, (1, 12, 20, 1, 50));
    let entries: Vec<(String, String, i64)> =
        sqlx::query_as("select account, subject, amount from ledger_entries order by account")
            .fetch_all(&world.owner)
            .await
            .expect("entries");
    assert_eq!(entries, [("model".into(), "smol".into(), 32), ("user".into(), person.id.to_string(), -32)]);
    world.check_books().await;
}

/// TL5
#[tokio::test]
async fn explicit_zero_usage_stays_zero_and_still_has_its_row() {
    let world = World::new().await;
    let person = dev();
    let id = world.reserve(&person, 100, 128).await.expect("no bound");
    let row = world.settle(id, 0, 0).await.expect("it is open").row.expect("a row");
    assert_eq!((row.prompt_tokens, row.completion_tokens), (0, 0));
    assert_eq!(world.balance(&person).await, Balance { granted: 0, used: 0, reserved: 0 });
    assert_eq!(world.count("select count(*) from token_usage").await, 1);
    world.check_books().await;
}

#[tokio::test]
async fn of_many_settles_one_wins_and_all_get_the_row_that_stands() {
    let world = World::new().await;
    let person = dev();
    let second = world.second().await;
    let id = world.reserve(&person, 10, 100).await.expect("no bound");
    let settles = (0..40).map(|i| {
        let mut client = if i % 2 == 0 { world.client() } else { second.clone() };
        async move { told(client.settle(actual(id, 10, i)).await).expect("it is there") }
    });
    let answers = futures::future::join_all(settles).await;
    assert_eq!(answers.iter().filter(|answer| !answer.already_settled).count(), 1);
    assert!(answers.iter().all(|answer| answer.row == answers[0].row));
    let row = answers[0].row.as_ref().expect("a row");
    assert_eq!(world.balance(&person).await.used, i64::from(10 + row.completion_tokens));
    world.check_books().await;
}

#[tokio::test]
async fn what_was_never_reserved_cannot_be_settled() {
    let world = World::new().await;
    refused(world.settle(Uuid::new_v4(), 1, 1).await, Reason::NotFound);
    let id = world.reserve(&dev(), 1, 1).await.expect("no bound");
    let endless = SettleRequest { status: UsageStatus::Unspecified.into(), ..actual(id, 1, 1) };
    refused(told(world.client().settle(endless).await), Reason::SchemaViolation);
    world.check_books().await;
}

#[tokio::test]
async fn more_than_was_reserved_is_billed_as_it_was_reported() {
    let world = World::new().await;
    let person = dev();
    let id = world.reserve(&person, 10, 10).await.expect("no bound");
    world.settle(id, 10, 12).await.expect("it is open");
    assert_eq!(world.balance(&person).await, Balance { granted: 0, used: 22, reserved: 0 });
    world.check_books().await;
}

#[tokio::test]
async fn the_metrics_bear_exactly_these_names_and_count_each_settle_once() {
    let world = World::new().await;
    let person = dev();
    let model = format!("model-{}", Uuid::new_v4());
    let order = ReserveRequest { model_id: model.clone(), ..order(7, 10) };
    let id: Uuid = order.request_id.parse().expect("a UUID");
    told(world.client().reserve(world.by(&person, order)).await).expect("no bound");
    for _ in 0..3 {
        world.settle(id, 7, 9).await.expect("it is there");
    }
    world.set_limit(devstudio_proto::billing::v1::Scope::User, person.id, Some(1)).await.expect("set");
    refused(world.reserve(&person, 1, 1).await, Reason::TokenBudgetExceeded);
    let text = devstudio_kit::metrics::text();
    assert!(text.contains(&format!("token_spend{{kind=\"prompt\",model=\"{model}\"}} 7\n")), "{text}");
    assert!(text.contains(&format!("token_spend{{kind=\"completion\",model=\"{model}\"}} 9\n")));
    assert!(text.contains("token_budget_denied{scope=\"user\"} "));
}

#[tokio::test]
async fn every_kind_of_work_stands_in_the_books_as_what_it_is() {
    let world = World::new().await;
    let person = dev();
    for (kind, method) in [
        (Kind::Chat, "llm.chat"),
        (Kind::Completion, "llm.completion"),
        (Kind::Embedding, "llm.embed"),
        (Kind::Decide, "llm.decide"),
    ] {
        let order = ReserveRequest { kind: kind.into(), ..order(3, 0) };
        let id: Uuid = order.request_id.parse().expect("a UUID");
        told(world.client().reserve(world.by(&person, order)).await).expect("no bound");
        let row =
            told(world.client().settle(actual(id, 3, 0)).await).expect("it is open").row.expect("a row");
        assert_eq!(row.kind(), kind);
        let recorded: String = sqlx::query_scalar("select method from llm_requests where request_id = $1")
            .bind(id)
            .fetch_one(&world.owner)
            .await
            .expect("its record");
        assert_eq!(recorded, method);
    }
}

#[tokio::test]
async fn what_an_agents_task_used_says_so_wherever_it_is_told() {
    let world = World::new().await;
    let person = dev();
    let task = Uuid::new_v4();
    let by_task = Person { task: Some(task), ..person };
    let mine = world.reserve(&person, 3, 4).await.expect("no bound");
    let its = world.reserve(&by_task, 10, 20).await.expect("no bound");
    told(world.client().settle(actual(mine, 3, 4)).await).expect("it is open");
    let row = told(world.client().settle(actual(its, 10, 20)).await).expect("it is open").row.expect("a row");
    assert_eq!((row.task_id, row.agent_id), (Some(task.to_string()), Some("coder".into())));
    let record: (Option<Uuid>, Option<String>) =
        sqlx::query_as("select task_id, agent_id from llm_requests where request_id = $1")
            .bind(its)
            .fetch_one(&world.owner)
            .await
            .expect("one record");
    assert_eq!(record, (Some(task), Some("coder".into())));
    for (group_by, wanted) in [(GroupBy::Task, task.to_string()), (GroupBy::Agent, "coder".into())] {
        let asked = GetUsageRequest { group_by: group_by.into(), ..GetUsageRequest::default() };
        let sums = told(world.client().get_usage(world.by(&person, asked)).await).expect("sums").groups;
        let groups: Vec<(&str, i64)> =
            sums.iter().map(|sum| (sum.group.as_str(), sum.prompt_tokens + sum.completion_tokens)).collect();
        assert_eq!(groups, [(wanted.as_str(), 30), ("", 7)]);
    }
    world.check_books().await;
}
