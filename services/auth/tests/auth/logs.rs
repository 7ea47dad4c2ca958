//! The log: in order, for its own people only, and never more than a reader takes.

use std::collections::BTreeMap;

use devstudio_auth::Config;
use devstudio_kit::{Reason, Service, identity::Identity};
use devstudio_proto::auth::v1::{log_service_client::LogServiceClient, *};
use tonic::Streaming;
use uuid::Uuid;

use crate::house::{House, identity, reason, soon};

fn line(message: &str, user_id: Option<Uuid>) -> LogEntry {
    LogEntry {
        level: Level::Info.into(),
        user_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
        message: message.into(),
        ..Default::default()
    }
}

async fn append(house: &House, entries: Vec<LogEntry>) {
    let mut sandbox = LogServiceClient::new(house.mesh.seen_by(Service::Sandbox).link(Service::Auth));
    sandbox.append_logs(AppendLogsRequest { entries }).await.expect("appended");
}

async fn list(house: &House, person: &Identity, request: ListLogsRequest) -> Result<Vec<LogEntry>, Reason> {
    let answer = house.logs().list_logs(house.by(person, request)).await;
    answer.map(|answer| answer.into_inner().entries).map_err(reason)
}

async fn watch(house: &House, person: &Identity, request: WatchLogsRequest) -> Streaming<WatchLogsResponse> {
    house.logs().watch_logs(house.by(person, request)).await.expect("watching").into_inner()
}

async fn take(watch: &mut Streaming<WatchLogsResponse>, count: usize) -> Vec<String> {
    soon(async {
        let mut messages = Vec::new();
        while messages.len() < count {
            let batch = watch.message().await.expect("open").expect("no end");
            messages.extend(batch.entries.into_iter().map(|entry| entry.message));
        }
        messages
    })
    .await
}

fn admin() -> Identity {
    identity(Uuid::nil(), Role::Admin)
}

#[tokio::test]
async fn devs_see_what_is_in_their_own_name_and_admins_all() {
    let house = House::open().await;
    let (ada, bob) = (identity(Uuid::new_v4(), Role::Dev), identity(Uuid::new_v4(), Role::Dev));
    append(
        &house,
        vec![line("hers", Some(ada.user_id)), line("his", Some(bob.user_id)), line("the house's", None)],
    )
    .await;
    let messages = async |person: &Identity, user_id: String| {
        let filter = Some(LogFilter { user_id, ..Default::default() });
        let listed = list(&house, person, ListLogsRequest { filter, ..Default::default() }).await?;
        Ok::<_, Reason>(listed.into_iter().map(|entry| entry.message).collect::<Vec<_>>())
    };
    assert_eq!(messages(&ada, String::new()).await.expect("listed"), ["hers"]);
    assert_eq!(messages(&bob, bob.user_id.to_string()).await.expect("listed"), ["his"]);
    assert_eq!(messages(&bob, ada.user_id.to_string()).await, Err(Reason::NotFound));
    assert_eq!(messages(&admin(), String::new()).await.expect("listed"), ["the house's", "his", "hers"]);
    assert_eq!(messages(&admin(), ada.user_id.to_string()).await.expect("listed"), ["hers"]);

    let mut hers = watch(&house, &ada, WatchLogsRequest { backlog: 100, ..Default::default() }).await;
    assert_eq!(take(&mut hers, 1).await, ["hers"]);
    append(&house, vec![line("his again", Some(bob.user_id)), line("hers again", Some(ada.user_id))]).await;
    assert_eq!(take(&mut hers, 1).await, ["hers again"]);
}

#[tokio::test]
async fn entries_of_another_process_come_live_after_the_backlog() {
    let house = House::open().await;
    let other = house.another(Config::testing()).await;
    append(&house, (0..10).map(|n| line(&format!("old {n}"), None)).collect()).await;
    let mut live = watch(&other, &admin(), WatchLogsRequest { backlog: 3, ..Default::default() }).await;
    assert_eq!(take(&mut live, 3).await, ["old 7", "old 8", "old 9"]);
    append(&house, vec![line("new 0", None), line("new 1", None)]).await;
    assert_eq!(take(&mut live, 2).await, ["new 0", "new 1"]);

    let all = list(&house, &admin(), ListLogsRequest::default()).await.expect("listed");
    let after_seq = all.iter().find(|entry| entry.message == "old 8").expect("it is there").seq;
    let mut resumed = watch(&other, &admin(), WatchLogsRequest { after_seq, ..Default::default() }).await;
    assert_eq!(take(&mut resumed, 3).await, ["old 9", "new 0", "new 1"]);
    append(&other, vec![line("newest", None)]).await;
    assert_eq!(take(&mut resumed, 1).await, ["newest"]);
}

