//! Lives of runs and of their service: cancelled, many at once, killed, refused (TX13, TX14).

use std::time::{Duration, Instant};

use devstudio_sandbox::{
    SandboxError,
    engine::{Engine as _, Isolation, Registry, Status},
    process::{Factory, Process},
};

use crate::common::{
    all, processes_with,
    proof::{counts, figure, in_a_process_of_its_own},
    python, run, run_engine, settings, settings_of, try_run, until,
};

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

/// What a process leaves on the machine: its mounts, descriptors, children, files, and the groups of an instance.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    mounts: usize,
    descriptors: usize,
    children: usize,
    files: usize,
    groups: usize,
}

impl Left {
    fn now(instance: &str) -> Self {
        let entries = |place: &std::path::Path| std::fs::read_dir(place).into_iter().flatten().count();
        let own = |place: &str| entries(std::path::Path::new(place));
        let children = std::fs::read_dir("/proc/self/task").expect("/proc").flatten().map(|task| {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_whitespace().count()
        });
        Self {
            mounts: std::fs::read_to_string("/proc/self/mounts").expect("/proc").lines().count(),
            descriptors: own("/proc/self/fd"),
            children: children.sum(),
            files: entries(&std::env::temp_dir()),
            groups: groups_of(instance),
        }
    }
}

/// A hundred runs in a process of their own, with a temporary folder of their own: then all that is left is theirs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of a_hundred_runs_take_fair_turns_and_leave_nothing_behind"]
async fn a_service_with_a_hundred_runs() {
    if std::env::var_os("DEVSTUDIO_TEST_ALONE").is_none() {
        return;
    }
    const PEOPLE: usize = 5;
    const PLACES: usize = 8;
    let rounds = counts(100, 500);
    let instance = format!("test-hundred-{}", std::process::id());
    let mut own = settings_of(&instance);
    own.disk_bytes = 8 << 20;
    let factory = Factory::probe(own).await.expect("the parent has tried");
    let engine = Process::new(Ok(factory), Isolation::Process).await;
    run(&engine, &python("print(1)")).await;
    let before = Left::now(&instance);
    let queue = devstudio_sandbox::run::queue::Queue::new(PLACES, rounds);
    let turns = std::sync::Mutex::new(Vec::new());
    let started = Instant::now();
    // All of the first person's come first: a line without turns would make the others wait for them.
    let outputs = all((0..rounds).map(|n| {
        let (engine, queue, turns) = (&engine, &queue, &turns);
        let person = n / (rounds / PEOPLE);
        async move {
            let _place = queue.place(uuid::Uuid::from_u128(person as u128)).await.expect("a place");
            turns.lock().expect("no test has failed").push(person);
            run(engine, &python(&format!("print({n} * 2)"))).await.stdout
        }
    }))
    .await;
    let took = started.elapsed();
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!(*output, format!("{}\n", n * 2));
    }
    let turns = turns.into_inner().expect("no test has failed");
    // Once all wait, they take turns until the first has none left.
    let together = (rounds / PEOPLE - PLACES) * PEOPLE;
    let mut unfair = 0;
    for end in PLACES..=PLACES + together {
        let of = |person| turns[PLACES..end].iter().filter(|turn| **turn == person).count();
        let counts: Vec<usize> = (0..PEOPLE).map(of).collect();
        unfair = unfair.max(counts.iter().max().expect("five") - counts.iter().min().expect("five"));
    }
    assert!(unfair <= 2, "somebody was {unfair} turns ahead: {turns:?}");
    let mut after = Left::now(&instance);
    until("nothing is left", 5, || {
        after = Left::now(&instance);
        after.groups == 0 && after.descriptors <= before.descriptors && after.children == 0
    })
    .await;
    assert_eq!(after, before);
    assert_eq!(processes_with(&instance), 0);
    figure(
        "TX13",
        format!(
            "{rounds} runs of {PEOPLE} in {took:.1?}, at most {unfair} turn ahead; left: {after:?} as before"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_take_fair_turns_and_leave_nothing_behind() {
    let test = "a_hundred_runs_take_fair_turns_and_leave_nothing_behind";
    if run_engine(test).await.is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().to_str().expect("a path of text").to_owned();
    tokio::task::spawn_blocking(move || {
        let env = [("DEVSTUDIO_TEST_ALONE", "1"), ("TMPDIR", &place)];
        in_a_process_of_its_own("lives::a_service_with_a_hundred_runs", &env)
    })
    .await
    .expect("nothing is left");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "no file of it is left");
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
    let factory = Factory::probe(settings_of(&marker)).await.expect("the parent has tried");
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
    let rounds = counts(1, 10);
    let (mut slowest, mut swept) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        let marker = format!("killed-{}-{round}", std::process::id());
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
        slowest = slowest.max(killed.elapsed());
        let again = Instant::now();
        Factory::probe(settings_of(&marker)).await.expect("it starts again");
        swept = swept.max(again.elapsed());
        assert_eq!(groups_of(&marker), 0, "what was left is swept at the next start");
    }
    figure(
        "TX14",
        format!(
            "run: {rounds} kills: 8 processes gone within {slowest:?}, groups swept in a start of {swept:?}"
        ),
    );
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
