//! Proofs by the service's door: hostile paths (TX1), ends told apart (TX10), many people at once (TX13), two writers on
//! one file, and restores that give the same bytes (TU6).

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use devstudio_kit::{Reason, fault};
use devstudio_proto::sandbox::v1::{
    AcquireLockRequest, CancelRunRequest, CopyPathRequest, CreateSnapshotRequest, DeletePathRequest,
    EditFileRequest, FsOp, FsWrite, GetRunRequest, Hunk, ListFilesRequest, MakeFolderRequest,
    MovePathRequest, RestoreSnapshotRequest, RunExecRequest, RunStatus, StreamExecRequest, WriteFileRequest,
    fs_op::Op, stream_exec_response::Event, write_file_request::Content,
};
use devstudio_sandbox::fs::WORK_DIR;
use futures::future::join_all;

use crate::{
    harness::{Person, World, person, python, refused, told, world, world_with},
    proof::{counts, figure},
};

/// TX1: every door that takes a path refuses what leads out, and names why.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_are_refused_at_every_door_and_a_byte_too_many_is_403() {
    let Some(world) = world("hostile_paths_are_refused_at_every_door_and_a_byte_too_many_is_403").await
    else {
        return;
    };
    let anna = person();
    world.write(anna, "good", "good", None).await.expect("a write");
    let long_name = "x".repeat(256);
    let long_path = "d/".repeat(600);
    let climbing = format!("{WORK_DIR}/../../etc/shadow");
    let hostile = [
        "../x",
        "a/../../b",
        "/etc/passwd",
        &climbing,
        "/proc/self/environ",
        "a\0b",
        ".devstudio-run.py",
        &long_name,
        &long_path,
    ];
    let mut tried = 0;
    for path in hostile {
        let (path, good) = (path.to_owned(), "good".to_owned());
        let mut files = world.files();
        let hunks = vec![Hunk { search: "a".into(), replace: "b".into(), occurrence: 0 }];
        let lock = AcquireLockRequest { path: path.clone(), ..Default::default() };
        let copy = CopyPathRequest { from: good.clone(), to: path.clone(), ..Default::default() };
        let out = MovePathRequest { from: good.clone(), to: path.clone(), ..Default::default() };
        let away = MovePathRequest { from: path.clone(), to: "x".into(), ..Default::default() };
        let edit = EditFileRequest { path: path.clone(), hunks, ..Default::default() };
        let delete = DeletePathRequest { path: path.clone(), ..Default::default() };
        let list = ListFilesRequest { path: path.clone(), ..Default::default() };
        let folder = MakeFolderRequest { path: path.clone(), ..Default::default() };
        let run = RunExecRequest { engine: "run".into(), path: path.clone(), ..Default::default() };
        let op = FsOp { op: Some(Op::Write(FsWrite { path: path.clone(), text: "x".into() })) };
        let ops = RunExecRequest { engine: "fs".into(), ops: vec![op], ..Default::default() };
        let doors = [
            ("write", world.write(anna, &path, "x", None).await.map(drop)),
            ("read", world.read(anna, &path).await.map(drop)),
            ("list", told(files.list_files(world.by(anna, list)).await).map(drop)),
            ("delete", told(files.delete_path(world.by(anna, delete)).await).map(drop)),
            ("move to", told(files.move_path(world.by(anna, out)).await).map(drop)),
            ("move from", told(files.move_path(world.by(anna, away)).await).map(drop)),
            ("copy", told(files.copy_path(world.by(anna, copy)).await).map(drop)),
            ("folder", told(files.make_folder(world.by(anna, folder)).await).map(drop)),
            ("edit", told(files.edit_file(world.by(anna, edit)).await).map(drop)),
            ("lock", told(world.locks().acquire_lock(world.by(anna, lock)).await).map(drop)),
            ("run", world.run(anna, run).await.map(drop)),
        ];
        for (door, answer) in doors {
            let fault = answer.expect_err(&format!("{door} {path:?}"));
            assert!(
                [Reason::PathForbidden, Reason::SchemaViolation].contains(&fault.reason)
                    || (door == "run" && fault.reason == Reason::EngineDisabled),
                "{door} {path:?}: {fault:?}"
            );
            tried += 1;
        }
        match world.run(anna, ops).await {
            Ok(ran) => assert_eq!(ran.status(), RunStatus::NonzeroExit, "{path:?}: {ran:?}"),
            Err(fault) => assert_eq!(fault.reason, Reason::SchemaViolation, "{path:?}: {fault:?}"),
        }
        tried += 1;
    }
    let write = |bytes: usize| {
        let content = Some(Content::Data(vec![7; bytes]));
        let message = WriteFileRequest { path: "large".into(), content, ..Default::default() };
        let mut files = world.files();
        let request = world.by(anna, message);
        async move { told(files.write_file(request).await) }
    };
    write(524_288).await.expect("512 KiB are fine");
    let fault = refused(write(524_289).await, Reason::FileTooLarge);
    assert_eq!(fault::row(fault.reason).http, 403);
    assert_eq!(world.read(anna, "large").await.expect("a read").size_bytes, 524_288);
    figure("TX1", format!("{tried} tries at 12 doors refused; 524,288 bytes are fine, 524,289 answer 403"));
}

