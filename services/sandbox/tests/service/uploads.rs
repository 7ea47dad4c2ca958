//! Uploads by their door: kept by their hash, for a day, for one person, and never too much.

use std::time::Duration;

use devstudio_kit::{Fault, Reason, clock::Clock};
use devstudio_proto::sandbox::v1::{
    ImportArchiveRequest, PutUploadRequest, PutUploadResponse, RunExecRequest, RunStatus,
};
use devstudio_sandbox::{
    store::Store,
    uploads::{Limits, Uploads},
};
use sha2::{Digest as _, Sha256};

use crate::{
    harness::{Person, World, person, refused, told, world, world_with},
    module::{leb, section, sized, whole},
};

impl World {
    /// Uploads a content in pieces of a length that fits nothing.
    pub async fn upload(&self, by: Person, content: &[u8]) -> Result<PutUploadResponse, Fault> {
        self.upload_as(by, content, "").await
    }

    async fn upload_as(&self, by: Person, content: &[u8], sha256: &str) -> Result<PutUploadResponse, Fault> {
        let first = PutUploadRequest { data: Vec::new(), sha256: sha256.into() };
        let pieces: Vec<_> = std::iter::once(first)
            .chain(
                content
                    .chunks(300_001)
                    .map(|data| PutUploadRequest { data: data.to_vec(), ..Default::default() }),
            )
            .collect();
        told(self.archives().put_upload(self.by(by, futures::stream::iter(pieces))).await)
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.deps.pool).await.expect("a count")
    }
}

fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_named_by_its_hash_and_equal_content_is_kept_once() {
    let Some(world) = world("an_upload_is_named_by_its_hash").await else { return };
    let (anna, ben) = (person(), person());
    let content: Vec<u8> = (0..2_500_000u32).map(|n| (n * 31 % 251) as u8).collect();
    for _ in 0..2 {
        let put = world.upload_as(anna, &content, &hash(&content)).await.expect("an upload");
        assert_eq!((put.sha256, put.size_bytes), (hash(&content), 2_500_000));
    }
    world.upload(ben, &content).await.expect("another's");
    assert_eq!(world.count("select count(*) from uploads where sha256 is not null").await, 2, "one for each");
    assert_eq!(world.count("select count(*) from upload_parts").await, 6);
    let sql = "select max(octet_length(bytes))::bigint from upload_parts";
    assert_eq!(world.count(sql).await, 1_048_576);
    let stored: Vec<u8> = sqlx::query_scalar(
        "select string_agg(bytes, ''::bytea order by number) from upload_parts group by upload_id limit 1",
    )
    .fetch_one(&world.deps.pool)
    .await
    .expect("the parts");
    assert!(stored == content, "byte by byte");
    let nothing = world.upload(anna, b"").await.expect("nothing can be uploaded too");
    assert_eq!((nothing.sha256, nothing.size_bytes), (hash(b""), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_or_another_content_than_announced_leaves_nothing_behind() {
    let small = |config: &mut devstudio_sandbox::Config| (config.upload_mib, config.uploads_mib) = (1, 2);
    let Some(world) = world_with("what_is_too_much", small).await else { return };
    let (anna, ben) = (person(), person());
    let mib = |seed: u8| vec![seed; 1024 * 1024];
    let over = [mib(1), vec![0]].concat();
    let fault = refused(world.upload(anna, &over).await, Reason::BodyTooLarge);
    assert_eq!(fault.details["limit"], "1048576");
    let fault = refused(world.upload_as(anna, b"this", &hash(b"that")).await, Reason::SchemaViolation);
    assert_eq!(fault.details["pointer"], "/sha256");
    refused(world.upload_as(anna, b"this", "nonsense").await, Reason::SchemaViolation);
    world.gone().await;
    world.upload(anna, &mib(1)).await.expect("the first");
    world.upload(anna, &mib(2)).await.expect("the second");
    let fault = refused(world.upload(anna, &mib(3)).await, Reason::QuotaExceeded);
    assert_eq!((fault.details["limit"].as_str(), fault.details["used"].as_str()), ("2097152", "2097152"));
    world.upload(ben, &mib(3)).await.expect("everybody has a quota of their own");
    // two at once, room for one beside what is there
    let (four, five) = (mib(4), mib(5));
    let (one, other) = tokio::join!(world.upload(ben, &four), world.upload(ben, &five));
    assert_eq!(one.is_ok() as u32 + other.is_ok() as u32, 1, "{one:?} {other:?}");
    refused(one.and(other), Reason::QuotaExceeded);
    world.gone().await;
}

impl World {
    /// Waits until nothing unfinished is left.
    async fn gone(&self) {
        for _ in 0..200 {
            if self.count("select count(*) from uploads where sha256 is null").await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("what broke off was not forgotten");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_who_goes_away_leaves_no_upload_and_nobody_finds_half_of_one() {
    let Some(world) = world("a_sender_who_goes_away").await else { return };
    let anna = person();
    let (tell, pieces) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(pieces);
    let call = {
        let (mut client, request) = (world.archives(), world.by(anna, stream));
        tokio::spawn(async move { client.put_upload(request).await })
    };
    for _ in 0..3 {
        let piece = PutUploadRequest { data: vec![7; 1024 * 1024], ..Default::default() };
        tell.send(piece).await.expect("it is taken");
    }
    for _ in 0..500 {
        if world.count("select count(*) from upload_parts").await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.count("select count(*) from upload_parts").await > 0, "parts are stored as they come");
    call.abort();
    world.gone().await;
    assert_eq!(world.count("select count(*) from upload_parts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_after_a_day_and_unfinished_ones_after_an_hour() {
    let Some(world) = world("uploads_go_after_a_day").await else { return };
    let anna = person();
    let clock = Clock::standing_at(time::OffsetDateTime::now_utc());
    let limits = Limits { upload_bytes: 1 << 20, person_bytes: 1 << 20 };
    let uploads = Uploads::new(Store::new(world.deps.pool.clone()), clock.clone(), limits);
    let mut one = uploads.begin(anna.0).await.expect("one");
    one.add(b"content").await.expect("a piece");
    let (sha256, _) = one.finish(None).await.expect("finished");
    let half = uploads.begin(anna.0).await.expect("another");
    clock.advance(time::Duration::minutes(59));
    assert_eq!(uploads.sweep().await.expect("a sweep"), 0);
    clock.advance(time::Duration::minutes(1));
    assert_eq!(uploads.sweep().await.expect("a sweep"), 1, "the unfinished one");
    drop(half);
    clock.advance(time::Duration::hours(22));
    uploads.find(anna.0, &sha256).await.expect("it is kept");
    clock.advance(time::Duration::hours(1));
    assert!(uploads.find(anna.0, &sha256).await.is_err(), "a day is over, swept or not");
    assert_eq!(uploads.sweep().await.expect("a sweep"), 1);
    assert_eq!(world.count("select count(*) from upload_parts").await, 0, "parts go with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_persons_upload_is_not_there() {
    let Some(world) = world("another_persons_upload_is_not_there").await else { return };
    let (anna, ben) = (person(), person());
    let put = world.upload(anna, &crate::bundles::tar(&[("a", b"a")])).await.expect("an upload");
    let import = ImportArchiveRequest { upload_sha256: put.sha256.clone(), ..Default::default() };
    refused(told(world.archives().import_archive(world.by(ben, import)).await), Reason::NotFound);
    let run = RunExecRequest { engine: "wasm".into(), module_sha256: put.sha256, ..Default::default() };
    if world.has("another_persons_upload_is_not_there", "wasm") {
        refused(world.run(ben, run).await, Reason::NotFound);
    }
}

/// A module with ten megabytes of data, whose start is `body`; it exports `f`, which answers 42.
fn large_module(body: &[u8]) -> Vec<u8> {
    let function = |body: &[u8]| sized([&[0], body, &[0x0b]].concat());
    let data = vec![0x5a; 10 * 1024 * 1024];
    whole(&[
        section(1, 2, vec![0x60, 0, 0, 0x60, 0, 1, 0x7f]),
        section(3, 2, vec![0, 1]),
        section(5, 1, [vec![0], leb(200)].concat()),
        section(7, 2, [&[6][..], b"_start", &[0, 0, 1], b"f", &[0, 1]].concat()),
        section(10, 2, [function(body), function(&[0x41, 42])].concat()),
        section(11, 1, [vec![0, 0x41, 0, 0x0b], sized(data)].concat()),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_uploaded_module_runs_and_a_hostile_one_ends_at_its_limits() {
    let Some(world) = world("a_large_uploaded_module_runs").await else { return };
    if !world.has("a_large_uploaded_module_runs", "wasm") {
        return;
    }
    let anna = person();
    let run = async |module: &[u8], function: &str, timeout_ms: i32| {
        let sha256 = world.upload(anna, module).await.expect("an upload").sha256;
        let (function, engine) = (function.into(), "wasm".into());
        let message =
            RunExecRequest { engine, module_sha256: sha256, function, timeout_ms, ..Default::default() };
        let began = std::time::Instant::now();
        let done = world.run(anna, message).await;
        (done, began.elapsed())
    };
    // loop forever: br 0
    let endless = large_module(&[0x03, 0x40, 0x0c, 0, 0x0b]);
    assert!(endless.len() > 10 * 1024 * 1024);
    let (done, took) = run(&endless, "f", 60_000).await;
    let done = done.expect("a run");
    assert_eq!((done.status(), done.stdout.as_str()), (RunStatus::Succeeded, "42\n"), "{}", done.message);
    println!("FIGURE a module of 10 MiB ran in {took:?}");
    let (done, took) = run(&endless, "", 4_000).await;
    refused(done, Reason::ExecTimeout);
    assert!(took < Duration::from_secs(20), "{took:?}");
    // a function so long that the compiler is the one at work: i32.const 1, drop
    let bomb = large_module(&[0x41, 1, 0x1a].repeat(1_500_000));
    let (done, took) = run(&bomb, "", 8_000).await;
    let ended = match &done {
        Ok(done) => format!("{:?}: {}", done.status(), done.message),
        Err(fault) => fault.to_string(),
    };
    println!("FIGURE a compiler's bomb of 14 MiB ended after {took:?}: {ended}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(!matches!(done, Err(ref fault) if fault.reason == Reason::Internal), "{ended}");
    // 17 MiB are more than a module may have
    let over = [large_module(&[0x01]), vec![0; 7 * 1024 * 1024]].concat();
    let (done, _) = run(&over, "", 1000).await;
    assert_eq!(refused(done, Reason::SchemaViolation).details["pointer"], "/moduleSha256");
}
