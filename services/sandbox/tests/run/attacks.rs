//! Programs that mean harm (TX2 to TX9).

use std::{
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use devstudio_sandbox::{engine::Status, process::pump::MAX_OUTPUT_BYTES};

use crate::{
    cgroup,
    common::{processes_with, python, run, run_engine, until},
};

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
        open('/tmp/work' f'/i{n}', 'w').close()
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
    assert_eq!(seen["tmp"], serde_json::json!(["home", "work"]));
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
try: os.link('/usr/bin/env', '/tmp/work' '/l'); print('LINKED')
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
