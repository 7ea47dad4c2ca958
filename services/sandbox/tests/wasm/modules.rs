//! Good modules, and hostile ones of a few lines.

use std::{path::Path, time::Duration};

use devstudio_sandbox::engine::{Engine as _, Isolation, Program, Status};

use crate::{
    common::{job, run, until, workspace},
    engine, engine_with, module, text,
};

const ADD: &[u8] = include_bytes!("../../../../tests/fixtures/wasm/add.wasm");
const ADD_TEXT: &str = include_str!("../../../../tests/fixtures/wasm/add.wat");

#[test]
fn the_fixture_is_its_source() {
    let built = wat::parse_str(ADD_TEXT).expect("good text");
    if std::env::var_os("DEVSTUDIO_WRITE_FIXTURES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wasm/add.wasm");
        std::fs::write(path, &built).expect("a fixture");
    } else {
        assert!(built == ADD, "run this test with DEVSTUDIO_WRITE_FIXTURES=1 after a change of add.wat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reads_1_plus_2_and_prints_3() {
    let Some((engine, _cache)) = engine("a_command_reads_1_plus_2_and_prints_3").await else { return };
    let mut job = module(ADD);
    job.stdin = "1+2".into();
    let ran = run(&engine, &job).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.exit_code), ("3\n", 0), "{ran:?}");
    assert_eq!((ran.outcome.status, ran.outcome.isolation), (Status::Succeeded, Isolation::Wasm));
    job.stdin = " 40 +2\n".into();
    assert_eq!(run(&engine, &job).await.stdout, "42\n");
    job.stdin = "one".into();
    let ran = run(&engine, &job).await;
    assert_eq!((ran.outcome.status, ran.outcome.exit_code), (Status::NonzeroExit, 2), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_called_with_numbers() {
    let Some((engine, _cache)) = engine("an_export_is_called_with_numbers").await else { return };
    let mut call = module(ADD);
    (call.function, call.args) = ("add".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
    assert_eq!(run(&engine, &call).await.stdout, "3\n");
    call.args = vec!["1".to_owned()];
    assert_eq!(run(&engine, &call).await.outcome.status, Status::Failed, "too few numbers");
    call.args = vec!["1".to_owned(), "x".to_owned()];
    assert!(run(&engine, &call).await.outcome.message.contains("not a number"));
    call.function = "none".to_owned();
    assert!(run(&engine, &call).await.outcome.message.contains("exports no function"));

    let mut many = text(
        "(module (func (export \"all\") (param i64 f32 f64) (result f64 i64)
           (f64.add (local.get 2) (f64.promote_f32 (local.get 1))) (local.get 0)))",
    );
    (many.function, many.args) = ("all".to_owned(), ["-5", "1.5", "2.25"].map(str::to_owned).into());
    assert_eq!(run(&engine, &many).await.stdout, "3.75\n-5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_environment_arrive_and_nothing_else_does() {
    let Some((engine, _cache)) = engine("arguments_and_environment_arrive_and_nothing_else_does").await
    else {
        return;
    };
    // Prints the whole block of the environment, then tries to open a file below each of the first descriptors.
    let mut job = text(
        r#"(module
          (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 900) "../../../../etc/passwd")
          (func (export "_start") (local $fd i32)
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $get (i32.const 64) (i32.const 2048)))
            (i32.store (i32.const 32) (i32.const 2048))
            (i32.store (i32.const 36) (i32.load (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
            (local.set $fd (i32.const 3))
            (loop $next
              (if (i32.eqz (call $open (local.get $fd) (i32.const 1) (i32.const 900) (i32.const 22)
                    (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 50)))
                (then unreachable))
              (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
              (br_if $next (i32.lt_u (local.get $fd) (i32.const 16))))))"#,
    );
    job.env.insert("A".to_owned(), "b".to_owned());
    let ran = run(&engine, &job).await;
    assert_eq!(ran.outcome.status, Status::Succeeded, "no file could be opened: {ran:?}");
    assert_eq!(ran.stdout, "A=b\0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_when_its_fuel_is_used_up() {
    let Some((engine, _cache)) = engine_with("a_loop_ends_when_its_fuel_is_used_up", 1_000_000, false).await
    else {
        return;
    };
    let ran = run(&engine, &text("(module (func (export \"_start\") (loop $l (br $l))))")).await;
    assert_eq!(ran.outcome.status, Status::Trapped, "{ran:?}");
    assert!(ran.outcome.message.contains("fuel"), "{}", ran.outcome.message);
    let start = run(&engine, &text("(module (func $f (loop $l (br $l))) (start $f))")).await;
    assert_eq!(start.outcome.status, Status::Trapped, "in the start function: {start:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_with_much_fuel_ends_at_its_deadline() {
    let Some((engine, _cache)) = engine("a_loop_with_much_fuel_ends_at_its_deadline").await else { return };
    let mut job = text("(module (func (export \"_start\") (loop $l (br $l))))");
    job.timeout = Duration::from_millis(200);
    let ran = run(&engine, &job).await;
    assert_eq!(ran.outcome.status, Status::Timeout);
    assert!(ran.outcome.wall < Duration::from_millis(700), "{:?}", ran.outcome.wall);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_modules_are_bounded() {
    let Some((engine, _cache)) = engine("hostile_modules_are_bounded").await else { return };
    for (what, wat, wanted) in [
        // memory.grow answers -1 beyond the limit
        (
            "memory.grow",
            "(module (memory 1) (func (export \"_start\")
               (if (i32.ne (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))
               (if (i32.eq (memory.grow (i32.const 900)) (i32.const -1)) (then unreachable))))",
            Status::Succeeded,
        ),
        ("a large memory", "(module (memory 32768) (func (export \"_start\")))", Status::Failed),
        ("a huge table", "(module (table 100000000 funcref) (func (export \"_start\")))", Status::Failed),
        ("deep recursion", "(module (func $f (export \"_start\") (call $f)))", Status::Trapped),
        ("a trap at the start", "(module (func $f unreachable) (start $f))", Status::Trapped),
        (
            "a division by zero",
            "(module (func (export \"_start\") (drop (i32.div_u (i32.const 1) (i32.const 0)))))",
            Status::Trapped,
        ),
        (
            "out of bounds",
            "(module (memory 1) (func (export \"_start\") (drop (i32.load (i32.const -8)))))",
            Status::Trapped,
        ),
        (
            "an unknown import",
            "(module (import \"env\" \"system\" (func)) (func (export \"_start\")))",
            Status::Failed,
        ),
    ] {
        let ran = run(&engine, &text(wat)).await;
        assert_eq!(ran.outcome.status, wanted, "{what}: {ran:?}");
    }
    for (what, bytes) in
        [("no module", &b"\0asm garbage"[..]), ("empty", &b""[..]), ("cut", &ADD[..ADD.len() / 2])]
    {
        let ran = run(&engine, &module(bytes)).await;
        assert_eq!(ran.outcome.status, Status::Failed, "{what}: {ran:?}");
    }
    assert_eq!(
        run(&engine, &text("(module (func (export \"_start\")))")).await.outcome.status,
        Status::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_megabytes_is_no_bomb() {
    let Some((engine, _cache)) = engine("a_module_of_megabytes_is_no_bomb").await else { return };
    let body = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 4)) (i32.const 7)))".repeat(2_000);
    let wat =
        format!("(module (memory 1) {} (func (export \"_start\")))", format!("(func {body})").repeat(40));
    let mut job = text(&wat);
    let Program::Module(bytes) = &job.program else { unreachable!("it is a module") };
    let size = bytes.len();
    job.timeout = Duration::from_secs(8);
    let ran = run(&engine, &job).await;
    eprintln!("a module of {size} bytes: {:?} after {:?}", ran.outcome.status, ran.outcome.wall);
    let ends = [Status::Succeeded, Status::Timeout, Status::OutOfMemory];
    assert!(ends.contains(&ran.outcome.status), "{:?} {}", ran.outcome.status, ran.outcome.message);
    assert!(ran.outcome.wall < Duration::from_secs(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiled_module_is_kept_and_used_again() {
    let Some((engine, cache)) = engine("a_compiled_module_is_kept_and_used_again").await else { return };
    let mut job = module(ADD);
    job.stdin = "2+2".into();
    let first = run(&engine, &job).await;
    let kept: Vec<_> = std::fs::read_dir(cache.path().join("wasm")).expect("a cache").flatten().collect();
    assert_eq!(kept.len(), 1);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(kept[0].metadata().expect("metadata").permissions().mode() & 0o077, 0, "for nobody else");
    let second = run(&engine, &job).await;
    assert_eq!((first.stdout.as_str(), second.stdout.as_str()), ("4\n", "4\n"));
    eprintln!("compiled {:?}, cached {:?}", first.outcome.wall, second.outcome.wall);
    std::fs::write(kept[0].path(), "spoilt").expect("a write");
    assert_eq!(run(&engine, &job).await.outcome.status, Status::Failed, "what is spoilt is not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_worker_serves_one_module_and_the_next_comes_by_itself() {
    let Some((engine, _cache)) =
        engine_with("a_waiting_worker_serves_one_module_and_the_next_comes_by_itself", 1 << 40, true).await
    else {
        return;
    };
    let mut walls = Vec::new();
    for n in 0..5 {
        until("a worker waits", 5, || engine.worker_waits()).await;
        let mut job = module(ADD);
        job.stdin = format!("{n}+1").into();
        let ran = run(&engine, &job).await;
        assert_eq!(ran.stdout, format!("{}\n", n + 1));
        walls.push(ran.outcome.wall);
    }
    eprintln!("warm workers: {walls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_the_workspace_is_run_by_its_path() {
    let Some((engine, _cache)) = engine("a_module_of_the_workspace_is_run_by_its_path").await else { return };
    let (folder, view) = workspace(&[]);
    std::fs::write(folder.path().join("add.wasm"), ADD).expect("a module");
    let mut job = job(Program::Path("add.wasm".to_owned()), "");
    (job.stdin, job.view, job.memory_bytes) = ("20+3".into(), Some(view), 64 << 20);
    assert_eq!(run(&engine, &job).await.stdout, "23\n");
    assert_eq!(engine.info().engine, "wasm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut() {
    let Some((engine, _cache)) = engine("a_flood_of_output_is_cut").await else { return };
    let ran = run(
        &engine,
        &text(
            r#"(module
              (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
              (memory (export "memory") 2)
              (func (export "_start")
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.const 65536))
                (loop $again
                  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                  (br $again))))"#,
        ),
    )
    .await;
    assert!(ran.outcome.truncated && ran.stdout.len() == 1 << 20, "{:?}", ran.outcome);
}
