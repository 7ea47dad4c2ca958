//! The engine `run` against real programs and real attacks (TX2 to TX10, TX13, TX14).

mod common;

use std::{
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use common::{all, job, node, processes_with, python, run, run_engine, settings, try_run, until, workspace};
use devstudio_sandbox::{
    SandboxError,
    engine::{Engine as _, Isolation, Program, Registry, Status},
    process::{
        Factory, Process,
        changes::Change,
        pump::{Event, MAX_OUTPUT_BYTES},
    },
};

/// Memory is bounded by a control group here, not merely watched.
fn cgroup(engine: &Process) -> bool {
    engine.info().facts.limits.get("memory").is_some_and(|how| how == "cgroup")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_prints_ok() {
    let Some(engine) = run_engine("python_prints_ok").await else { return };
    let ran = run(&*engine, &python("print('OK')")).await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("OK\n", ""), "{ran:?}");
    assert_eq!((ran.outcome.status, ran.outcome.exit_code), (Status::Succeeded, 0));
    assert_eq!(ran.outcome.isolation, Isolation::Process);
    for layer in ["userns", "mount", "pid", "net", "seccomp"] {
        assert!(ran.outcome.facts.layers.iter().any(|have| have == layer), "{layer}");
    }
    eprintln!("{:?} {:?}", engine.info().runtimes, engine.info().facts);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_prints_ok() {
    let Some(engine) = run_engine("node_prints_ok").await else { return };
    if !engine.info().runtimes.contains_key("node") {
        eprintln!("SKIPPED node_prints_ok: there is no node here");
        return;
    }
    let ran = run(&*engine, &node("console.log('OK')")).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.status), ("OK\n", Status::Succeeded), "{ran:?}");
    let (_folder, view) =
        workspace(&[("lib.js", "exports.n = 4;"), ("main.js", "console.log(require('./lib').n)")]);
    let mut both = node("console.log(require('./lib.js').n + 1)");
    both.view = Some(view.clone());
    assert_eq!(run(&*engine, &both).await.stdout, "5\n", "code sees the workspace's modules");
    let mut file = job(Program::Path("main.js".to_owned()), "node");
    file.view = Some(view);
    assert_eq!(run(&*engine, &file).await.stdout, "4\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_arguments_environment_and_both_outputs_pass() {
    let Some(engine) = run_engine("input_arguments_environment_and_both_outputs_pass").await else { return };
    let mut job = python(
        "import os, sys\nprint(sys.stdin.read(), sys.argv[1:], os.getcwd())\nsys.stderr.write(os.environ['X'])",
    );
    (job.stdin, job.args) = ("in ü".into(), vec!["a b".to_owned(), String::new()]);
    job.env.insert("X".to_owned(), "why".to_owned());
    let ran = run(&*engine, &job).await;
    assert_eq!(ran.stdout, "in ü ['a b', ''] /tmp/work\n", "{ran:?}");
    assert_eq!(ran.stderr, "why");
    let mut deaf = python("print('done')");
    deaf.stdin = vec![b'x'; 400_000].into();
    assert_eq!(run(&*engine, &deaf).await.stdout, "done\n", "input need not be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_code_signal_timeout_and_memory_are_told_apart() {
    let Some(engine) = run_engine("exit_code_signal_timeout_and_memory_are_told_apart").await else { return };
    let ended = |code: &str| python(code);
    let ran = run(&*engine, &ended("import sys; sys.exit(143)")).await;
    assert_eq!(
        (ran.outcome.status, ran.outcome.exit_code, ran.outcome.signal),
        (Status::NonzeroExit, 143, 0)
    );
    let ran = run(&*engine, &ended("import os; os.kill(os.getpid(), 15)")).await;
    assert_eq!((ran.outcome.status, ran.outcome.exit_code, ran.outcome.signal), (Status::Signaled, -1, 15));
    let mut slow = ended("import time\nprint('before', flush=True)\ntime.sleep(60)");
    slow.timeout = Duration::from_millis(400);
    let ran = run(&*engine, &slow).await;
    assert_eq!((ran.outcome.status, ran.stdout.as_str()), (Status::Timeout, "before\n"));
    let ran = run(&*engine, &ended("import os; os.execv('/tmp/none', ['x'])")).await;
    assert_eq!(ran.outcome.status, Status::NonzeroExit);
    let mut bomb = ended("x = []\nwhile True: x.append(bytearray(8 << 20))");
    bomb.memory_bytes = 128 << 20;
    let ran = run(&*engine, &bomb).await;
    match cgroup(&engine) {
        true => assert_eq!(ran.outcome.status, Status::OutOfMemory, "{ran:?}"),
        false => assert!(ran.outcome.status != Status::Succeeded, "{ran:?}"),
    }
    let ran = run(&*engine, &ended("print(sum(range(3_000_000)))")).await;
    assert!(ran.outcome.cpu_ms > 0 && ran.outcome.max_rss_bytes > 1 << 20, "{:?}", ran.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_small_and_leaves_nothing() {
    let Some(engine) = run_engine("a_fork_bomb_stays_small_and_leaves_nothing").await else { return };
    let marker = format!("bomb-{}", std::process::id());
    let mut bomb = python(
        "import os, time\nn = 0\nfor _ in range(500):\n  try:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\n  \
         except OSError: pass\nprint(n, flush=True)\ntime.sleep(60)",
    );
    (bomb.timeout, bomb.args) = (Duration::from_secs(2), vec![marker.clone()]);
    let engine_ = engine.clone();
    let running = tokio::spawn(async move { run(&*engine_, &bomb).await });
    until("the bomb has started", 5, || processes_with(&marker) > 8).await;
    let mut most = 0;
    while !running.is_finished() {
        most = most.max(processes_with(&marker));
        tokio::task::yield_now().await;
    }
    let ran = running.await.expect("a run");
    assert_eq!(ran.outcome.status, Status::Timeout, "{ran:?}");
    assert!(most <= 64, "{most} processes at most");
    assert!(ran.stdout.trim().parse::<usize>().is_ok_and(|n| n < 64), "{}", ran.stdout);
    assert_eq!(processes_with(&marker), 0, "none is left");
    assert_eq!(run(&*engine, &python("print(1)")).await.stdout, "1\n", "the next run works");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bombs_of_many_processes_and_of_files_in_memory_end() {
    let Some(engine) = run_engine("memory_bombs_of_many_processes_and_of_files_in_memory_end").await else {
        return;
    };
    let many = "import os, time\nfor _ in range(6):\n  if os.fork() == 0:\n    x = []\n    while True: x.append(bytearray(4 << 20))\ntime.sleep(20)";
    let shm = "b = b'x' * (1 << 20)\nwith open('/dev/shm/f', 'wb') as f:\n  for _ in range(60): f.write(b)\n\
               with open('/tmp/f', 'wb') as f:\n  for _ in range(60): f.write(b)\nx = bytearray(64 << 20)\nprint('all')";
    for (what, code) in [("many processes", many), ("files in memory", shm)] {
        let mut bomb = python(code);
        (bomb.memory_bytes, bomb.timeout) = (96 << 20, Duration::from_secs(15));
        let ran = run(&*engine, &bomb).await;
        if cgroup(&engine) {
            assert_eq!(ran.outcome.status, Status::OutOfMemory, "{what}: {ran:?}");
        } else {
            eprintln!("SKIPPED {what}: memory is only watched here ({:?})", ran.outcome.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut_and_ended() {
    let Some(engine) = run_engine("a_flood_of_output_is_cut_and_ended").await else { return };
    let before = resident();
    let started = Instant::now();
    let ran = run(&*engine, &python("while True: print('y' * 1000)")).await;
    assert!(ran.outcome.truncated && ran.stdout.len() == MAX_OUTPUT_BYTES, "{:?}", ran.outcome);
    assert_eq!(ran.outcome.status, Status::Signaled);
    assert!(started.elapsed() < Duration::from_secs(10));
    let grown = resident().saturating_sub(before);
    assert!(grown < 60 << 20, "resident memory grew by {grown} bytes");
    let ran = run(&*engine, &python("print('y' * 2_000_000)")).await;
    assert!(
        ran.outcome.truncated && ran.outcome.status == Status::Succeeded,
        "a talkative one may finish: {ran:?}"
    );
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_the_programs_own() {
    let Some(engine) = run_engine("a_full_disk_is_the_programs_own").await else { return };
    let free = || rustix::fs::statvfs("/tmp").expect("a file system").f_bavail;
    let before = free();
    let code = r"
import errno
for place in ['/tmp/work', '/tmp', '/dev/shm']:
    n = 0
    try:
        while n < 200:
            with open(f'{place}/f{n}', 'wb') as f: f.write(b'x' * (1 << 20))
            n += 1
    except OSError as e:
        print(place, 50 < n < 70, e.errno == errno.ENOSPC)
    import os
    for i in range(n + 1):
        try: os.remove(f'{place}/f{i}')
        except OSError: pass
n = 0
try:
    while n < 20000:
        open(f'/tmp/work/i{n}', 'w').close()
        n += 1
except OSError as e:
    print('inodes', n <= 10010, e.errno == errno.ENOSPC)
";
    let ran = run(&*engine, &python(code)).await;
    assert_eq!(
        ran.stdout, "/tmp/work True True\n/tmp True True\n/dev/shm True True\ninodes True True\n",
        "{:?} {}",
        ran.outcome.status, ran.stderr
    );
    let lost = before.saturating_sub(free()) * 4096;
    assert!(lost < 32 << 20, "{lost} bytes of the host are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_sleepers_and_daemons_are_gone_with_their_run() {
    let Some(engine) = run_engine("loops_sleepers_and_daemons_are_gone_with_their_run").await else { return };
    let marker = format!("stay-{}", std::process::id());
    let limit = Duration::from_millis(700);
    for code in [
        "while True: pass",
        "import time; time.sleep(600)",
        "import signal, time\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\ntime.sleep(600)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    ] {
        let mut job = python(code);
        (job.timeout, job.args) = (limit, vec![marker.clone()]);
        let ran = run(&*engine, &job).await;
        assert_eq!(ran.outcome.status, Status::Timeout, "{code}");
        assert!(ran.outcome.wall < limit + Duration::from_secs(1), "{code}: {:?}", ran.outcome.wall);
        assert_eq!(processes_with(&marker), 0, "{code}");
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
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_reached() {
    let Some(engine) = run_engine("no_network_is_reached").await else { return };
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("socket");
    let _by_path = UnixListener::bind(&path).expect("a socket");
    let name = format!("devstudio-test-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)
            .expect("an abstract name");
    let _abstract = UnixListener::bind_addr(&address).expect("a socket");
    let code = format!(
        r#"
import socket
def tried(family, kind, address, protocol=0):
    try:
        s = socket.socket(family, kind, protocol)
        s.settimeout(1)
        s.connect(address)
        s.send(b'hello')
        return s.recv(1) and 'REACHED' or 'REACHED'
    except (OSError, socket.timeout) as e:
        return 'no'
I, I6, U, S, D = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
for args in [(I, S, ('127.0.0.1', {tcp})), (I, D, ('127.0.0.1', {udp})), (I6, S, ('::ffff:127.0.0.1', {tcp})),
             (I6, S, ('::1', {tcp})), (I, S, ('169.254.169.254', 80)), (I, D, ('127.0.0.53', 53)),
             (U, S, '\0{name}'), (U, S, '{path}')]:
    print(tried(*args))
for family in (40, 38, 17, 15, 31):
    try:
        socket.socket(family, socket.SOCK_RAW if family == 17 else socket.SOCK_STREAM)
        print('OPEN', family)
    except OSError: print('no')
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9); print('AUDIT')
except OSError: print('no')
try:
    socket.getaddrinfo('example.invalid', 80); print('RESOLVED')
except OSError: print('no')
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
print('own loopback works')
"#,
        tcp = tcp.local_addr().expect("an address").port(),
        udp = udp.local_addr().expect("an address").port(),
        path = path.display(),
    );
    let ran = run(&*engine, &python(&code)).await;
    assert_eq!(ran.stdout, format!("{}own loopback works\n", "no\n".repeat(15)), "{ran:?}");
    udp.set_nonblocking(true).expect("a setting");
    assert!(udp.recv(&mut [0; 8]).is_err(), "nothing arrived by UDP");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_is_visible() {
    let Some(engine) = run_engine("nothing_of_the_host_is_visible").await else { return };
    let code = r"
import os, json
def ls(p):
    try: return sorted(os.listdir(p))
    except OSError as e: return type(e).__name__
def cat(p):
    try: return open(p).read()
    except OSError as e: return type(e).__name__
def write(p):
    try:
        open(p, 'w').write('x'); return 'WRITTEN'
    except OSError: return 'no'
print(json.dumps({
    'env': sorted(os.environ), 'pids': [p for p in ls('/proc') if p.isdigit()],
    'host': cat('/etc/hostname').strip(), 'user': (os.getuid(), os.getgid(), os.getgroups()),
    'init': [cat(f'/proc/1/{n}') for n in ('environ', 'maps')] + [ls('/proc/1/fd'), ls('/proc/1/root')],
    'shadow': cat('/etc/shadow'), 'sys': ls('/sys'), 'var': ls('/var'), 'home': ls('/home'),
    'fds': ls('/proc/self/fd'), 'tmp': ls('/tmp'), 'work': [n for n in ls('.') if not n.startswith('.devstudio-')],
    'kcore': cat('/proc/kcore')[:1], 'cmdline': cat('/proc/cmdline'),
    'writes': [write(p) for p in ('/x', '/usr/x', '/etc/x', '/etc/passwd', '/dev/x', '/proc/sys/kernel/hostname',
                                  '/bin/x', '/proc/sysrq-trigger')],
    'mounts': [l for l in cat('/proc/self/mountinfo').split('\n') if 'devstudio' in l],
}))";
    // A secret in the service's own environment and an open file are what must not be inherited.
    let _open = std::fs::File::open("/etc/passwd").expect("a file");
    let ran = run(&*engine, &python(code)).await;
    let seen: serde_json::Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    assert_eq!(seen["env"], serde_json::json!(["HOME", "LANG", "PATH", "TZ"]), "{seen}");
    assert_eq!(seen["pids"], serde_json::json!(["1", "2"]), "{seen}");
    assert_eq!(seen["host"], "sandbox");
    assert_eq!(seen["user"][0], 1000);
    for part in seen["init"].as_array().expect("a list") {
        assert_eq!(part, "PermissionError", "{seen}");
    }
    for (name, wanted) in
        [("shadow", "FileNotFoundError"), ("sys", "FileNotFoundError"), ("var", "FileNotFoundError")]
    {
        assert_eq!(seen[name], wanted, "{seen}");
    }
    assert_eq!(seen["home"], "FileNotFoundError");
    assert_eq!(seen["fds"].as_array().map(Vec::len), Some(4), "0, 1, 2 and that of the listing: {seen}");
    assert_eq!(seen["tmp"], serde_json::json!(["work"]));
    assert_eq!(seen["work"], serde_json::json!([]));
    assert!(seen["kcore"] == "" || seen["kcore"] == "F", "hidden or not there: {seen}");
    assert_eq!(seen["cmdline"], "");
    assert!(seen["writes"].as_array().is_some_and(|all| all.iter().all(|one| one == "no")), "{seen}");
    assert_eq!(seen["mounts"], serde_json::json!([]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_calls_of_the_kernel_are_refused() {
    let Some(engine) = run_engine("dangerous_calls_of_the_kernel_are_refused").await else { return };
    if !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED dangerous_calls_of_the_kernel_are_refused: its numbers are those of x86_64");
        return;
    }
    let code = r"
import ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(n, *a):
    ctypes.set_errno(0)
    r = libc.syscall(n, *[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
    return 'OK' if r >= 0 else errno.errorcode.get(ctypes.get_errno())
buf = ctypes.create_string_buffer(4096)
for name, args in {
    'ptrace': (101, 16, 1, 0, 0), 'mount': (165, b'x', b'/tmp', b'tmpfs', 0, 0), 'bpf': (321, 0, buf, 64),
    'io_uring': (425, 4, buf), 'unshare': (272, 0x10000000), 'setns': (308, 0, 0), 'userfaultfd': (323, 1),
    'keyctl': (250, 0, -3, 0), 'add_key': (248, b'user', b'k', b'v', 1, -2), 'perf': (298, buf, 0, -1, -1, 0),
    'by_handle': (304, -100, buf, 0), 'fsopen': (430, b'tmpfs', 0), 'open_tree': (428, -100, b'/', 1),
    'pidfd_getfd': (438, 0, 0, 0), 'vm_readv': (310, 1, buf, 1, buf, 1, 0), 'chroot': (161, b'/tmp'),
    'clone_newuser': (56, 0x10000011, 0, 0, 0, 0), 'pivot_root': (155, b'/', b'/'), 'kexec': (246, 0, 0, 0, 0),
    'mknod': (133, b'/tmp/null', 0o20666, 0x103), 'chmod_suid': (90, b'/tmp/work', 0o4755), 'memfd_secret': (447, 0),
    'umount': (166, b'/tmp', 2), 'tiocsti': (16, 0, 0x5412, buf), 'personality_ok': (135, 0xffffffff),
}.items():
    print(name, call(*args))
print('clone3', call(435, buf, 88))
print('unknown', call(470, 0))
try: os.link('/usr/bin/env', '/tmp/work/l'); print('LINKED')
except OSError as e: print('link', errno.errorcode[e.errno])
print('su', os.system('su -c true < /dev/null > /dev/null 2>&1') != 0)
pid = os.fork()
if pid == 0:
    libc.syscall(ctypes.c_long(0x40000000 + 39))
    os._exit(0)
print('x32', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
import multiprocessing, subprocess, threading
print(subprocess.run(['/bin/sh', '-c', 'echo shell | cat'], capture_output=True).stdout)
t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()
";
    let ran = run(&*engine, &python(code)).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 32, "{ran:?}");
    for line in &lines[..24] {
        assert!(line.ends_with(" EPERM"), "{line}\n{}", ran.stdout);
    }
    assert_eq!(
        &lines[24..],
        [
            "personality_ok OK",
            "clone3 ENOSYS",
            "unknown ENOSYS",
            "link EXDEV",
            "su True",
            "x32 -31",
            "b'shell\\n'",
            "thread"
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_workspace_come_back_and_tricks_are_refused() {
    let Some(engine) = run_engine("changes_of_the_workspace_come_back_and_tricks_are_refused").await else {
        return;
    };
    let (folder, view) = workspace(&[
        ("a.txt", "one"),
        ("d/b.txt", "two"),
        ("d/c.txt", "three"),
        ("gone.txt", "x"),
        ("e/f", "y"),
    ]);
    let mut job = python(
        "import os, shutil\nprint(open('a.txt').read(), open('d/b.txt').read())\nopen('a.txt', 'a').write('!')\n\
         os.makedirs('n/m'); open('n/m/new', 'w').write('n'); os.remove('gone.txt'); os.remove('d/b.txt')\n\
         shutil.rmtree('e'); os.mkdir('e'); open('e/g', 'w').write('z')\n\
         os.symlink('/etc/passwd', 'link'); os.mkfifo('fifo'); open('big', 'wb').write(b'x' * 524289)\n\
         open('exact', 'wb').write(b'x' * 524288); open('h1', 'w').write('h'); os.link('h1', 'h2')\n\
         open(b'bad\\xff', 'w').close()",
    );
    job.view = Some(view);
    let ran = run(&*engine, &job).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.status), ("one two\n", Status::Succeeded), "{ran:?}");
    let mut seen: Vec<String> = ran
        .outcome
        .changes
        .iter()
        .map(|change| match change {
            Change::Written(path, content) => format!("w {path} {}", content.len()),
            Change::Removed(path) => format!("r {path}"),
            Change::Rejected { path, why } => format!("x {path} {why}"),
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "r d/b.txt",
            "r e",
            "r gone.txt",
            "w a.txt 4",
            "w e/g 1",
            "w exact 524288",
            "w n/m/new 1",
            "x bad\u{fffd} the name is not UTF-8",
            "x big FILE_TOO_LARGE",
            "x fifo PATH_FORBIDDEN",
            "x h1 PATH_FORBIDDEN",
            "x h2 PATH_FORBIDDEN",
            "x link SYMLINK_FORBIDDEN",
        ]
    );
    assert_eq!(
        std::fs::read(folder.path().join("a.txt")).expect("a file"),
        b"one",
        "the lower layer is not edited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_file_is_found_or_not_found() {
    let Some(engine) = run_engine("a_program_file_is_found_or_not_found").await else { return };
    let (_folder, view) =
        workspace(&[("d/main.py", "import helper; print(helper.N)"), ("d/helper.py", "N = 3")]);
    let mut good = job(Program::Path("/tmp/work/d/main.py".to_owned()), "python");
    good.view = Some(view.clone());
    let ran = run(&*engine, &good).await;
    assert_eq!(ran.stdout, "3\n", "{ran:?}");
    assert!(ran.outcome.changes.is_empty(), "no compiled files: {:?}", ran.outcome.changes);
    for (path, wanted) in [("none.py", "NotFound"), ("d", "NotFound"), ("../x", "PathForbidden")] {
        let mut bad = job(Program::Path(path.to_owned()), "python");
        bad.view = Some(view.clone());
        let error = try_run(&*engine, &bad).await.expect_err(path);
        assert!(format!("{error:?}").starts_with(wanted), "{path}: {error:?}");
    }
    let error =
        try_run(&*engine, &job(Program::Code(String::new()), "cobol")).await.expect_err("no such runtime");
    assert!(matches!(error, SandboxError::Invalid { pointer: "/runtime", .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_arrives_while_the_program_runs() {
    let Some(engine) = run_engine("output_arrives_while_the_program_runs").await else { return };
    let ran =
        run(&*engine, &python("import sys, time\nprint(1)\ntime.sleep(0.3)\nprint(2, file=sys.stderr)"))
            .await;
    assert!(matches!(ran.events[0], Event::Started));
    let times: Vec<u32> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Output { at_ms, .. } => Some(*at_ms),
            Event::Started => None,
        })
        .collect();
    assert!(times.len() >= 2 && times[times.len() - 1] >= times[0] + 250, "{times:?}");
}

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
        .args(["--ignored", "--exact", "a_service_that_will_be_killed"])
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

#[tokio::test(flavor = "multi_thread")]
async fn starting_python_in_the_sandbox_costs_little() {
    let Some(engine) = run_engine("starting_python_in_the_sandbox_costs_little").await else { return };
    let Some(program) = std::env::var_os("PATH").and_then(|_| {
        ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|p| std::path::Path::new(p).exists())
    }) else {
        eprintln!(
            "SKIPPED starting_python_in_the_sandbox_costs_little: no python3 below /usr to compare with"
        );
        return;
    };
    let (mut bare, mut inside, mut walls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        let started = Instant::now();
        let output = std::process::Command::new(program)
            .args(["-u", "-B", "-c", "print(1)"])
            .output()
            .expect("python");
        assert_eq!(output.stdout, b"1\n");
        bare.push(started.elapsed());
        let started = Instant::now();
        let ran = run(&*engine, &python("print(1)")).await;
        assert_eq!(ran.stdout, "1\n");
        inside.push(started.elapsed());
        walls.push(ran.outcome.wall);
    }
    bare.sort();
    inside.sort();
    walls.sort();
    let (bare, inside) = (bare[7], inside[7]);
    let wall = walls[7];
    eprintln!("python: {bare:?} bare, {wall:?} in the sandbox, {inside:?} with all of the sandbox's life");
    assert!(inside < bare + Duration::from_millis(500), "{inside:?} against {bare:?}");
}