/// TX10: how a run ended, in the answer and in what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_run_is_told_apart() {
    let test = "every_end_of_a_run_is_told_apart";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") || !world.has(test, "wasm") {
        return;
    }
    let anna = person();
    let memory = |engine: &str| {
        let info = world.sandbox.engines().iter().find(|e| e.info().engine == engine).expect("listed").info();
        info.facts.limits.get("memory").is_some_and(|how| how == "cgroup")
    };
    let wasm = |wat: &str| RunExecRequest { engine: "wasm".into(), code: wat.into(), ..Default::default() };
    let kill = |signal: i32| python(&format!("import os; os.kill(os.getpid(), {signal})"));
    let mut cases = vec![
        (python("pass"), RunStatus::Succeeded, 0, 0),
        (python("import sys; sys.exit(3)"), RunStatus::NonzeroExit, 3, 0),
        (python("import sys; sys.exit(255)"), RunStatus::NonzeroExit, 255, 0),
        // 128 + 15 is no signal where it is an exit code.
        (python("import os; os._exit(143)"), RunStatus::NonzeroExit, 143, 0),
        (kill(15), RunStatus::Signaled, -1, 15),
        (kill(9), RunStatus::Signaled, -1, 9),
        (kill(11), RunStatus::Signaled, -1, 11),
        (python("import ctypes; ctypes.string_at(1)"), RunStatus::Signaled, -1, 11),
        (wasm("(module (func (export \"_start\") unreachable))"), RunStatus::Trapped, -1, 0),
        (wasm("(module (func (export \"_start\")))"), RunStatus::Succeeded, 0, 0),
        (wasm("(module (func (export \"other\")))"), RunStatus::Failed, -1, 0),
    ];
    if memory("run") {
        let bomb = python("x = []\nwhile True: x.append(bytearray(4 << 20))");
        let bomb = RunExecRequest { memory_bytes: 96 << 20, ..bomb };
        cases.push((bomb, RunStatus::OutOfMemory, -1, 0));
    } else {
        eprintln!("SKIPPED out of memory: memory is only watched here");
    }
    let mut ends = HashSet::new();
    for (request, status, exit_code, signal) in cases {
        let what = request.code.clone();
        let ran = world.run(anna, request).await.expect("how it ended is a result");
        assert_eq!((ran.status(), ran.exit_code, ran.signal), (status, exit_code, signal), "{what}: {ran:?}");
        let stored = told(world.runs().get_run(world.by(anna, GetRunRequest { exec_id: ran.exec_id })).await);
        let stored = stored.expect("a stored run").result.expect("a result");
        assert_eq!((stored.status(), stored.exit_code, stored.signal), (status, exit_code, signal), "{what}");
        ends.insert((ran.status, ran.exit_code, ran.signal));
    }
    let slow = || RunExecRequest { timeout_ms: 500, ..python("import time; time.sleep(60)") };
    let fault = refused(world.run(anna, slow()).await, Reason::ExecTimeout);
    let get = GetRunRequest { exec_id: fault.details["exec_id"].clone() };
    let stored = told(world.runs().get_run(world.by(anna, get)).await).expect("a stored run");
    let result = stored.result.expect("a result");
    assert_eq!((result.status(), result.signal), (RunStatus::Timeout, 0));
    ends.insert((result.status, result.exit_code, result.signal));

    let exec = StreamExecRequest { exec: Some(RunExecRequest { timeout_ms: 60_000, ..slow() }) };
    let mut stream = told(world.runs().stream_exec(world.by(anna, exec)).await).expect("a stream");
    let mut last = None;
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(Event::Started(started)) = &message.event {
            let cancel = CancelRunRequest { exec_id: started.exec_id.clone() };
            told(world.runs().cancel_run(world.by(anna, cancel)).await).expect("a cancel");
        }
        last = message.event;
    }
    let Some(Event::Result(result)) = last else { panic!("{last:?}") };
    assert_eq!((result.status(), result.signal), (RunStatus::Cancelled, 0));
    ends.insert((result.status, result.exit_code, result.signal));
    figure("TX10", format!("{} different ends told apart, in the answer and stored", ends.len()));
}

