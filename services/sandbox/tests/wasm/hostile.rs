//! Modules that are bombs: for the compiler, for memory, for time, for whoever waits (TX11). Each is bounded in time and
//! memory, and the service that only hands it on does not grow by it.

use std::time::Duration;

use devstudio_sandbox::engine::{Job, Status};

use crate::{
    common::{
        Ran,
        module::{leb, section, sized, whole},
        proof::{counts, figure, mib, resident_bytes},
        run,
    },
    engine, module, text,
};

const MIB: usize = 1 << 20;

/// The type of functions that take and give nothing.
fn nothing() -> Vec<u8> {
    section(1, 1, vec![0x60, 0, 0])
}

fn start_export() -> Vec<u8> {
    section(7, 1, [sized(b"_start".to_vec()), vec![0, 0]].concat())
}

/// A module of functions of no type, the first of which is called; a page of memory and a table are there.
fn functions(bodies: &[Vec<u8>], locals: usize) -> Vec<u8> {
    let locals = if locals == 0 { vec![0] } else { [vec![1], leb(locals), vec![0x7f]].concat() };
    let code = bodies.iter().flat_map(|body| sized([&locals[..], body, &[0x0b]].concat())).collect();
    whole(&[
        nothing(),
        section(3, bodies.len(), vec![0; bodies.len()]),
        section(5, 1, vec![0, 1]),
        start_export(),
        section(10, bodies.len(), code),
    ])
}

/// Runs a bomb; answers how it ended. It is over a second after its time, whatever it is.
async fn survived(engine: &devstudio_sandbox::wasm::Wasm, what: &str, mut job: Job) -> Ran {
    job.timeout = Duration::from_secs(counts(4, 30));
    let ran = run(engine, &job).await;
    let wall = ran.outcome.wall;
    assert!(wall < job.timeout + Duration::from_secs(1), "{what}: {wall:?}");
    eprintln!("{what}: {} after {wall:?}", ran.outcome.status.name());
    ran
}

/// What the service may grow by; other tests beside this one use the same process' memory.
fn room() -> u64 {
    counts(120, 64) << 20
}