#[tokio::test]
async fn filters_say_the_same_of_old_and_of_new_entries() {
    let house = House::open().await;
    let trace_id = "0123456789abcdef0123456789abcdef".to_owned();
    let grave =
        LogEntry { level: Level::Error.into(), trace_id: trace_id.clone(), ..line("Disk FULL", None) };
    let entries = vec![line("disk full", None), grave, line("all well", None)];
    append(&house, entries.clone()).await;
    for filter in [
        LogFilter { min_level: Level::Warn.into(), ..Default::default() },
        LogFilter { trace_id: trace_id.to_uppercase(), ..Default::default() },
        LogFilter { text: "DISK full".into(), min_level: Level::Error.into(), ..Default::default() },
        LogFilter {
            services: vec!["sandbox".into(), "llm".into()],
            text: "isk fu".into(),
            ..Default::default()
        },
        LogFilter { services: vec!["llm".into()], ..Default::default() },
        LogFilter::default(),
    ] {
        let newest = list(&house, &admin(), ListLogsRequest::default()).await.expect("listed")[0].seq;
        let request = WatchLogsRequest { filter: Some(filter.clone()), ..Default::default() };
        let mut live = watch(&house, &admin(), request).await;
        // twice, so that an entry too many shows in the second half
        append(&house, [entries.clone(), entries.clone()].concat()).await;
        let request = ListLogsRequest { filter: Some(filter), ..Default::default() };
        let mut listed = list(&house, &admin(), request).await.expect("listed");
        listed.retain(|entry| entry.seq > newest);
        let old: Vec<_> = listed.into_iter().rev().map(|entry| entry.message).collect();
        assert_eq!(take(&mut live, old.len()).await, old);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_grow_in_the_order_in_which_readers_see_them() {
    let house = House::open().await;
    let mut live = watch(&house, &admin(), WatchLogsRequest::default()).await;
    let writers = (0..8).map(|writer| {
        let house = &house;
        async move {
            for n in 0..10 {
                append(house, vec![line(&format!("{writer}/{n}"), None); 3]).await;
            }
        }
    });
    let reader = async {
        let mut last = 0;
        let mut count = 0;
        while count < 240 {
            let batch = live.message().await.expect("open").expect("no end");
            assert_eq!(batch.dropped, 0);
            for entry in batch.entries {
                assert!(entry.seq > last, "{} after {last}", entry.seq);
                last = entry.seq;
                count += 1;
            }
        }
    };
    soon(async { tokio::join!(futures::future::join_all(writers), reader) }).await;
}

#[tokio::test]
async fn a_slow_reader_learns_how_many_entries_were_left_out() {
    let house = House::open().await;
    let ada = identity(Uuid::new_v4(), Role::Dev);
    let mut live = watch(&house, &ada, WatchLogsRequest { backlog: 1, ..Default::default() }).await;
    append(&house, vec![line("first", Some(ada.user_id))]).await;
    assert_eq!(take(&mut live, 1).await, ["first"]);
    // more than is kept for it: every second one is hers
    for batch in 0..24 {
        let entries = (0..1000).map(|n| {
            let owner = (n % 2 == 0).then_some(ada.user_id);
            line(&format!("{batch}/{n}/{}", "x".repeat(100)), owner)
        });
        append(&house, entries.collect()).await;
    }
    // another watcher tells when the feed has gone through all of it
    let mut other = watch(&house, &admin(), WatchLogsRequest::default()).await;
    append(&house, vec![line("last", Some(ada.user_id))]).await;
    soon(async { while take(&mut other, 1).await.last().is_none_or(|m| m != "last") {} }).await;
    let (mut came, mut dropped) = (0, 0);
    soon(async {
        loop {
            let batch = live.message().await.expect("open").expect("no end");
            came += batch.entries.len() as i32;
            dropped += batch.dropped;
            if batch.entries.iter().any(|entry| entry.message == "last") {
                break;
            }
        }
    })
    .await;
    assert!(dropped > 0);
    assert_eq!(came + dropped, 12_001, "what came and what was left out are all of hers");
}

#[tokio::test]
async fn lists_go_back_page_by_page() {
    let house = House::open().await;
    append(&house, (0..25).map(|n| line(&format!("{n}"), None)).collect()).await;
    let mut seen = Vec::new();
    let mut before_seq = 0;
    loop {
        let request = ListLogsRequest { page_size: 10, before_seq, ..Default::default() };
        let page = list(&house, &admin(), request).await.expect("a page");
        let Some(last) = page.last() else { break };
        before_seq = last.seq;
        seen.extend(page.into_iter().map(|entry| entry.message));
    }
    assert_eq!(seen, (0..25).rev().map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn odd_entries_are_taken_as_far_as_they_make_sense() {
    let house = House::open().await;
    let odd = LogEntry {
        service: "edge".into(),
        user_id: "nobody".into(),
        trace_id: "short".into(),
        level: 77,
        message: format!("a\0b{}", "ä".repeat(10_000)),
        fields: BTreeMap::from([("k\0".into(), "v".repeat(5000))]),
        ..Default::default()
    };
    append(&house, vec![odd]).await;
    append(&house, vec![]).await;
    let entry = list(&house, &admin(), ListLogsRequest::default()).await.expect("listed").remove(0);
    assert_eq!(entry.service, "sandbox", "the sender's token says who it is");
    assert_eq!((entry.user_id.as_str(), entry.trace_id.as_str(), entry.level()), ("", "", Level::Info));
    assert!(entry.message.starts_with("a\u{fffd}b") && entry.message.len() <= 8194);
    assert_eq!(entry.fields["k\u{fffd}"].len(), 1024);
    assert!(entry.at.is_some());
    let filter = Some(LogFilter { text: "a\0b".into(), ..Default::default() });
    let answer = list(&house, &admin(), ListLogsRequest { filter, ..Default::default() }).await;
    assert_eq!(answer, Err(Reason::SchemaViolation));
}

#[tokio::test]
async fn a_page_of_large_entries_fits_a_message() {
    let house = House::open().await;
    for _ in 0..5 {
        append(&house, (0..200).map(|n| line(&format!("{n}{}", "x".repeat(8000)), None)).collect()).await;
    }
    let page = list(&house, &admin(), ListLogsRequest { page_size: 1000, ..Default::default() }).await;
    assert!((100..1000).contains(&page.expect("a page").len()));
    let mut all = watch(&house, &admin(), WatchLogsRequest { backlog: 5000, ..Default::default() }).await;
    assert_eq!(take(&mut all, 1000).await.len(), 1000);
}