/// TX13: many people's runs at once, each with its own workspace.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_of_five_people_are_all_right() {
    let test = "a_hundred_runs_of_five_people_are_all_right";
    let Some(world) = world_with(test, |config| config.run_queue = 200).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let people: Vec<Person> = (0..5).map(|_| person()).collect();
    let (runs, again) = (counts(25, 100), AtomicUsize::new(0));
    let started = Instant::now();
    let ran = join_all((0..runs).map(|n| {
        let (world, who) = (&world, people[n % 5]);
        let code = format!(
            "import os\nprint({n} * 2, sorted(f for f in os.listdir() if f[0] == 'f' and int(f[1:]) % 5 != {}))\n\
             open('f{n}', 'w').write('{n}')",
            n % 5
        );
        let (again, request) = (&again, RunExecRequest { timeout_ms: 60_000, ..python(&code) });
        async move {
            loop {
                match world.run(who, request.clone()).await {
                    // A busy database turns people away for a moment, and says so.
                    Err(fault) if fault.reason == Reason::UpstreamUnavailable => {
                        let tries = again.fetch_add(1, Ordering::Relaxed);
                        assert!(tries < 5 * runs, "{fault:?}");
                    }
                    ran => return ran,
                }
            }
        }
    }))
    .await;
    for (n, ran) in ran.into_iter().enumerate() {
        let ran = ran.expect("a run");
        assert_eq!(ran.stdout, format!("{} []\n", n * 2), "nobody sees another's files: {ran:?}");
        let changed = [format!("f{n}")];
        // What ran, and was not told since the database was busy, changes nothing when it runs again.
        assert!(ran.changed_paths == changed || again.load(Ordering::Relaxed) > 0, "{ran:?}");
    }
    for (who, person) in people.iter().enumerate() {
        let list = ListFilesRequest::default();
        let listed = told(world.files().list_files(world.by(*person, list)).await).expect("a list");
        let own: HashSet<String> = listed.entries.into_iter().map(|entry| entry.path).collect();
        let wanted: HashSet<String> = (0..runs).filter(|n| n % 5 == who).map(|n| format!("f{n}")).collect();
        assert_eq!(own, wanted, "each has what its own runs wrote");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.copies().len() > people.len() {
        assert!(Instant::now() < deadline, "old working copies go: {}", world.copies().len());
        tokio::task::yield_now().await;
    }
    let (took, again) = (started.elapsed(), again.into_inner());
    figure(
        "TX13",
        format!(
            "by gRPC: {runs} runs of 5 people in {took:.1?}, {again} asked again of a busy database, all right"
        ),
    );
}

