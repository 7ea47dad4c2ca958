//! How much memory an upload takes, in a process in which nothing else happens.

#[path = "service/harness.rs"]
#[allow(dead_code)]
mod harness;

use devstudio_proto::sandbox::v1::PutUploadRequest;
use futures::StreamExt as _;

use harness::{person, told, world};

/// Bytes of memory: now, and at most since the start or the last reset.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("it is told");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_64_mib_takes_a_few_mib_of_memory() {
    let Some(world) = world("an_upload_of_64_mib").await else { return };
    let who = person();
    let upload = async |pieces: usize| {
        let piece = |n: usize| PutUploadRequest { data: vec![n as u8; 256 * 1024], ..Default::default() };
        let stream = futures::stream::iter(0..pieces).map(piece);
        told(world.archives().put_upload(world.by(who, stream)).await).expect("an upload").size_bytes
    };
    // what every first upload needs once
    upload(8).await;
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak begins anew");
    let (before, _) = memory();
    assert_eq!(upload(256).await, 64 << 20);
    let grown = memory().1.saturating_sub(before);
    println!("FIGURE an upload of 64 MiB took {} KiB of memory", grown / 1024);
    assert!(grown < 20 << 20, "{grown} bytes");
}
