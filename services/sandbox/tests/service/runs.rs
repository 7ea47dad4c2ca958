//! SandboxService.

use std::time::{Duration, Instant};

use devstudio_kit::Reason;
use devstudio_proto::sandbox::v1::{
    CancelRunRequest, CreateSnapshotRequest, FsMove, FsOp, FsPath, FsWrite, GetRunRequest, Isolation,
    ListEnginesRequest, ListRunsRequest, OutputStream, RunExecRequest, RunStatus, StreamExecRequest,
    fs_op::Op, stream_exec_response::Event,
};
use uuid::Uuid;

use crate::harness::{person, python, refused, told, world, world_with};

const ADD: &[u8] = include_bytes!("../../../../tests/fixtures/wasm/add.wasm");

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_who_reads_nothing_does_not_hold_up_the_end_of_a_run() {
    let test = "a_watcher_who_reads_nothing_does_not_hold_up_the_end_of_a_run";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    // What is kept of both outputs, in pieces: more than waits between a program and whoever watches it.
    let writes = "import os, time\nfor _ in range(400):\n  os.write(1, b'x' * 4096); os.write(2, b'x' * 4096)\ntime.sleep(60)";
    let ends = async |timeout_ms: i32, cancels: bool| {
        let exec = StreamExecRequest { exec: Some(RunExecRequest { timeout_ms, ..python(writes) }) };
        let mut stream = told(world.runs().stream_exec(world.by(anna, exec)).await).expect("a stream");
        let first = stream.message().await.expect("a message").expect("one").event;
        let Some(Event::Started(started)) = first else { panic!("{first:?}") };
        let exec_id = started.exec_id;
        if cancels {
            let cancel = CancelRunRequest { exec_id: exec_id.clone() };
            told(world.runs().cancel_run(world.by(anna, cancel)).await).expect("a cancel");
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let get = GetRunRequest { exec_id: exec_id.clone() };
            let run = told(world.runs().get_run(world.by(anna, get)).await).expect("a stored run").run;
            match run.expect("a run").status() {
                RunStatus::Unspecified => assert!(Instant::now() < deadline, "nothing ends it"),
                status => return status,
            }
        }
    };
    assert_eq!(ends(1_000, false).await, RunStatus::Timeout);
    assert_eq!(ends(60_000, true).await, RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_runs_and_its_result_is_stored() {
    let test = "python_runs_and_its_result_is_stored";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    let ran = world.run(anna, python("\n# first\nprint('OK')")).await.expect("a run");
    assert_eq!(
        (ran.stdout.as_str(), ran.exit_code, ran.status()),
        ("OK\n", 0, RunStatus::Succeeded),
        "{ran:?}"
    );
    assert_eq!(ran.isolation(), Isolation::Process);
    assert!(ran.facts.is_some_and(|facts| facts.layers.iter().any(|layer| layer == "seccomp")));
    let get = GetRunRequest { exec_id: ran.exec_id.clone() };
    let stored = told(world.runs().get_run(world.by(anna, get.clone())).await).expect("a stored run");
    let run = stored.run.expect("a run");
    assert_eq!((run.title.as_str(), run.engine.as_str(), run.runtime.as_str()), ("# first", "run", "python"));
    assert_eq!(stored.result.expect("a result").stdout, "OK\n");
    assert_eq!(run.request.expect("a request").code, "\n# first\nprint('OK')");
    refused(told(world.runs().get_run(world.by(person(), get)).await), Reason::NotFound);

    let failed = world.run(anna, python("import sys; sys.exit(3)")).await.expect("an exit code is a result");
    assert_eq!((failed.exit_code, failed.status()), (3, RunStatus::NonzeroExit));
    let bytes = world.run(anna, python("import os; os.write(1, b'\\xff\\x00')")).await.expect("a run");
    assert_eq!((bytes.stdout.as_str(), bytes.stdout_data), ("", vec![0xff, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_an_error_with_the_last_output_and_is_stored_whole() {
    let test = "a_timeout_is_an_error_with_the_last_output_and_is_stored_whole";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    let slow = RunExecRequest {
        timeout_ms: 600,
        ..python("import time\nprint('x' * 5000 + 'end')\ntime.sleep(60)")
    };
    let fault = refused(world.run(anna, slow).await, Reason::ExecTimeout);
    assert_eq!(fault.details["stdout"].len(), 4096);
    assert!(fault.details["stdout"].ends_with("end\n"));
    let get = GetRunRequest { exec_id: fault.details["exec_id"].clone() };
    let stored = told(world.runs().get_run(world.by(anna, get)).await).expect("a stored run");
    let result = stored.result.expect("a result");
    assert_eq!((result.status(), result.stdout.len()), (RunStatus::Timeout, 5004));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_sees_the_workspace_and_its_changes_are_versioned() {
    let test = "a_run_sees_the_workspace_and_its_changes_are_versioned";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    world.write(anna, "in.txt", "input", None).await.expect("a write");
    world.write(anna, "old.txt", "old", None).await.expect("a write");
    let code = "import os\nopen('out.txt', 'w').write(open('in.txt').read().upper())\nos.remove('old.txt')\n\
                open('in.txt', 'a').write('!')\nos.symlink('/etc', 'evil')\nopen('big', 'w').write('x' * 600000)";
    let ran = world.run(anna, python(code)).await.expect("a run");
    assert_eq!(ran.status(), RunStatus::Succeeded, "{ran:?}");
    assert_eq!(ran.changed_paths, ["in.txt", "old.txt", "out.txt"]);
    assert_eq!(ran.rejected_paths["evil"], "SYMLINK_FORBIDDEN");
    assert_eq!(ran.rejected_paths["big"], "FILE_TOO_LARGE");
    assert_eq!(world.text(anna, "out.txt").await.expect("a read"), "INPUT");
    assert_eq!(world.read(anna, "in.txt").await.expect("a read").version, 2);
    refused(world.read(anna, "old.txt").await, Reason::NotFound);
    let next =
        world.run(anna, python("import os; print(sorted(n for n in os.listdir() if n[0] != '.'))")).await;
    assert_eq!(next.expect("a run").stdout, "['in.txt', 'out.txt']\n");
    world.write(anna, "main.py", "print(open('out.txt').read())", None).await.expect("a write");
    let by_path = RunExecRequest { code: String::new(), path: "main.py".into(), ..python("") };
    assert_eq!(world.run(anna, by_path.clone()).await.expect("a run").stdout, "INPUT\n");
    refused(world.run(anna, RunExecRequest { path: "none.py".into(), ..by_path }).await, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_during_a_run_is_seen_by_the_next_and_not_by_it() {
    let test = "a_write_during_a_run_is_seen_by_the_next_and_not_by_it";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    world.write(anna, "f", "before", None).await.expect("a write");
    let wait = "import time\nprint('up', flush=True)\nend = time.time() + 20\nwhile time.time() < end: time.sleep(0.02)";
    let exec = StreamExecRequest { exec: Some(RunExecRequest { timeout_ms: 30_000, ..python(wait) }) };
    let mut stream = told(world.runs().stream_exec(world.by(anna, exec)).await).expect("a stream");
    let mut id = String::new();
    while let Some(message) = stream.message().await.expect("a message") {
        match message.event {
            Some(Event::Started(started)) => id = started.exec_id,
            _ => break,
        }
    }
    let first = world.copies();
    world.write(anna, "f", "after", None).await.expect("a write");
    assert_eq!(
        std::fs::read_to_string(first[0].join("f")).expect("a file"),
        "before",
        "not edited while in use"
    );
    assert_eq!(world.text(anna, "f").await.expect("a read"), "after");
    let next = world.run(anna, python("print(open('f').read())")).await.expect("a run");
    assert_eq!(next.stdout, "after\n");
    told(world.runs().cancel_run(world.by(anna, CancelRunRequest { exec_id: id })).await).expect("a cancel");
    let mut last = None;
    while let Some(message) = stream.message().await.expect("a message") {
        last = message.event;
    }
    assert!(matches!(last, Some(Event::Result(result)) if result.status() == RunStatus::Cancelled));
    assert_eq!(world.run(anna, python("print(open('f').read())")).await.expect("a run").stdout, "after\n");
    let deadline = Instant::now() + Duration::from_secs(5);
    while world.copies().len() > 1 {
        assert!(Instant::now() < deadline, "the old copy goes: {:?}", world.copies());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_its_messages_and_ends_with_the_result() {
    let test = "a_stream_counts_its_messages_and_ends_with_the_result";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    let code =
        "import sys, time\nprint('one')\ntime.sleep(0.2)\nprint('two', file=sys.stderr)\ntime.sleep(60)";
    let exec = StreamExecRequest { exec: Some(RunExecRequest { timeout_ms: 900, ..python(code) }) };
    let mut stream = told(world.runs().stream_exec(world.by(anna, exec)).await).expect("a stream");
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.expect("a timeout is a result here") {
        assert_eq!(message.seq, events.len() as i64 + 1);
        events.push(message.event.expect("an event"));
    }
    assert!(matches!(&events[0], Event::Started(started) if started.isolation() == Isolation::Process));
    // a line may come in several pieces: Python writes its end by itself
    let outputs = events.iter().filter_map(|event| match event {
        Event::Output(output) if output.stream() == OutputStream::Stdout => Some(output.data.as_slice()),
        _ => None,
    });
    assert_eq!(outputs.collect::<Vec<_>>().concat(), b"one\n");
    let Some(Event::Result(result)) = events.last() else { panic!("{events:?}") };
    assert_eq!(
        (result.status(), result.stdout.as_str(), result.stderr.as_str()),
        (RunStatus::Timeout, "one\n", "two\n")
    );
    refused(
        told(world.runs().stream_exec(world.by(anna, StreamExecRequest { exec: None })).await).map(drop),
        Reason::SchemaViolation,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_ends_its_program() {
    let test = "a_caller_that_goes_ends_its_program";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    let exec = StreamExecRequest {
        exec: Some(RunExecRequest { timeout_ms: 60_000, ..python("import time; time.sleep(60)") }),
    };
    let mut stream = told(world.runs().stream_exec(world.by(anna, exec)).await).expect("a stream");
    let first = stream.message().await.expect("a message").expect("a message");
    let Some(Event::Started(started)) = first.event else { panic!("{first:?}") };
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let get = GetRunRequest { exec_id: started.exec_id.clone() };
        let stored = told(world.runs().get_run(world.by(anna, get)).await).expect("a stored run");
        if stored.run.expect("a run").status() == RunStatus::Cancelled {
            break;
        }
        assert!(Instant::now() < deadline, "the run is cancelled");
        tokio::task::yield_now().await;
    }
    refused(
        told(world.runs().cancel_run(world.by(anna, CancelRunRequest { exec_id: started.exec_id })).await),
        Reason::NotFound,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_an_id_of_the_callers_goes_on_without_them_and_is_never_made_twice() {
    let test = "a_run_under_an_id_of_the_callers_goes_on_without_them_and_is_never_made_twice";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let (anna, bert) = (person(), person());
    let exec_id = uuid::Uuid::new_v4().to_string();
    let code = "import time\ntime.sleep(0.7)\nopen('seen.txt', 'a').write('once ')\nprint('done')";
    let named = RunExecRequest { exec_id: exec_id.clone(), ..python(code) };
    let gone = tokio::time::timeout(Duration::from_millis(300), world.run(anna, named.clone())).await;
    assert!(gone.is_err(), "the caller goes while it runs");
    let (joined, again) = tokio::join!(world.run(anna, named.clone()), world.run(anna, named.clone()));
    let later = world.run(anna, named.clone()).await;
    for result in [joined, again, later] {
        let result = result.expect("a result");
        assert_eq!((result.exec_id.as_str(), result.stdout.as_str()), (exec_id.as_str(), "done\n"));
        assert_eq!(result.changed_paths, ["seen.txt"]);
    }
    assert_eq!(world.text(anna, "seen.txt").await.expect("a text"), "once ");
    // An id is its person's; nobody else learns what came of it.
    refused(world.run(bert, named).await, Reason::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn wasm_runs_by_module_and_again_by_its_hash() {
    let test = "wasm_runs_by_module_and_again_by_its_hash";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "wasm") {
        return;
    }
    let (anna, ben) = (person(), person());
    let wasm = RunExecRequest { engine: "wasm".into(), stdin: "1+2".into(), ..Default::default() };
    let ran = world.run(anna, RunExecRequest { module: ADD.to_vec(), ..wasm.clone() }).await.expect("a run");
    assert_eq!((ran.stdout.as_str(), ran.isolation()), ("3\n", Isolation::Wasm), "{ran:?}");
    use sha2::Digest as _;
    let by_hash = RunExecRequest { module_sha256: hex::encode(sha2::Sha256::digest(ADD)), ..wasm.clone() };
    assert_eq!(world.run(anna, by_hash.clone()).await.expect("a run").stdout, "3\n");
    refused(world.run(ben, by_hash).await, Reason::NotFound);
    let stored = told(world.runs().get_run(world.by(anna, GetRunRequest { exec_id: ran.exec_id })).await);
    let run = stored.expect("a stored run").run.expect("a run");
    assert_eq!(run.request.expect("a request").module_sha256.len(), 64, "it can be run again");
    assert!(run.title.starts_with("module ") && run.title.len() == 19, "{}", run.title);
    let call = RunExecRequest {
        module: ADD.to_vec(),
        function: "add".into(),
        args: vec!["1".into(), "2".into()],
        ..wasm
    };
    assert_eq!(world.run(ben, call).await.expect("a run").stdout, "3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_on_files_run_in_order_until_one_fails() {
    let Some(world) = world("operations_on_files_run_in_order_until_one_fails").await else { return };
    let anna = person();
    let at = |path: &str| FsPath { path: path.into() };
    let write = |path: &str, text: &str| Op::Write(FsWrite { path: path.into(), text: text.into() });
    let fs = |ops: Vec<Op>| RunExecRequest {
        engine: "fs".into(),
        ops: ops.into_iter().map(|op| FsOp { op: Some(op) }).collect(),
        ..Default::default()
    };
    let good = fs(vec![
        write("a/b", "hello\n"),
        write("c", "x"),
        Op::Move(FsMove { from: "c".into(), to: "d".into() }),
        Op::Read(at("a/b")),
        Op::List(at("")),
        Op::Delete(at("a")),
    ]);
    let ran = world.run(anna, good).await.expect("a run");
    assert_eq!((ran.stdout.as_str(), ran.status()), ("hello\na/b\nd\n", RunStatus::Succeeded), "{ran:?}");
    let bad = fs(vec![write("kept", "x"), write("../x", "x"), write("never", "x")]);
    let ran = world.run(anna, bad).await.expect("a run");
    assert_eq!((ran.exit_code, ran.status()), (1, RunStatus::NonzeroExit));
    assert!(ran.message.starts_with("PATH_FORBIDDEN"), "{}", ran.message);
    assert!(world.read(anna, "kept").await.is_ok());
    refused(world.read(anna, "never").await, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_with_a_reason() {
    let Some(world) =
        world_with("what_cannot_be_run_is_refused_with_a_reason", |config| config.engines_off.clear()).await
    else {
        return;
    };
    let anna = person();
    for (what, bad) in [
        ("no such engine", RunExecRequest { engine: "cobol".into(), ..python("x") }),
        ("nothing to run", python("")),
        ("two things to run", RunExecRequest { path: "x".into(), ..python("x") }),
        ("code for fs", RunExecRequest { engine: "fs".into(), ..python("x") }),
        ("a module for run", RunExecRequest { module: vec![1], code: String::new(), ..python("") }),
        ("a bad name", RunExecRequest { env: [("A=B".into(), "c".into())].into(), ..python("x") }),
        ("a bad id", RunExecRequest { workspace_id: "x".into(), ..python("x") }),
        ("too long", RunExecRequest { timeout_ms: 600_001, ..python("x") }),
    ] {
        let fault = world.run(anna, bad).await.expect_err(what);
        assert_eq!(fault.reason, Reason::SchemaViolation, "{what}: {fault:?}");
    }
    refused(
        world.run(anna, RunExecRequest { workspace_id: Uuid::new_v4().to_string(), ..python("x") }).await,
        Reason::NotFound,
    );
    let mut strong = python("x");
    strong.set_min_isolation(Isolation::HardwareVm);
    let fault = refused(world.run(anna, strong.clone()).await, Reason::IsolationUnavailable);
    assert_eq!(fault.details["wanted"], "hardware-vm");
    strong.engine = "micro:python".into();
    match world.run(anna, strong).await {
        Ok(ran) => assert_eq!(ran.isolation(), Isolation::HardwareVm),
        Err(fault) => {
            assert!(fault.reason == Reason::KvmUnavailable && fault.details["remedy"].len() > 20, "{fault:?}")
        }
    }
    let engines = told(world.runs().list_engines(world.by(anna, ListEnginesRequest {})).await)
        .expect("engines")
        .engines;
    let names: Vec<_> = engines.iter().map(|engine| engine.engine.as_str()).collect();
    assert_eq!(names, ["fs", "run", "wasm", "micro:python", "micro:node"]);
    assert!(engines.iter().all(|engine| engine.available || !engine.remedy.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded_for_each_person() {
    let test = "the_queue_is_bounded_for_each_person";
    let Some(world) = world_with(test, |config| (config.run_slots, config.run_queue) = (1, 1)).await else {
        return;
    };
    if !world.has(test, "run") {
        return;
    }
    let (anna, ben) = (person(), person());
    let slow = || RunExecRequest { timeout_ms: 1500, ..python("import time; time.sleep(60)") };
    // Anna's first has the only place when the others come.
    let rest = async {
        let deadline = Instant::now() + Duration::from_secs(20);
        while told(world.runs().list_runs(world.by(anna, ListRunsRequest::default())).await)
            .expect("her runs")
            .runs
            .is_empty()
        {
            assert!(Instant::now() < deadline, "her first run starts");
            tokio::task::yield_now().await;
        }
        let runs = (0..3).map(|_| world.run(anna, slow()));
        tokio::join!(futures::future::join_all(runs), world.run(ben, python("print('ben')")))
    };
    let (first, (mut annas, bens)) = tokio::join!(world.run(anna, slow()), rest);
    annas.push(first);
    let count = |reason| annas.iter().filter(|run| run.as_ref().is_err_and(|f| f.reason == reason)).count();
    assert_eq!((count(Reason::ExecTimeout), count(Reason::QueueFull)), (2, 2), "{annas:?}");
    assert_eq!(bens.expect("Ben's turn comes").stdout, "ben\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_by_pages_newest_first() {
    let Some(world) = world("runs_are_listed_by_pages_newest_first").await else { return };
    let (anna, ben) = (person(), person());
    for n in 0..5 {
        let op = FsOp { op: Some(Op::Write(FsWrite { path: format!("f{n}"), text: String::new() })) };
        let fs = RunExecRequest { engine: "fs".into(), ops: vec![op; n + 1], ..Default::default() };
        world.run(anna, fs).await.expect("a run");
    }
    let (mut titles, mut page_token) = (Vec::new(), String::new());
    loop {
        let list = ListRunsRequest { page_size: 2, page_token };
        let page = told(world.runs().list_runs(world.by(anna, list)).await).expect("a page");
        titles.extend(page.runs.into_iter().map(|run| run.title));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(titles, (1..=5).rev().map(|n| format!("{n} operations")).collect::<Vec<_>>());
    let none = told(world.runs().list_runs(world.by(ben, ListRunsRequest::default())).await).expect("a page");
    assert!(none.runs.is_empty());
    let bad = ListRunsRequest { page_token: "x".into(), ..Default::default() };
    refused(told(world.runs().list_runs(world.by(anna, bad)).await), Reason::SchemaViolation);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_service_left_open_is_ended_at_the_next_start() {
    let Some(world) = world("what_a_killed_service_left_open_is_ended_at_the_next_start").await else {
        return;
    };
    let (anna, exec_id) = (person(), Uuid::now_v7());
    let op = FsOp { op: Some(Op::List(FsPath::default())) };
    world
        .run(anna, RunExecRequest { engine: "fs".into(), ops: vec![op], ..Default::default() })
        .await
        .expect("a run");
    let owner = world.fresh.owner().await;
    sqlx::query(
        "insert into exec_runs (exec_id, user_id, instance, engine, runtime, title, request, isolation, started_at)
         select $1, user_id, instance, engine, runtime, title, request, isolation, started_at from exec_runs limit 1",
    )
    .bind(exec_id)
    .execute(&owner)
    .await
    .expect("a row");
    let _next = devstudio_sandbox::Sandbox::start(world.deps.clone()).await.expect("it starts again");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let get = GetRunRequest { exec_id: exec_id.to_string() };
        let stored = told(world.runs().get_run(world.by(anna, get)).await).expect("a stored run");
        if stored.run.expect("a run").status() == RunStatus::Failed {
            break;
        }
        assert!(Instant::now() < deadline, "the run is ended");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_removes_no_more_than_it_may_and_starts_only_on_the_tree_it_is_meant_for() {
    let test = "a_run_removes_no_more_than_it_may_and_starts_only_on_the_tree_it_is_meant_for";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    for path in ["many/a", "many/b", "many/c", "one"] {
        world.write(anna, path, "text", None).await.expect("a write");
    }
    let at_most = |most: i32, code: &str| RunExecRequest { max_removed_files: Some(most), ..python(code) };
    let clear = "import shutil, os\nshutil.rmtree('many'); os.remove('one'); open('new', 'w').write('x')";
    let ran = world.run(anna, at_most(3, clear)).await.expect("a run");
    assert_eq!(ran.changed_paths, ["new"], "{ran:?}");
    for path in ["many", "one"] {
        assert_eq!(
            ran.rejected_paths[path], "the program removed 4 files, where it may remove 3",
            "{:?}",
            ran.rejected_paths
        );
    }
    assert_eq!(world.text(anna, "many/c").await.expect("it is there"), "text");
    // What is written again is not gone, and what stands still does so for the next program.
    let again = "import shutil, os\nshutil.rmtree('many'); os.mkdir('many')\n\
                 for n in 'abc': open('many/' + n, 'w').write('new')\nos.remove('one')";
    let ran = world.run(anna, at_most(1, again)).await.expect("a run");
    assert!(ran.rejected_paths.is_empty(), "{ran:?}");
    assert_eq!(world.text(anna, "many/c").await.expect("it is there"), "new");
    refused(world.read(anna, "one").await, Reason::NotFound);

    let keep = CreateSnapshotRequest::default();
    let made = told(world.snapshots().create_snapshot(world.by(anna, keep)).await).expect("a snapshot");
    let as_of = RunExecRequest {
        if_tree_sha256: made.snapshot.expect("it is told").tree_sha256,
        ..python("print(open('new').read())")
    };
    assert_eq!(world.run(anna, as_of.clone()).await.expect("a run").stdout, "x\n");
    world.write(anna, "new", "other", Some(1)).await.expect("a write");
    let fault = refused(world.run(anna, as_of).await, Reason::StateConflict);
    assert!(fault.message.contains("changed since"), "{fault:?}");
    // Neither is promised where no program sees the files.
    let ops = vec![FsOp { op: Some(Op::Delete(FsPath { path: "new".into() })) }];
    let blind = RunExecRequest { engine: "fs".into(), ops, ..RunExecRequest::default() };
    for blind in [
        RunExecRequest { if_tree_sha256: "0".repeat(64), ..blind.clone() },
        RunExecRequest { max_removed_files: Some(0), ..blind },
    ] {
        refused(world.run(anna, blind).await, Reason::SchemaViolation);
    }
}