/// As a rival of compilers would have it: as long as an upload may be, of code that is work.
fn ten_megabytes() -> Vec<u8> {
    // mem[0] = mem[4] * local + …, over and over
    let step = [0x41, 0, 0x41, 4, 0x28, 2, 0, 0x20, 0, 0x6c, 0x41, 7, 0x6a, 0x22, 0, 0x36, 2, 0];
    let body = step.repeat(60);
    let module = functions(&vec![body; (10 * MIB - 1024) / (60 * step.len() + 8)], 1);
    assert!(module.len() > 99 * MIB / 10 && module.len() <= 10 * MIB, "{}", module.len());
    module
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_ten_megabytes_is_bounded_when_it_is_compiled() {
    let Some((engine, _cache)) = engine("a_module_of_ten_megabytes_is_bounded_when_it_is_compiled").await
    else {
        return;
    };
    let bomb = module(ten_megabytes());
    let before = resident_bytes(None);
    let mut most = 0;
    let running = survived(&engine, "10 MB of code", bomb);
    tokio::pin!(running);
    let ran = loop {
        tokio::select! {
            ran = &mut running => break ran,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                most = most.max(resident_bytes(None).saturating_sub(before));
            }
        }
    };
    let ends = [Status::Succeeded, Status::Timeout, Status::OutOfMemory];
    assert!(ends.contains(&ran.outcome.status), "{:?}", ran.outcome);
    // The module itself, its copy in the order, and what the pipe takes; not what the compiler makes of it.
    assert!(most < room(), "the service grew by {most} bytes");
    let ended = (ran.outcome.status.name(), ran.outcome.wall);
    figure("TX11", format!("10 MB of code: {} after {:.1?}, service +{}", ended.0, ended.1, mib(most)));
    let good = text("(module (func (export \"_start\")))");
    assert_eq!(run(&engine, &good).await.outcome.status, Status::Succeeded, "the next one runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_are_bombs_for_a_compiler_are_bounded() {
    let Some((engine, _cache)) = engine("modules_that_are_bombs_for_a_compiler_are_bounded").await else {
        return;
    };
    let deep = |count: usize| [[0x02, 0x40].repeat(count), vec![0x0b; count]].concat();
    let table = |targets: usize| {
        [vec![0x02, 0x40, 0x41, 0, 0x0e], leb(targets), vec![0; targets + 1], vec![0x0b]].concat()
    };
    let uses_locals: Vec<u8> =
        (0..50_000).flat_map(|n| [vec![0x20], leb(n), vec![0x21], leb(50_000 - 1 - n)].concat()).collect();
    let long = [0x41, 0, 0x41, 4, 0x28, 2, 0, 0x41, 7, 0x6a, 0x36, 2, 0].repeat(500_000);
    let data = |count: usize, each: usize| {
        let one = [vec![0, 0x41, 0, 0x0b], sized(vec![7; each])].concat();
        whole(&[
            nothing(),
            section(3, 1, vec![0]),
            section(5, 1, [vec![0], leb(200)].concat()),
            start_export(),
            section(10, 1, sized(vec![0, 0x0b])),
            section(11, count, one.repeat(count)),
        ])
    };
    let globals = whole(&[
        nothing(),
        section(3, 1, vec![0]),
        section(6, 300_000, [0x7f, 1, 0x41, 0, 0x0b].repeat(300_000)),
        start_export(),
        section(10, 1, sized(vec![0, 0x0b])),
    ]);
    let exports: Vec<u8> =
        (0..200_000).flat_map(|n: usize| [sized(format!("{n}").into_bytes()), vec![0, 0]].concat()).collect();
    let exports = whole(&[
        nothing(),
        section(3, 1, vec![0]),
        section(7, 200_000, exports),
        section(10, 1, sized(vec![0, 0x0b])),
    ]);
    let types = whole(&[section(1, 999_999, [0x60, 0, 0].repeat(999_999))]);
    let wide = whole(&[section(
        1,
        1,
        [vec![0x60], leb(1000), vec![0x7f; 1000], leb(1000), vec![0x7f; 1000]].concat(),
    )]);
    let name = whole(&[vec![0], sized([sized(b"name".to_vec()), vec![0xff; 4 * MIB]].concat())]);
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        ("50,000 locals", functions(&[uses_locals], 50_000)),
        ("more locals than are allowed", functions(&[vec![]], 4_000_000_000)),
        ("blocks 100,000 deep", functions(&[deep(100_000)], 0)),
        ("one function of 6.5 MB", functions(&[long], 0)),
        ("a hundred jumps to 65,000 places each", functions(&[table(65_000).repeat(100)], 0)),
        ("100,000 functions", functions(&vec![vec![]; 100_000], 0)),
        ("9 MB of data", data(1, 9 * MIB)),
        ("90,000 pieces of data", data(90_000, 1)),
        ("300,000 globals", globals),
        ("200,000 exports", exports),
        ("a million types", types),
        ("a function of 1,000 results", wide),
        ("names without sense", name),
        (
            "a section longer than the module",
            [&b"\0asm\x01\0\0\0\x0a\xff\xff\xff\xff\x0f"[..], &[0; 64]].concat(),
        ),
        ("more functions than bytes", [&b"\0asm\x01\0\0\0\x03\x05"[..], &leb(1 << 31)].concat()),
    ];
    let (mut ends, mut slowest) = (std::collections::BTreeMap::new(), Duration::ZERO);
    let count = bombs.len();
    let before = resident_bytes(None);
    for (what, bytes) in bombs {
        let ran = survived(&engine, what, module(bytes)).await;
        slowest = slowest.max(ran.outcome.wall);
        *ends.entry(ran.outcome.status.name()).or_insert(0) += 1;
    }
    let grown = resident_bytes(None).saturating_sub(before);
    assert!(grown < room(), "{grown} bytes");
    figure(
        "TX11",
        format!(
            "{count} bombs for the compiler: {ends:?}, {slowest:.1?} at most, service +{} after",
            mib(grown)
        ),
    );
    let good = text("(module (func (export \"_start\")))");
    assert_eq!(run(&engine, &good).await.outcome.status, Status::Succeeded, "the next one runs");
}