/// TX8: sandboxes stand before it is known whose they are; nothing of another's workspace is in any of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_program_sees_another_persons_working_copy() {
    let test = "no_program_sees_another_persons_working_copy";
    let Some(world) = world(test).await else { return };
    let (anna, ben) = (person(), person());
    world.write(anna, "secret-of-anna", "secret", None).await.expect("a write");
    if world.copy(test, anna).await.is_none() {
        return;
    }
    world.write(ben, "own-of-ben", "own", None).await.expect("a write");
    let look = "import os\nfound = []\nfor top in sorted(os.listdir('/')):\n  if top in ('proc', 'usr', 'lib', 'lib64', 'bin', 'sbin'): continue\n  \
                for folder, _, files in os.walk('/' + top):\n    found += [f for f in files if f in ('secret-of-anna', 'own-of-ben')]\n\
                print(found)\nprint([os.listdir('/' + d) for d in sorted(os.listdir('/')) if d[0] == '.'])\n\
                print(os.path.realpath('.'), sum('.copies' in l and 'overlay' not in l for l in open('/proc/self/mountinfo')))";
    // One that was put up for anybody, and one that was put up for this.
    for _ in 0..3 {
        let ran = world.run(ben, python(look)).await.expect("a run");
        let mut lines = ran.stdout.lines();
        assert_eq!(lines.next(), Some("['own-of-ben']"), "{ran:?}");
        let hidden = lines.next().unwrap_or_default();
        assert!(hidden.bytes().all(|b| b"[], ".contains(&b)), "{ran:?}");
        assert_eq!(lines.next(), Some("/tmp/work 0"), "{ran:?}");
    }
    figure("TX8", "another person's working copy is in no sandbox");
}

/// TU6: two writers who look first, and write only what nobody changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_by_version_lose_no_update() {
    let Some(world) = world("two_writers_by_version_lose_no_update").await else { return };
    let anna = person();
    world.write(anna, "count", "0", None).await.expect("a write");
    let rounds: u32 = counts(75, 5000);
    let writer = async || {
        let mut lost_races = 0u32;
        for _ in 0..rounds {
            loop {
                let file = world.read(anna, "count").await.expect("a read");
                let Some(devstudio_proto::sandbox::v1::read_file_response::Content::Text(text)) =
                    file.content
                else {
                    panic!("it is text");
                };
                let n: u32 = text.parse().expect("a number");
                match world.write(anna, "count", (n + 1).to_string(), Some(file.version)).await {
                    Ok(_) => break,
                    Err(fault) => {
                        assert_eq!(fault.reason, Reason::VersionConflict, "{fault:?}");
                        lost_races += 1;
                    }
                }
            }
        }
        lost_races
    };
    let started = Instant::now();
    let both = async { tokio::join!(writer(), writer()) };
    let (a, b) = tokio::time::timeout(Duration::from_secs(1200), both).await.expect("nobody waits for good");
    let file = world.read(anna, "count").await.expect("a read");
    assert_eq!(world.text(anna, "count").await.expect("a read"), (2 * rounds).to_string());
    assert_eq!(file.version, i64::from(2 * rounds) + 1, "each round is one version");
    figure(
        "TU6",
        format!(
            "by version: {} rounds in {:.1?}, {} lost races tried again, no update lost",
            2 * rounds,
            started.elapsed(),
            a + b
        ),
    );
}

