//! What the engines cost: each beside its reference, taking turns in one run. `cargo xtask bench` runs it in release.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use devstudio_sandbox::{
    engine::{Engine, Isolation, Job, Program},
    micro::{self, Micro},
    process::{
        Factory, Process,
        pump::{Event, Sink},
    },
    wasm::{self, Wasm},
};

use common::{job, settings, until};

/// Rounds of which the median is told.
const ROUNDS: usize = 31;
/// Rounds of what takes most of a second.
const FEW_ROUNDS: usize = 9;
const ADD: &[u8] = include_bytes!("../../../tests/fixtures/wasm/add.wasm");
const SAY: &str = "print(1)";

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn line(what: &str, time: Duration, beside: &str) {
    println!("  {what:<58} {:>9.2} ms  {beside}", time.as_secs_f64() * 1e3);
}

/// From the call to the program's first output.
async fn to_first_output(engine: &dyn Engine, job: &Job) -> Duration {
    let (mut sink, mut events) = Sink::new();
    let began = Instant::now();
    let mut first = None;
    let run = engine.run(job, &mut sink);
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                if matches!(event, Event::Output { .. }) {
                    first.get_or_insert_with(|| began.elapsed());
                }
            }
            ended = &mut run => {
                ended.expect("it runs");
                // What it said last may have come in the very turn in which it ended.
                while let Ok(event) = events.try_recv() {
                    if matches!(event, Event::Output { .. }) {
                        first.get_or_insert_with(|| began.elapsed());
                    }
                }
                return first.expect("it said something");
            }
        }
    }
}

/// A program of the host from its start to its first output.
fn bare(command: &mut Command) -> Duration {
    let began = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut first = [0u8; 1];
    child.stdout.take().expect("its output").read_exact(&mut first).expect("it says something");
    let took = began.elapsed();
    child.wait().expect("it ends");
    took
}

/// bubblewrap with the namespaces and the read-only /usr that the engine run has.
fn bubblewrap(python: &str) -> Option<Command> {
    let there =
        Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/usr", "/usr"]);
    for folder in ["bin", "lib", "lib64"] {
        command.args(["--symlink", &format!("usr/{folder}"), &format!("/{folder}")]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]);
    command.args([python, "-u", "-B", "-c", SAY]);
    there.then_some(command)
}

async fn run() {
    println!("\nEngine run: python from the call to its first output, median of {ROUNDS}");
    let Some(python) =
        ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|p| Path::new(p).exists())
    else {
        println!("  SKIPPED: there is no python3 below /usr to compare with");
        return;
    };
    // The same interpreter on both sides.
    // SAFETY: nothing else of this program runs yet that reads the environment.
    unsafe { std::env::set_var("PATH", "/usr/local/bin:/usr/bin:/bin") };
    let factory = match Factory::probe(settings("bench")).await {
        Ok(factory) => factory,
        Err(remedy) => return println!("  SKIPPED: {remedy}"),
    };
    let engine = Process::new(Ok(factory.clone()), Isolation::Process).await;
    let (mut plain, mut wrapped, mut cold, mut armed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(bare(Command::new(python).args(["-u", "-B", "-c", SAY])));
        wrapped.extend(bubblewrap(python).map(|mut command| bare(&mut command)));
        cold.push(to_first_output(&engine, &job(Program::Code(SAY.to_owned()), "python")).await);
    }
    factory.keep_armed(1);
    for _ in 0..ROUNDS {
        until("a sandbox waits", 10, || factory.armed() == 1).await;
        plain.push(bare(Command::new(python).args(["-u", "-B", "-c", SAY])));
        armed.push(to_first_output(&engine, &job(Program::Code(SAY.to_owned()), "python")).await);
    }
    let reference = median(plain);
    let over = |time: Duration| {
        format!("{:+.2} ms over the bare interpreter", (time.as_secs_f64() - reference.as_secs_f64()) * 1e3)
    };
    line("bare interpreter", reference, "");
    match wrapped.is_empty() {
        true => println!("  bubblewrap: SKIPPED, it is not installed"),
        false => {
            let wrapped = median(wrapped);
            line("bubblewrap, same namespaces, no limits, no filter", wrapped, &over(wrapped));
        }
    }
    let (cold, armed) = (median(cold), median(armed));
    line("engine run, a sandbox made for it", cold, &over(cold));
    line("engine run, a sandbox that stood armed", armed, &over(armed));
    println!("  must: at most +20 ms; aim: +2 ms armed");
}

async fn wasm() {
    println!("\nEngine wasm: a cached module in a warm worker, median of {ROUNDS}");
    let factory = match Factory::probe(settings("bench-wasm")).await {
        Ok(factory) => factory,
        Err(remedy) => return println!("  SKIPPED: {remedy}"),
    };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let settings = wasm::Settings { cache: cache.path().join("wasm"), fuel: 1 << 40, warm: true };
    let engine = Wasm::new(Ok(factory), settings).expect("an engine");
    let (mut inner, mut whole) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        until("a worker waits", 10, || engine.worker_waits()).await;
        let mut job = job(Program::Module(ADD.into()), "");
        (job.stdin, job.memory_bytes) = ("1+2".into(), 64 << 20);
        let took = to_first_output(&engine, &job).await;
        if round > 0 {
            // The first compiled it.
            inner.push(engine.last_call());
            whole.push(took);
        }
    }
    line("store, instance and call (add.wasm, WASI)", median(inner), "must: 0.30 ms; aim: 0.03 ms");
    line("from the call to the first output, the worker's life included", median(whole), "");
    let packages = std::env::var_os("DEVSTUDIO_TEST_WASMTIME");
    let said = packages.and_then(|packages| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/wasmtime_reference.py");
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wasm/add.wasm");
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", packages).arg(script).arg(module).arg(ROUNDS.to_string());
        let output = python.output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<f64>().ok()
    });
    match said {
        Some(micros) => line(
            "wasmtime from PyPI, the same by its Python binding",
            Duration::from_secs_f64(micros / 1e6),
            "reference",
        ),
        None => println!("  wasmtime: SKIPPED, its package is not installed"),
    }
}

async fn micro() {
    println!("\nEngine micro: python from the call to its first output, median of {FEW_ROUNDS}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = micro::Settings { folder: folder.path().to_owned(), process: settings("bench-micro") };
    let engines: Vec<Micro> = micro::engines(settings).await.expect("they say what they lack");
    let Some(engine) = engines.iter().find(|engine| engine.info().engine == "micro:python") else { return };
    if !engine.info().available {
        return println!("  SKIPPED: {}", engine.info().remedy);
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..FEW_ROUNDS {
        cold.push(to_first_output(engine, &job(Program::Code(SAY.to_owned()), "python")).await);
    }
    let isolation = engine.info().isolation.name();
    line(
        &format!("{} ({isolation}), cold", engine.info().provider),
        median(cold),
        "must on gVisor: 700 ms; aim: 300 ms",
    );
    if engine.info().isolation != Isolation::Gvisor {
        return;
    }
    engine.keep_armed(1);
    for _ in 0..FEW_ROUNDS {
        until("a kernel waits", 20, || engine.armed() == 1).await;
        // It is put up in the background: what is measured is one that stands.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        warm.push(to_first_output(engine, &job(Program::Code(SAY.to_owned()), "python")).await);
    }
    line(&format!("{} ({isolation}), armed", engine.info().provider), median(warm), "V4: below 500 ms");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        run().await;
        wasm().await;
        micro().await;
    });
}
