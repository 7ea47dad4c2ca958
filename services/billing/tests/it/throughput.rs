//! The figure: reserve + settle a second through the generated client, on one hot account and over a thousand.
//! Run by `cargo test -p devstudio-billing --release --test it throughput -- --ignored --nocapture`; a quiet machine,
//! and beside it `pgbench` (TPC-B) on the same PostgreSQL.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use devstudio_proto::billing::v1::Scope;
use tonic::metadata::MetadataValue;

use crate::harness::{Person, World, actual, dev, order};

async fn figure(world: &World, people: &[Person], clients: usize, time: Duration) -> (f64, Duration) {
    let tokens: Vec<MetadataValue<_>> = people
        .iter()
        .map(|person| world.by(person, ()).metadata().get("x-devstudio-identity").expect("just set").clone())
        .collect();
    let (done, end) = (AtomicU64::new(0), Instant::now() + time);
    let started = Instant::now();
    let clients = (0..clients).map(|i| {
        let (tokens, done) = (&tokens, &done);
        async move {
            let mut client = world.client();
            let mut turn = i;
            let mut took = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                let mut request = tonic::Request::new(order(20, 128));
                request.metadata_mut().insert("x-devstudio-identity", tokens[turn % tokens.len()].clone());
                let id = request.get_ref().request_id.parse().expect("a UUID");
                client.reserve(request).await.expect("there is room");
                client.settle(actual(id, 20, 30)).await.expect("it is open");
                took.push(begun.elapsed());
                done.fetch_add(1, Ordering::Relaxed);
                turn += 131;
            }
            took
        }
    });
    let mut took: Vec<_> = futures::future::join_all(clients).await.into_iter().flatten().collect();
    took.sort();
    (done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64(), took[took.len() / 2])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure, not a proof; it wants the machine for itself"]
async fn throughput() {
    let world = World::new().await;
    devstudio_billing::make_partitions(&world.deps).await.expect("partitions");
    let hot = [dev().with_key()];
    let thousand: Vec<Person> = (0..1000).map(|_| dev()).collect();
    for person in hot.iter().chain(&thousand) {
        world.set_limit(Scope::User, person.id, Some(1_000_000_000_000)).await.expect("an admin sets it");
    }
    let time = Duration::from_secs(5);
    for (name, people, clients) in [
        ("one hot account", &hot[..], 1),
        ("one hot account", &hot[..], 64),
        ("one hot account", &hot[..], 512),
        ("1,000 accounts", &thousand, 64),
        ("1,000 accounts", &thousand, 512),
    ] {
        let (rate, median) = figure(&world, people, clients, time).await;
        println!("{name}, {clients} clients: {rate:.0} reserve+settle/s, median {median:?}");
    }
    world.check_books().await;
}