impl World {
    async fn hash_of_tree(&self, by: Person) -> String {
        let message = CreateSnapshotRequest { reason: "to compare".into(), ..Default::default() };
        let made = told(self.snapshots().create_snapshot(self.by(by, message)).await).expect("a snapshot");
        made.snapshot.expect("it is told").tree_sha256
    }

    async fn data(&self, by: Person, path: &str, data: Vec<u8>) {
        let content = Some(Content::Data(data));
        let message = WriteFileRequest { path: path.into(), content, ..Default::default() };
        told(self.files().write_file(self.by(by, message)).await).expect("a write");
    }
}

/// B7: two states, restored in turn many times, once by a service that was started anew: the same tree each time, to
/// the byte, in the database and in the working copy that programs see.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_restores_give_the_same_bytes() {
    let test = "hundreds_of_restores_give_the_same_bytes";
    let Some(world) = world(test).await else { return };
    let anna = person();
    let snapshot = async |reason: &str| {
        let message = CreateSnapshotRequest { reason: reason.into(), ..Default::default() };
        let made =
            told(world.snapshots().create_snapshot(world.by(anna, message)).await).expect("a snapshot");
        made.snapshot.expect("it is told")
    };
    for n in 0..20 {
        world.write(anna, &format!("d{}/f{n}.txt", n % 3), "ä\n".repeat(n), None).await.expect("a write");
    }
    world.data(anna, "bin/all", (0..=255).collect()).await;
    world.data(anna, "bin/empty", Vec::new()).await;
    world.data(anna, "große Namen/🦀", vec![0; 524_288]).await;
    let folder = MakeFolderRequest { path: "empty/folder".into(), ..Default::default() };
    told(world.files().make_folder(world.by(anna, folder)).await).expect("a folder");
    let first = snapshot("first").await;
    for path in ["d0", "bin", "empty"] {
        let message = DeletePathRequest { path: path.into(), ..Default::default() };
        told(world.files().delete_path(world.by(anna, message)).await).expect("a deletion");
    }
    world.write(anna, "bin", "a file where a folder was", None).await.expect("a write");
    world.write(anna, "d1/f1.txt", "another text", None).await.expect("a write");
    let second = snapshot("second").await;
    assert_ne!(first.tree_sha256, second.tree_sha256);

    let restores = counts(20, 400);
    let started = Instant::now();
    let mut next = None;
    for n in 0..restores {
        let wanted = if n % 2 == 0 { &first } else { &second };
        let restore =
            RestoreSnapshotRequest { snapshot_id: wanted.snapshot_id.clone(), ..Default::default() };
        told(world.snapshots().restore_snapshot(world.by(anna, restore)).await).expect("restored");
        assert_eq!(world.hash_of_tree(anna).await, wanted.tree_sha256, "restore {n}");
        if n == restores / 2 {
            next =
                Some(devstudio_sandbox::Sandbox::start(world.deps.clone()).await.expect("it starts again"));
        }
    }
    let took = started.elapsed();
    let restore = RestoreSnapshotRequest { snapshot_id: first.snapshot_id.clone(), ..Default::default() };
    told(world.snapshots().restore_snapshot(world.by(anna, restore)).await).expect("restored");
    if world.has(test, "run") {
        let look = "import hashlib, os\nprint(hashlib.sha256(open('bin/all', 'rb').read()).hexdigest())\n\
                    print(os.path.getsize('große Namen/🦀'), os.path.getsize('bin/empty'), os.path.isdir('empty/folder'))";
        use sha2::Digest as _;
        let wanted = hex::encode(sha2::Sha256::digest((0..=255).collect::<Vec<u8>>()));
        let ran = world.run(anna, python(look)).await.expect("a run");
        assert_eq!(ran.stdout, format!("{wanted}\n524288 0 True\n"), "{ran:?}");
    }
    drop(next);
    figure(
        "TU6",
        format!("{restores} restores of two states in {took:.1?}: the same tree by its hash each time"),
    );
}
