//! Programs that use up whatever they get: processes, memory, output, disk, time (TX2 to TX6).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use devstudio_sandbox::{
    engine::{Job, Program, Status},
    process::pump::MAX_OUTPUT_BYTES,
};

use crate::{
    cgroup,
    common::{
        job, processes_with,
        proof::{counts, figure, mib, proving, resident_bytes},
        python, run, run_engine, until,
    },
};

const MIB: u64 = 1 << 20;

/// Processes below this one, however deep.
fn descendants() -> usize {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: the state and the parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let (mut waiting, mut count) = (vec![std::process::id()], 0);
    while let Some(pid) = waiting.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        count += below.len();
        waiting.extend(below);
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_small_and_leaves_nothing() {
    let Some(engine) = run_engine("a_fork_bomb_stays_small_and_leaves_nothing").await else { return };
    let marker = format!("bomb-{}", std::process::id());
    let counted = "import os, time\nn = 0\nfor _ in range(500):\n  try:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\n  \
                   except OSError: pass\nprint(n, flush=True)\ntime.sleep(60)";
    let endless = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    let shell = "import os, sys\nos.execv('/bin/sh', ['sh', '-c', 'b() { b | b & }; b & exec sleep 60', sys.argv[1]])";
    let threads = "import threading, time\nn = 0\nwhile True:\n  try:\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    n += 1\n  \
                   except RuntimeError: time.sleep(1)";
    let (mut most, mut most_of_all, mut late) = (0, 0, Duration::ZERO);
    for code in [counted, endless, shell, threads] {
        let mut bomb = python(code);
        (bomb.timeout, bomb.args) = (Duration::from_secs(2), vec![marker.clone()]);
        let limit = bomb.timeout;
        let before = descendants();
        let running = tokio::spawn({
            let engine = engine.clone();
            async move { run(&*engine, &bomb).await }
        });
        while !running.is_finished() {
            most = most.max(processes_with(&marker));
            most_of_all = most_of_all.max(descendants().saturating_sub(before));
            tokio::task::yield_now().await;
        }
        let ran = running.await.expect("a run");
        assert_eq!(ran.outcome.status, Status::Timeout, "{code}: {ran:?}");
        late = late.max(ran.outcome.wall.saturating_sub(limit));
        if code == counted {
            assert!(ran.stdout.trim().parse::<usize>().is_ok_and(|n| n > 8 && n < 64), "{}", ran.stdout);
        }
        assert_eq!(processes_with(&marker), 0, "none is left");
        assert_eq!(run(&*engine, &python("print(1)")).await.stdout, "1\n", "the next run works");
    }
    assert!(most > 8 && most <= 64, "{most} processes at most");
    assert!(late < Duration::from_secs(2), "{late:?}");
    let all =
        if proving() { format!(", +{most_of_all} below the service with its own") } else { String::new() };
    assert!(!proving() || most_of_all <= 64 + 4, "{most_of_all} processes below the service");
    figure("TX2", format!("run: 4 bombs, {most} processes at most{all}, gone {late:?} after their time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bombs_of_every_kind_end_at_their_own_limit() {
    let test = "memory_bombs_of_every_kind_end_at_their_own_limit";
    let Some(engine) = run_engine(test).await else { return };
    if !cgroup(&engine) {
        eprintln!("SKIPPED {test}: memory is only watched here");
        return;
    }
    let one = "x = []\nwhile True: x.append(bytearray(4 << 20))";
    let many = "import os, time\nfor _ in range(6):\n  if os.fork() == 0:\n    x = []\n    while True: x.append(bytearray(4 << 20))\ntime.sleep(20)";
    let shm = "b = b'x' * (1 << 20)\nwith open('/dev/shm/f', 'wb') as f:\n  for _ in range(60): f.write(b)\n\
               with open('/tmp/f', 'wb') as f:\n  for _ in range(60): f.write(b)\nx = bytearray(64 << 20)\nprint('all')";
    let memfd = "import os\nb = b'x' * (1 << 20)\nfor n in range(9):\n  fd = os.memfd_create('m')\n  for _ in range(32): os.write(fd, b)\nprint('all')";
    let shared = "import mmap\nx = []\nwhile True:\n  m = mmap.mmap(-1, 4 << 20)\n  m.write(b'x' * (4 << 20))\n  x.append(m)";
    let before = resident_bytes(None);
    let kinds = [
        ("one process", one),
        ("many processes", many),
        ("files in memory", shm),
        ("memfd", memfd),
        ("shared memory", shared),
    ];
    let mut slowest = Duration::ZERO;
    for (what, code) in kinds {
        let mut bomb = python(code);
        (bomb.memory_bytes, bomb.timeout) = (96 << 20, Duration::from_secs(15));
        let ran = run(&*engine, &bomb).await;
        assert_eq!(ran.outcome.status, Status::OutOfMemory, "{what}: {ran:?}");
        slowest = slowest.max(ran.outcome.wall);
        assert_eq!(run(&*engine, &python("print(1)")).await.stdout, "1\n", "after {what} the next run works");
    }
    let grown = resident_bytes(None).saturating_sub(before);
    let growth = if proving() { format!("; service +{}", mib(grown)) } else { String::new() };
    assert!(!proving() || grown < 20 * MIB, "{grown} bytes");
    figure("TX3", format!("run: {} kinds of 96 MiB ended within {slowest:?}{growth}", kinds.len()));
}

/// Runs, and answers by how much the service's memory grew meanwhile at most.
async fn watched(engine: &devstudio_sandbox::process::Process, job: &Job) -> (crate::common::Ran, u64) {
    let before = resident_bytes(None);
    let mut most = 0;
    let running = run(engine, job);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ran = &mut running => return (ran, most.max(resident_bytes(None).saturating_sub(before))),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                most = most.max(resident_bytes(None).saturating_sub(before));
            }
        }
    }
}

