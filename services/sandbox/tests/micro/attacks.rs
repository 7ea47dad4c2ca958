//! What is tried against the engine `run`, tried against gVisor (TX2, TX3, TX6 to TX9, TX14).

use std::{
    os::{fd::AsRawFd as _, unix::net::UnixListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use devstudio_sandbox::{
    engine::{Engine as _, Isolation, Status},
    micro::Micro,
};

use crate::{
    code,
    common::{
        LOOKING, pids_with, processes_with,
        proof::{counts, figure, in_a_process_of_its_own},
        run, settings_of, until, workspace,
    },
    engine, made, made_by,
};

/// Python on gVisor; nothing and a word about it where that does not work.
async fn gvisor(test: &str) -> Option<Arc<Micro>> {
    let engine = engine(test, "micro:python").await?;
    if engine.info().isolation != Isolation::Gvisor {
        eprintln!("SKIPPED {test}: micro:python is {} here", engine.info().isolation.name());
        return None;
    }
    Some(engine)
}

/// The same, of a test's own: the word is in the command line of each of its processes.
async fn own_gvisor(test: &str) -> Option<(Arc<Micro>, tempfile::TempDir, String)> {
    gvisor(test).await?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let python = |engine: &Micro| engine.info().engine == "micro:python";
    let engine = made(folder.path()).await.into_iter().find(python).expect("it is listed");
    let word = folder.path().to_str().expect("a path of text").to_owned();
    until("its trials have ended", 10, || processes_with(&word) == 0).await;
    Some((Arc::new(engine), folder, word))
}

fn memory_is_bounded(engine: &Micro) -> bool {
    engine.info().facts.limits.get("memory").is_some_and(|how| how != "none")
}

async fn works_still(engine: &Micro) {
    assert_eq!(run(engine, &code("python", "print(1)")).await.stdout, "1\n", "the next run works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_in_gvisor_is_bounded_and_leaves_nothing() {
    let Some((engine, _folder, word)) =
        own_gvisor("a_fork_bomb_in_gvisor_is_bounded_and_leaves_nothing").await
    else {
        return;
    };
    let counted = "import os, time\nn = 0\nfor _ in range(500):\n  try:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\n  \
                   except OSError: pass\nprint(n, flush=True)\ntime.sleep(60)";
    let endless = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    let (mut most, mut late, mut gone) = (0, Duration::ZERO, Duration::ZERO);
    for text in [counted, endless] {
        let mut bomb = code("python", text);
        bomb.timeout = Duration::from_secs(3);
        let limit = bomb.timeout;
        let running = tokio::spawn({
            let engine = engine.clone();
            async move { run(&*engine, &bomb).await }
        });
        while !running.is_finished() {
            most = most.max(processes_with(&word));
            tokio::task::yield_now().await;
        }
        let ran = running.await.expect("a run");
        // A fork bomb's processes are memory of gVisor: either limit may come first.
        assert!([Status::Timeout, Status::OutOfMemory].contains(&ran.outcome.status), "{ran:?}");
        late = late.max(ran.outcome.wall.saturating_sub(limit));
        let ended = Instant::now();
        until("no process of it is left", 3, || processes_with(&word) == 0).await;
        gone = gone.max(ended.elapsed());
        works_still(&engine).await;
    }
    assert!(most > 0 && most <= 64 + 8, "{most} processes of the host");
    assert!(late + gone < Duration::from_secs(2), "{late:?} and {gone:?}");
    figure(
        "TX2",
        format!(
            "gVisor: 2 bombs, {most} processes of the host at most, stopped {late:.1?} after their time, the last gone {gone:.1?} later"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bombs_in_gvisor_end_at_their_own_limit() {
    let test = "memory_bombs_in_gvisor_end_at_their_own_limit";
    let Some(engine) = gvisor(test).await else { return };
    if !memory_is_bounded(&engine) {
        eprintln!("SKIPPED {test}: no control group bounds it here");
        return;
    }
    let kinds = [
        ("one process", "x = []\nwhile True: x.append(bytearray(16 << 20))"),
        (
            "many processes",
            "import os, time\nfor _ in range(4):\n  if os.fork() == 0:\n    x = []\n    while True: x.append(bytearray(4 << 20))\ntime.sleep(20)",
        ),
        (
            "files in memory",
            "b = b'x' * (1 << 20)\nn = 0\nwhile True:\n  n += 1\n  with open(f'/dev/shm/{n}', 'wb') as f:\n    for _ in range(60): f.write(b)",
        ),
        (
            "memfd",
            "import os\nb = b'x' * (1 << 20)\nfds = []\nwhile True:\n  fds.append(os.memfd_create('m'))\n  for _ in range(32): os.write(fds[-1], b)",
        ),
    ];
    let mut told = Vec::new();
    for (what, text) in kinds {
        let mut bomb = code("python", text);
        (bomb.memory_bytes, bomb.timeout) = (128 << 20, Duration::from_secs(15));
        let ran = run(&*engine, &bomb).await;
        // What gVisor bounds by itself is an error of the program's: it ends, and so does what it took.
        assert!(
            [Status::OutOfMemory, Status::NonzeroExit, Status::Signaled].contains(&ran.outcome.status),
            "{what}: {ran:?}"
        );
        told.push(format!("{what} {}", ran.outcome.status.name()));
        works_still(&engine).await;
    }
    assert!(told[0].ends_with("OUT_OF_MEMORY") && told[1].ends_with("OUT_OF_MEMORY"), "{told:?}");
    figure("TX3", format!("gVisor, 128 MiB: {}", told.join(", ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_in_gvisor_is_the_programs_own() {
    let Some(engine) = gvisor("a_full_disk_in_gvisor_is_the_programs_own").await else { return };
    let fill = "b = b'x' * (1 << 20)\nfor n in range(4000):\n  with open(os.path.join(place, b'%d' % n), 'wb') as f: f.write(b)\nprint('all')";
    for (what, place) in [
        ("the workspace", "b'.'"),
        ("a folder whose name is no text", "b'\\xff\\xfe'"),
        ("a folder of a name that is ours", "b'.devstudio-mine'"),
    ] {
        let text = format!("import os\nplace = {place}\nos.makedirs(place, exist_ok=True)\n{fill}");
        let mut job = code("python", &text);
        job.timeout = Duration::from_secs(30);
        let ran = run(&*engine, &job).await;
        assert_eq!(ran.outcome.status, Status::Signaled, "{what}: {ran:?}");
        assert!(ran.outcome.message.contains("disk is full"), "{what}: {ran:?}");
        figure("TX5", format!("gVisor: {what} of 64 MiB full, ended after {:.1?}", ran.outcome.wall));
    }
    works_still(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_sleepers_and_daemons_in_gvisor_are_gone_with_their_run() {
    let test = "loops_sleepers_and_daemons_in_gvisor_are_gone_with_their_run";
    let Some((engine, _folder, word)) = own_gvisor(test).await else { return };
    let limit = Duration::from_secs(2);
    let (rounds, mut late, mut gone, mut runs) = (counts(1, 5), Duration::ZERO, Duration::ZERO, 0);
    let kinds = [
        "while True: pass",
        "import time; time.sleep(600)",
        "import signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\ntime.sleep(600)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, time\nfor _ in range(4):\n  if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\ntime.sleep(600)",
    ];
    for text in kinds.iter().cycle().take(kinds.len() * rounds) {
        let mut job = code("python", text);
        job.timeout = limit;
        let started = Instant::now();
        let ran = run(&*engine, &job).await;
        assert_eq!(ran.outcome.status, Status::Timeout, "{text}: {ran:?}");
        late = late.max(ran.outcome.wall.saturating_sub(limit));
        until("no process of it is left", 3, || processes_with(&word) == 0).await;
        gone = gone.max(started.elapsed().saturating_sub(limit));
        runs += 1;
    }
    assert!(gone < Duration::from_secs(1), "{gone:?}, stopped after {late:?}");
    let daemon = code(
        "python",
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(600)\n  os._exit(0)\nprint('left')",
    );
    let ran = run(&*engine, &daemon).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.status), ("left\n", Status::Succeeded), "{ran:?}");
    until("no process of it is left", 3, || processes_with(&word) == 0).await;
    figure(
        "TX6",
        format!(
            "gVisor: {runs} runs of {} kinds, stopped {late:?}, all gone {gone:.1?} after their time",
            kinds.len()
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_reached_from_gvisor() {
    let Some(engine) = gvisor("no_network_is_reached_from_gvisor").await else { return };
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("socket");
    let by_path = UnixListener::bind(&path).expect("a socket");
    let name = format!("devstudio-micro-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)
            .expect("an abstract name");
    let abstract_ = UnixListener::bind_addr(&address).expect("a socket");
    let text = format!(
        r#"
import socket
I, I6, U, S, D = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
for family, kind, address in [
        (I, S, ('127.0.0.1', {tcp})), (I6, S, ('::ffff:127.0.0.1', {tcp})), (I6, S, ('::1', {tcp})),
        (I, S, ('0.0.0.0', {tcp})), (I, S, ('169.254.169.254', 80)), (I, D, ('192.0.2.1', 53)), (I6, S, ('fd00:ec2::254', 80)),
        (U, S, '\0{name}'), (U, S, '{path}'), (U, S, '/var/run/docker.sock')]:
    try:
        s = socket.socket(family, kind)
        s.settimeout(1)
        s.connect(address)
        s.send(b'hello')
        print('REACHED', address)
    except OSError: print('no')
try:
    s = socket.socket(I, D)
    s.sendto(b'hello', ('127.0.0.1', {udp}))
except OSError: pass
for family in (40, 38, 17, 15, 31):
    try: socket.socket(family, socket.SOCK_RAW if family == 17 else S); print('OPEN', family)
    except OSError: print('no')
try: socket.getaddrinfo('example.invalid', 80); print('RESOLVED')
except OSError: print('no')
"#,
        tcp = tcp.local_addr().expect("an address").port(),
        udp = udp.local_addr().expect("an address").port(),
        path = path.display(),
    );
    let ran = run(&*engine, &code("python", &text)).await;
    assert_eq!(ran.stdout, "no\n".repeat(16), "{ran:?}");
    udp.set_nonblocking(true).expect("a setting");
    tcp.set_nonblocking(true).expect("a setting");
    by_path.set_nonblocking(true).expect("a setting");
    abstract_.set_nonblocking(true).expect("a setting");
    assert!(udp.recv(&mut [0; 8]).is_err(), "nothing arrived by UDP");
    assert!(tcp.accept().is_err() && by_path.accept().is_err() && abstract_.accept().is_err(), "nobody came");
    figure("TX7", "gVisor: 11 addresses, 5 families and a name: 0 reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_is_visible_from_gvisor() {
    let Some(engine) = gvisor("nothing_of_the_host_is_visible_from_gvisor").await else { return };
    let text = r"
print(json.dumps({
    'env': sorted(os.environ), 'pids': len([p for p in ls('/proc') if p.isdigit()]),
    'host': cat('/etc/hostname').strip(), 'passwd': cat('/etc/passwd').count('\n'),
    'root': ls('/'), 'shadow': cat('/etc/shadow'), 'home': ls('/home'), 'rooms': ls('/root'), 'var': ls('/var'),
    'fds': [n for n in ls('/proc/self/fd') if int(n) < 3], 'more': len(ls('/proc/self/fd')),
    'caps': [l.split()[1] for l in cat('/proc/self/status').split('\n') if l.startswith('Cap')],
    'writes': [write(p) for p in ('/x', '/usr/x', '/etc/x', '/etc/passwd', '/bin/x', '/usr/bin/python3')],
    'kernel': 'gVisor' in cat('/proc/version') or os.uname().release,
    'mounts': [l for l in cat('/proc/self/mountinfo').split('\n') if '/bundles/' in l or 'devstudio' in l],
}))";
    let ran = run(&*engine, &code("python", &format!("{LOOKING}{text}"))).await;
    let seen: serde_json::Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    assert_eq!(seen["env"], serde_json::json!(["HOME", "LANG", "PATH", "TZ"]), "{seen}");
    assert_eq!(seen["pids"], 1, "{seen}");
    assert_eq!((seen["host"].as_str(), seen["passwd"].as_i64()), (Some("sandbox"), Some(2)), "{seen}");
    for name in ["shadow", "home", "var"] {
        assert_eq!(seen[name], "FileNotFoundError", "{name}: {seen}");
    }
    // Where a runtime of the host's lies in root's home, the way to it is there and nothing beside it.
    let rooms = seen["rooms"].as_array().map_or(0, Vec::len);
    assert!(rooms <= 1, "{seen}");
    assert_eq!((seen["fds"].as_array().map(Vec::len), seen["more"].as_i64()), (Some(3), Some(4)), "{seen}");
    for caps in seen["caps"].as_array().expect("a list") {
        assert!(caps.as_str().is_some_and(|caps| caps.bytes().all(|digit| digit == b'0')), "{seen}");
    }
    assert!(seen["writes"].as_array().is_some_and(|all| all.iter().all(|one| one == "no")), "{seen}");
    assert_eq!(seen["mounts"], serde_json::json!([]), "{seen}");
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    assert_ne!(seen["kernel"].as_str(), Some(host.trim()), "another kernel answers");
    figure("TX8", "gVisor: 4 variables, 1 process, no capability, 6 places to write refused, another kernel");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_has_open_gvisor_does_not_inherit() {
    let Some(engine) = gvisor("what_the_service_has_open_gvisor_does_not_inherit").await else { return };
    let secret = std::fs::File::open("/etc/passwd").expect("a file");
    // SAFETY: the call duplicates a descriptor that is open; the copy lives as long as this process.
    let copies = [200, 300].map(|least| unsafe { libc::fcntl(secret.as_raw_fd(), libc::F_DUPFD, least) });
    let text = "import os, time\nopened = []\nfor fd in range(1024):\n  try: opened.append((fd, os.readlink(f'/proc/self/fd/{fd}').split(':')[0]))\n  except OSError: pass\n\
                print([fd for fd, _ in opened], flush=True)\ntime.sleep(1)";
    let job = code("python", text);
    let ran = run(&*engine, &job).await;
    // SAFETY: nobody else has the copies.
    copies.iter().for_each(|copy| unsafe {
        libc::close(*copy);
    });
    assert_eq!(ran.stdout, "[0, 1, 2]\n", "{ran:?}");
    figure("TX9", "gVisor: 0, 1 and 2 with 2 inheritable descriptors open in the service");
}

/// What a killed service leaves of gVisor, and what its folder looks like.
fn bundles(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("bundles")).into_iter().flatten().count()
}

const FOLDER: &str = "DEVSTUDIO_TEST_FOLDER";

/// The service of a folder: it is the same when it starts again.
async fn service_of(folder: &Path) -> Vec<Micro> {
    made_by(folder, settings_of(&format!("test-{}", folder.file_name().expect("a name").display()))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of when_the_service_is_killed_its_containers_are_reaped"]
async fn a_service_that_will_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let engines = service_of(Path::new(&folder)).await;
    let engine = engines.iter().find(|engine| engine.info().engine == "micro:python").expect("it is listed");
    let mut job = code(
        "python",
        "import os, time\nfor _ in range(2): os.fork()\nopen('runs', 'w').close()\ntime.sleep(600)",
    );
    job.timeout = Duration::from_secs(600);
    run(engine, &job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_service_is_killed_its_containers_are_reaped() {
    if gvisor("when_the_service_is_killed_its_containers_are_reaped").await.is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut service = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "attacks::a_service_that_will_be_killed"])
        .env(FOLDER, folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a service");
    let word = folder.path().to_str().expect("a path of text").to_owned();
    let bundles_ = folder.path().join("bundles");
    until("its program runs", 30, || {
        let bundles = std::fs::read_dir(&bundles_).into_iter().flatten().flatten();
        bundles.into_iter().any(|bundle| bundle.path().join("work/runs").exists())
    })
    .await;
    service.kill().expect("a kill");
    service.wait().expect("an end");
    let left = pids_with(&word);
    assert!(!left.is_empty(), "its container goes on");
    let again = Instant::now();
    // The next service tries its engines beside, in containers of their own.
    let gone = async {
        until("nothing of it is left", 5, || !pids_with(&word).iter().any(|pid| left.contains(pid))).await;
        again.elapsed()
    };
    let (engines, reaped) = tokio::join!(service_of(folder.path()), gone);
    until("no folder of it is left", 2, || bundles(folder.path()) == 0).await;
    drop(engines);
    figure(
        "TX14",
        format!("gVisor: a container of a killed service is gone {reaped:.1?} after the next start"),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of folders_in_folders_in_gvisor_do_not_use_up_the_service"]
async fn a_service_with_few_descriptors() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(256), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("fewer is always fine");
    let engines = made(Path::new(&folder)).await;
    let engine = engines.iter().find(|engine| engine.info().engine == "micro:python").expect("it is listed");
    let (_files, view) = workspace(&[]);
    let mut job = code(
        "python",
        "import os\nn = 0\ntry:\n  while n < 3000:\n    os.mkdir('d'); os.chdir('d'); n += 1\nexcept OSError: pass\nprint(n)",
    );
    job.view = Some(view);
    job.timeout = Duration::from_secs(60);
    let ran = run(engine, &job).await;
    // What is deeper than the service can count is a full disk.
    assert!([Status::Succeeded, Status::Signaled].contains(&ran.outcome.status), "{ran:?}");
    assert!(!ran.outcome.changes.is_empty(), "what is too deep is named: {ran:?}");
    works_still(engine).await;
    let folder = Path::new(&folder);
    until("no folder of it is left", 20, || bundles(folder) == 0).await;
}

/// A program may leave folders in each other as deep as it likes; the service walks them and takes them away.
#[tokio::test(flavor = "multi_thread")]
async fn folders_in_folders_in_gvisor_do_not_use_up_the_service() {
    if gvisor("folders_in_folders_in_gvisor_do_not_use_up_the_service").await.is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().to_str().expect("a path of text").to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        in_a_process_of_its_own("attacks::a_service_with_few_descriptors", &[(FOLDER, &place)])
    });
    ran.await.expect("the service lives");
}
