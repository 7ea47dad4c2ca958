//! Programs that look for a way out: network, host, kernel (TX7, TX8).

use std::os::unix::net::UnixListener;

use crate::common::{LOOKING, proof::figure, python, run, run_engine};

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
             (I6, S, ('fd00:ec2::254', 80)), (I, S, ('0.0.0.0', {tcp})), (I, D, ('192.0.2.1', 53)),
             (U, S, '\0{name}'), (U, S, '{path}'), (U, S, '/run/systemd/private'), (U, S, '/var/run/docker.sock')]:
    print(tried(*args))
# every family that a kernel may know: vsock, packet, key, bluetooth, algorithms, …
opened = []
for family in set(range(48)) - {{int(U), int(I), int(I6), 16}}:
    for kind in (S, D, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try: opened.append((family, socket.socket(family, kind) and int(kind)))
        except OSError: pass
print('opened', opened)
for family in (I, I6):
    try:
        socket.socket(family, socket.SOCK_RAW, 1); print('RAW')
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
    let (ways, refused) = (13, "no\n".repeat(13));
    let rest = "opened []\nno\nno\nno\nno\nown loopback works\n";
    assert_eq!(ran.stdout, format!("{refused}{rest}"), "{ran:?}");
    udp.set_nonblocking(true).expect("a setting");
    assert!(udp.recv(&mut [0; 8]).is_err(), "nothing arrived by UDP");
    figure("TX7", format!("{ways} addresses, 44 families of sockets, raw and netlink: 0 reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_is_visible() {
    let Some(engine) = run_engine("nothing_of_the_host_is_visible").await else { return };
    let code = r"
print(json.dumps({
    'env': sorted(os.environ), 'pids': [p for p in ls('/proc') if p.isdigit()],
    'host': cat('/etc/hostname').strip(), 'user': (os.getuid(), os.getgid(), os.getgroups()),
    'init': [cat(f'/proc/1/{n}') for n in ('environ', 'maps')] + [ls('/proc/1/fd'), ls('/proc/1/root')],
    'shadow': cat('/etc/shadow'), 'sys': ls('/sys'), 'var': ls('/var'), 'home': ls('/home'),
    'fds': ls('/proc/self/fd'), 'tmp': ls('/tmp'), 'work': [n for n in ls('.') if not n.startswith('.devstudio-')],
    'kcore': cat('/proc/kcore')[:1], 'cmdline': cat('/proc/cmdline'),
    'writes': [write(p) for p in ('/x', '/usr/x', '/etc/x', '/etc/passwd', '/dev/x', '/proc/sys/kernel/hostname',
                                  '/bin/x', '/proc/sysrq-trigger')],
    'status': [l.split()[1] for l in cat('/proc/self/status').split('\n')
               if l.split(':')[0] in ('CapBnd', 'NoNewPrivs', 'Seccomp')],
    'mounts': [l for l in cat('/proc/self/mountinfo').split('\n') if 'devstudio' in l],
}))";
    // A secret in the service's own environment and an open file are what must not be inherited.
    let _open = std::fs::File::open("/etc/passwd").expect("a file");
    let ran = run(&*engine, &python(&format!("{LOOKING}{code}"))).await;
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
    assert_eq!(
        seen["status"],
        serde_json::json!(["0000000000000000", "1", "2"]),
        "no rights, no new ones, a filter"
    );
    figure(
        "TX8",
        "4 variables, 2 processes, 8 places to write refused, no capability, nothing of the host's data",
    );
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
    figure("TX8", "25 dangerous calls and x32 numbers refused or killed; shell, threads and processes work");
}