const IMPORTS: &str = r#"
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))"#;

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_wait_or_grow_are_bounded() {
    let Some((engine, _cache)) = engine("modules_that_wait_or_grow_are_bounded").await else { return };
    use Status::{Failed, OutOfMemory, Succeeded, Timeout, Trapped};
    let grows = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                 (if (i32.gt_u (memory.size) (i32.const 1024)) (then unreachable))
                 (memory.fill (i32.const 0) (i32.const 7) (i32.shl (memory.size) (i32.const 16)))";
    let cases: &[(&str, &str, String, &[Status])] = &[
        ("a wait of an hour", "(memory (export \"memory\") 1)",
            "(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
             (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))".into(), &[Timeout]),
        ("a wait until the year 2500", "(memory (export \"memory\") 1)",
            "(i64.store (i32.const 24) (i64.const 0x7fffffffffffffff)) (i32.store16 (i32.const 40) (i32.const 1))
             (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))".into(), &[Timeout, Succeeded]),
        ("a wait for more than there is memory", "(memory (export \"memory\") 1)",
            "(drop (call $poll (i32.const 0) (i32.const 64) (i32.const 0x7fffffff) (i32.const 128)))".into(),
            &[Succeeded, Trapped, Failed, OutOfMemory, Timeout]),
        ("growing page by page", "(memory (export \"memory\") 1)", grows.into(), &[Succeeded]),
        ("filling all memory again and again", "(memory (export \"memory\") 1000)",
            "(loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536000)) (br $l))".into(), &[Timeout]),
        ("a table that grows", "(memory (export \"memory\") 1) (table $t 1 funcref)",
            "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))
             (if (i32.gt_u (table.size $t) (i32.const 1000000)) (then unreachable))".into(), &[Succeeded]),
        ("a hundred tables", &format!("(memory (export \"memory\") 1) {}", "(table 1000000 funcref)".repeat(100)),
            String::new(), &[Failed, OutOfMemory, Trapped]),
        ("a hundred memories", &format!("(memory (export \"memory\") 1) {}", "(memory 1000 1000)".repeat(99)),
            String::new(), &[Failed, OutOfMemory, Succeeded]),
        ("a memory of 64 bits", "(memory (export \"memory\") i64 1)", String::new(), &[Failed]),
        ("a wait in shared memory", "(memory (export \"memory\") 1 1 shared)",
            "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))".into(), &[Timeout, Failed, Trapped]),
        ("more random bytes than there is memory", "(memory (export \"memory\") 1)",
            "(if (i32.eqz (call $random (i32.const 0) (i32.const -1))) (then unreachable))".into(), &[Succeeded, Trapped]),
        ("more pieces of output than there is memory", "(memory (export \"memory\") 1)",
            "(if (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 0x10000000) (i32.const 8))) (then unreachable))".into(),
            &[Succeeded, Trapped]),
        ("arguments to outside of memory", "(memory (export \"memory\") 1)",
            "(if (i32.eqz (call $args (i32.const -4) (i32.const -4))) (then unreachable))".into(), &[Succeeded, Trapped]),
        ("no memory at all", "", "(drop (call $random (i32.const 0) (i32.const 8)))".into(), &[Failed, Trapped, Succeeded]),
    ];
    let recursion = format!(
        "(func $f (export \"_start\") {} (call $f))",
        "(local i64 i64 i64 i64 i64 i64 i64 i64)".repeat(100)
    );
    let before = resident_bytes(None);
    let mut late = Duration::ZERO;
    let mut tried = 0;
    for (what, memory, body, wanted) in cases {
        let wat = format!("(module {IMPORTS} {memory} (func (export \"_start\") {body}))");
        let Ok(bytes) = wat::parse_str(&wat) else { panic!("{what}: {wat}") };
        let mut job = module(bytes);
        job.timeout = Duration::from_secs(2);
        let ran = run(&engine, &job).await;
        late = late.max(ran.outcome.wall.saturating_sub(job.timeout));
        eprintln!(
            "{what}: {} {} after {:?}",
            ran.outcome.status.name(),
            ran.outcome.message,
            ran.outcome.wall
        );
        assert!(wanted.contains(&ran.outcome.status), "{what}: {:?}", ran.outcome);
        assert!(ran.outcome.wall < Duration::from_secs(3), "{what}: {:?}", ran.outcome.wall);
        tried += 1;
    }
    let ran = run(&engine, &text(&format!("(module {recursion})"))).await;
    assert_eq!(ran.outcome.status, Trapped, "recursion with large frames: {:?}", ran.outcome);
    let grown = resident_bytes(None).saturating_sub(before);
    assert!(grown < room(), "{grown} bytes");
    figure(
        "TX11",
        format!(
            "{} modules that wait or grow: ended {late:?} after their time at most, service +{}",
            tried + 1,
            mib(grown)
        ),
    );
}

/// wasmer knows more calls than WASI has: of sockets, threads and processes. None of them reaches anything.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_wasix_reach_nothing() {
    let Some((engine, _cache)) = engine("calls_of_wasix_reach_nothing").await else { return };
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = host.local_addr().expect("an address").port().to_be_bytes();
    let open = "(local $fd i32)
        (if (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 0)) (then (return)))
        (local.set $fd (i32.load (i32.const 0)))";
    for (what, import, body) in [
        (
            "a socket",
            r#"(import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
               (import "wasix_32v1" "sock_connect" (func $connect (param i32 i32) (result i32)))"#,
            format!("{open} (if (i32.eqz (call $connect (local.get $fd) (i32.const 64))) (then unreachable))"),
        ),
        (
            "a name",
            r#"(import "wasix_32v1" "resolve" (func $resolve (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
            "(drop (call $resolve (i32.const 96) (i32.const 9) (i32.const 80) (i32.const 1024) (i32.const 4) (i32.const 128)))
             (if (i32.load (i32.const 128)) (then unreachable))".to_owned(),
        ),
        (
            "a network",
            r#"(import "wasix_32v1" "port_dhcp_acquire" (func $dhcp (result i32)))"#,
            "(if (i32.eqz (call $dhcp)) (then unreachable))".to_owned(),
        ),
        (
            "a process",
            r#"(import "wasix_32v1" "proc_spawn" (func $spawn
                 (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#,
            "(if (i32.eqz (call $spawn (i32.const 112) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 256))) (then unreachable))"
                .to_owned(),
        ),
    ] {
        let (high, low) = (port[0], port[1]);
        // An address of IP version 4 and its port as wasmer reads them, 127.0.0.1.
        let wat = format!(
            r#"(module {import} (memory (export "memory") 2)
                 (data (i32.const 64) "\01\00\{high:02x}\{low:02x}\7f\00\00\01")
                 (data (i32.const 96) "localhost") (data (i32.const 112) "/bin/sh")
                 (func (export "_start") {body}))"#
        );
        let mut job = text(&wat);
        job.timeout = Duration::from_secs(3);
        let ran = run(&engine, &job).await;
        eprintln!("{what}: {} {}", ran.outcome.status.name(), ran.outcome.message);
        assert_eq!(ran.outcome.status, Status::Succeeded, "{what} is refused: {:?}", ran.outcome);
    }
    host.set_nonblocking(true).expect("a setting");
    assert!(host.accept().is_err(), "nobody came");
}
