//! Lives of runs and of their service: cancelled, many at once, killed, refused (TX13, TX14).

use std::time::{Duration, Instant};

use devstudio_sandbox::{
    SandboxError,
    engine::{Engine as _, Isolation, Registry, Status},
    process::{Factory, Process},
};

use crate::common::{all, processes_with, python, run, run_engine, settings, try_run, until};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_dropping_end_a_run_at_once() {
    let Some(engine) = run_engine("cancelling_and_dropping_end_a_run_at_once").await else { return };
    let marker = format!("cancel-{}", std::process::id());
    let mut job = python("import time; time.sleep(600)");
    (job.args, job.timeout) = (vec![marker.clone()], Duration::from_secs(60));
    let running = tokio::spawn({
        let (engine, job) = (engine.clone(), job.clone());
        async move { run(&*engine, &job).await }
    });
    until("it runs", 5, || processes_with(&marker) > 0).await;
    let cancelled = Instant::now();
    job.cancel.cancel();
    let ran = running.await.expect("a run");
    assert_eq!(ran.outcome.status, Status::Cancelled);
    assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());
    assert_eq!(processes_with(&marker), 0);

    job.cancel = Default::default();
    let running = tokio::spawn({
        let (engine, job) = (engine.clone(), job.clone());
        async move { run(&*engine, &job).await }
    });
    until("it runs", 5, || processes_with(&marker) > 0).await;
    running.abort();
    until("it is gone", 2, || processes_with(&marker) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_leave_nothing_behind() {
    let test = "a_hundred_runs_leave_nothing_behind";
    let mut own = settings("hundred");
    own.disk_bytes = 8 << 20;
    let instance = own.instance.clone();
    let factory = match Factory::probe(own).await {
        Ok(factory) => factory,
        Err(remedy) => {
            eprintln!("SKIPPED {test}: {remedy}");
            return;
        }
    };
    let engine = Process::new(Ok(factory), Isolation::Process).await;
    let queue = devstudio_sandbox::run::queue::Queue::new(8, 200);
    let mounts = || std::fs::read_to_string("/proc/self/mounts").expect("/proc").lines().count();
    let before = mounts();
    let rounds = 100;
    let outputs = all((0..rounds).map(|n| {
        let (engine, queue) = (&engine, &queue);
        async move {
            let _place = queue.place(uuid::Uuid::from_u128(n % 5)).await.expect("a place");
            run(engine, &python(&format!("print({n} * 2)"))).await.stdout
        }
    }))
    .await;
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!(*output, format!("{}\n", n * 2));
    }
    assert_eq!(mounts(), before, "no mount is left");
    assert_eq!(processes_with(&instance), 0);
    assert_eq!(groups_of(&instance), 0, "no control group is left");
}

/// Control groups of an instance, in all places where they may be.
fn groups_of(instance: &str) -> usize {
    fn below(folder: &std::path::Path, name: &str, depth: usize) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir());
        entries
            .map(|entry| match entry.file_name() == *name {
                true => std::fs::read_dir(entry.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|e| e.path().is_dir())
                    .count(),
                false if depth > 0 => below(&entry.path(), name, depth - 1),
                false => 0,
            })
            .sum()
    }
    below(std::path::Path::new("/sys/fs/cgroup"), &format!("devstudio-{instance}"), 4)
}

/// What the child of the next test does: one endless run.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of when_the_service_is_killed_its_runs_go_with_it"]
async fn a_service_that_will_be_killed() {
    let Ok(marker) = std::env::var("DEVSTUDIO_TEST_MARKER") else { return };
    let mut own = settings("killed");
    own.instance = marker.clone();
    let factory = Factory::probe(own).await.expect("the parent has tried");
    let engine = Process::new(Ok(factory), Isolation::Process).await;
    let mut job = python("import os, time\nfor _ in range(3): os.fork()\ntime.sleep(600)");
    (job.args, job.timeout) = (vec![marker], Duration::from_secs(600));
    run(&engine, &job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_service_is_killed_its_runs_go_with_it() {
    let test = "when_the_service_is_killed_its_runs_go_with_it";
    if run_engine(test).await.is_none() {
        return;
    }
    let marker = format!("killed-{}", std::process::id());
    let program = std::env::current_exe().expect("this program");
    let mut service = std::process::Command::new(program)
        .args(["--ignored", "--exact", "lives::a_service_that_will_be_killed"])
        .env("DEVSTUDIO_TEST_MARKER", &marker)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a service");
    until("its program runs", 20, || processes_with(&marker) >= 8).await;
    service.kill().expect("a kill");
    service.wait().expect("an end");
    let killed = Instant::now();
    until("all is gone", 5, || processes_with(&marker) == 0).await;
    eprintln!("gone {:?} after the service was killed", killed.elapsed());
    let mut own = settings("killed");
    own.instance = marker.clone();
    Factory::probe(own).await.expect("it starts again");
    assert_eq!(groups_of(&marker), 0, "what was left is swept at the next start");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_isolation_the_engine_refuses_and_says_what_helps() {
    let remedy = "allow user namespaces".to_owned();
    let engine = Process::new(Err(remedy.clone()), Isolation::Process).await;
    assert!(!engine.info().available);
    assert!(matches!(try_run(&engine, &python("1")).await, Err(SandboxError::EngineDisabled { .. })));
    let registry = Registry::default().with(engine);
    match registry.find("run", None).map(|_| ()) {
        Err(SandboxError::IsolationUnavailable { wanted, offered, remedy: said }) => {
            assert_eq!((wanted.as_str(), offered.as_str(), said), ("process", "process-weak", remedy));
        }
        other => panic!("{other:?}"),
    }
    let mut broken = settings("broken");
    broken.init_program = "/usr/bin/false".into();
    let why = Factory::probe(broken).await.err().expect("no sandbox stands");
    assert!(why.contains("too early"), "{why}");
    let Some(good) = run_engine("without_isolation_the_engine_refuses_and_says_what_helps").await else {
        return;
    };
    drop(good);
    let factory = Factory::probe(settings("more")).await.expect("a sandbox");
    let registry = Registry::default().with(Process::new(Ok(factory), Isolation::Process).await);
    match registry.find("run", Some(Isolation::HardwareVm)).map(|_| ()) {
        Err(SandboxError::IsolationUnavailable { wanted, .. }) => assert_eq!(wanted, "hardware-vm"),
        other => panic!("{other:?}"),
    }
}