/// What the service may grow by; other tests beside this one use the same process' memory.
fn room() -> u64 {
    counts(60, 20) * MIB
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut_and_ended() {
    let Some(engine) = run_engine("a_flood_of_output_is_cut_and_ended").await else { return };
    // The first run of all makes the allocator's arenas.
    run(&*engine, &python("print('y' * 500_000)")).await;
    let started = Instant::now();
    let (ran, grown) = watched(&engine, &python("import os\nos.execv('/usr/bin/yes', ['yes'])")).await;
    assert!(ran.outcome.truncated && ran.stdout.len() == MAX_OUTPUT_BYTES, "{:?}", ran.outcome);
    assert_eq!(ran.outcome.status, Status::Signaled);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(grown < room(), "resident memory grew by {grown} bytes");
    let wall = ran.outcome.wall;
    figure(
        "TX4",
        format!("`yes` ended after {wall:?}, {MAX_OUTPUT_BYTES} bytes kept, service +{}", mib(grown)),
    );
    // By what ends it, and not by a pipe that nobody reads any more: a shell tells that as an exit code.
    for _ in 0..counts(8, 50) {
        let ran = run(&*engine, &job(Program::Code("yes".to_owned()), "bash")).await;
        assert_eq!(ran.outcome.status, Status::Signaled, "{:?}", ran.outcome);
        assert!(ran.outcome.message.contains("far too much"), "{:?}", ran.outcome);
    }
    let ran = run(&*engine, &python("print('y' * 2_000_000)")).await;
    assert!(
        ran.outcome.truncated && ran.outcome.status == Status::Succeeded,
        "a talkative one may finish: {ran:?}"
    );
}

/// What writes less than a flood is not ended; it may go on for as long as it may run, and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_without_end_is_kept_small() {
    let Some(engine) = run_engine("a_writer_without_end_is_kept_small").await else { return };
    run(&*engine, &python("print('y' * 500_000)")).await;
    let seconds = counts(4, 60);
    let pace = 4 * MIB / seconds / 20;
    let mut job = python(&format!(
        "import sys, time\nwhile True:\n  print('y' * {pace}, end='', flush=True)\n  print('e' * 99, file=sys.stderr)\n  time.sleep(0.05)"
    ));
    job.timeout = Duration::from_secs(seconds);
    let (ran, grown) = watched(&engine, &job).await;
    assert_eq!(ran.outcome.status, Status::Timeout, "it is no flood: {:?}", ran.outcome);
    assert!(ran.outcome.wall < job.timeout + Duration::from_secs(1), "{:?}", ran.outcome.wall);
    assert!(ran.outcome.truncated && ran.stdout.len() == MAX_OUTPUT_BYTES, "{:?}", ran.outcome);
    assert!(!ran.stderr.is_empty(), "the other stream is heard to the end");
    assert!(grown < room(), "resident memory grew by {grown} bytes");
    figure("TX4", format!("a writer of {seconds} s: {MAX_OUTPUT_BYTES} bytes kept, service +{}", mib(grown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_the_programs_own() {
    let Some(engine) = run_engine("a_full_disk_is_the_programs_own").await else { return };
    let free = || rustix::fs::statvfs("/tmp").expect("a file system").f_bavail;
    let before = free();
    let code = r"
import errno, os
for place in ['/tmp/work', '/tmp', '/dev/shm']:
    n = 0
    try:
        while n < 200:
            with open(f'{place}/f{n}', 'wb') as f: f.write(b'x' * (1 << 20))
            n += 1
    except OSError as e:
        print(place, 50 < n < 70, e.errno == errno.ENOSPC)
    for i in range(n + 1):
        try: os.remove(f'{place}/f{i}')
        except OSError: pass
n = 0
try:
    while n < 20000:
        open('/tmp/work' f'/i{n}', 'w').close()
        n += 1
except OSError as e:
    print('inodes', n <= 10010, e.errno == errno.ENOSPC)
try:
    f = open('/tmp/sparse', 'wb')
    f.truncate(1 << 40)
    print('SPARSE')
except OSError as e: print('sparse', e.errno == errno.EFBIG)
";
    let mut job = python(code);
    job.memory_bytes = 512 << 20;
    let ran = run(&*engine, &job).await;
    let all = "/tmp/work True True\n/tmp True True\n/dev/shm True True\ninodes True True\n";
    // A file beyond its limit is a signal, which Python turns into an error.
    assert_eq!(ran.stdout, format!("{all}sparse True\n"), "{:?} {}", ran.outcome.status, ran.stderr);
    let mut lost = before.saturating_sub(free()) * 4096;
    // Others of this machine write as well.
    until("the host's disk is as free as before", 20, || {
        lost = lost.min(before.saturating_sub(free()) * 4096);
        lost < 32 << 20
    })
    .await;
    assert_eq!(run(&*engine, &python("print(1)")).await.stdout, "1\n", "the next run works");
    figure("TX5", "workspace, /tmp and /dev/shm full at 64 MiB, 10,000 files; the host lost nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_sleepers_and_daemons_are_gone_with_their_run() {
    let Some(engine) = run_engine("loops_sleepers_and_daemons_are_gone_with_their_run").await else { return };
    let marker = format!("stay-{}", std::process::id());
    let limit = Duration::from_millis(700);
    let (rounds, mut late, mut runs) = (counts(1, 10), Duration::ZERO, 0);
    let kinds = [
        "while True: pass",
        "import time; time.sleep(600)",
        "import signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\ntime.sleep(600)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\ntime.sleep(600)",
    ];
    for code in kinds.iter().cycle().take(kinds.len() * rounds) {
        let mut job = python(code);
        (job.timeout, job.args) = (limit, vec![marker.clone()]);
        let ran = run(&*engine, &job).await;
        assert_eq!(ran.outcome.status, Status::Timeout, "{code}");
        late = late.max(ran.outcome.wall.saturating_sub(limit));
        assert!(late < Duration::from_secs(1), "{code}: {late:?}");
        assert_eq!(processes_with(&marker), 0, "{code}");
        runs += 1;
    }
    let mut daemon = python(
        "import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(600)\n  os._exit(0)\nprint('left')",
    );
    daemon.args = vec![marker.clone()];
    let started = Instant::now();
    let ran = run(&*engine, &daemon).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.status), ("left\n", Status::Succeeded));
    assert!(started.elapsed() < Duration::from_secs(10), "a daemon that holds the output delays nothing");
    assert_eq!(processes_with(&marker), 0, "and is gone");
    figure(
        "TX6",
        format!("run: {runs} runs of {} kinds, gone {late:?} after their time, 0 left", kinds.len()),
    );
}
