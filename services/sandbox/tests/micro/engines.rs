//! What the engines `micro:*` do for good programs, and what they keep from others (V1 to V5).

use std::time::Duration;

use devstudio_sandbox::engine::{Engine as _, Isolation, Status};

use crate::{
    code,
    common::{
        processes_with,
        proof::{figure, resident_bytes},
        run, until, workspace,
    },
    engine, made,
};

#[tokio::test(flavor = "multi_thread")]
async fn python_prints_ok() {
    let Some(engine) = engine("python_prints_ok", "micro:python").await else { return };
    let ran = run(&*engine, &code("python", "print('OK')")).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.exit_code), ("OK\n", 0), "{ran:?}");
    assert!(ran.outcome.isolation >= Isolation::Gvisor);
    eprintln!("{} {:?} cold: {:?}", engine.info().provider, engine.info().runtimes, ran.outcome.wall);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_prints_ok() {
    let Some(engine) = engine("node_prints_ok", "micro:node").await else { return };
    let ran = run(&*engine, &code("node", "console.log('OK')")).await;
    assert_eq!((ran.stdout.as_str(), ran.outcome.exit_code), ("OK\n", 0), "{ran:?}");
    eprintln!("{} {:?} cold: {:?}", engine.info().provider, engine.info().runtimes, ran.outcome.wall);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_input_arguments_and_environment_pass() {
    let Some(engine) = engine("exit_codes_input_arguments_and_environment_pass", "micro:python").await else {
        return;
    };
    let mut job = code(
        "python",
        "import os, sys\nprint(sys.stdin.read(), sys.argv[1:], sorted(os.environ))\nsys.stderr.write('err')\nsys.exit(7)",
    );
    (job.stdin, job.args) = ("in".into(), vec!["a b".to_owned()]);
    job.env.insert("X".to_owned(), "y".to_owned());
    let ran = run(&*engine, &job).await;
    assert_eq!((ran.outcome.status, ran.outcome.exit_code), (Status::NonzeroExit, 7), "{ran:?}");
    assert!(ran.stdout.starts_with("in ['a b'] ['HOME', 'LANG', "), "{}", ran.stdout);
    assert!(ran.stdout.contains("'X'") && !ran.stdout.contains("CARGO"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "err");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_and_no_network_is_there() {
    let Some(engine) = engine("nothing_of_the_host_and_no_network_is_there", "micro:python").await else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let text = format!(
        r#"
import os, socket
print(open('/etc/hostname').read().strip(), os.path.exists('/etc/shadow'), os.path.exists('/var/lib'))
print(sorted(os.listdir('/tmp')), len([p for p in os.listdir('/proc') if p.isdigit()]))
for address in [('127.0.0.1', {port}), ('169.254.169.254', 80)]:
    try:
        socket.create_connection(address, timeout=2)
        print('REACHED', address)
    except OSError as error:
        print('refused')
try:
    open('/usr/evil', 'w')
    print('WRITTEN')
except OSError:
    print('read-only')
"#
    );
    let ran = run(&*engine, &code("python", &text)).await;
    assert_eq!(
        ran.stdout, "sandbox False False\n['home', 'work'] 1\nrefused\nrefused\nread-only\n",
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_leaves_no_process() {
    let Some(engine) = engine("a_timeout_leaves_no_process", "micro:python").await else { return };
    let mut job = code("python", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass");
    job.timeout = Duration::from_secs(2);
    let ran = run(&*engine, &job).await;
    // A fork bomb's processes are memory and threads of gVisor: any of the limits may come first, and is named.
    let named = [Status::Timeout, Status::OutOfMemory].contains(&ran.outcome.status)
        || ran.outcome.message.contains("too many processes");
    assert!(named, "{ran:?}");
    let id = job.exec_id.to_string();
    until("no process of it is left", 3, || processes_with(&id) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let Some(engine) = engine("memory_is_bounded", "micro:python").await else { return };
    let facts = &engine.info().facts;
    if facts.limits.get("memory").is_some_and(|how| how == "none") {
        eprintln!("SKIPPED memory_is_bounded: no control group bounds it here");
        return;
    }
    let mut job = code("python", "x = []\nwhile True: x.append(bytearray(16 << 20))");
    job.memory_bytes = 128 << 20;
    let ran = run(&*engine, &job).await;
    assert_eq!(ran.outcome.status, Status::OutOfMemory, "{ran:?}");
    assert_eq!(run(&*engine, &code("python", "print(1)")).await.stdout, "1\n", "the next one runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut() {
    let Some(engine) = engine("a_flood_of_output_is_cut", "micro:python").await else { return };
    let before = resident_bytes(None);
    let ran = run(&*engine, &code("python", "while True: print('y' * 4000)")).await;
    let grown = resident_bytes(None).saturating_sub(before);
    assert!(ran.outcome.truncated && ran.stdout.len() == 1 << 20, "{:?}", ran.outcome);
    assert!(grown < 60 << 20, "the service grew by {grown} bytes");
    figure("TX4", format!("micro: a flood ended after {:.1?}, 1 MiB kept", ran.outcome.wall));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workspace_is_seen_and_what_changes_comes_back() {
    let Some(engine) = engine("the_workspace_is_seen_and_what_changes_comes_back", "micro:python").await
    else {
        return;
    };
    let (folder, view) =
        workspace(&[("a.txt", "one"), ("d/b.txt", "two"), ("gone.txt", "x"), ("same.txt", "s")]);
    let mut job = code(
        "python",
        "import os\nprint(open('a.txt').read(), open('/tmp/work' '/d/b.txt').read())\nopen('a.txt', 'w').write('ONE')\n\
         open('new.txt', 'w').write('n')\nos.remove('gone.txt')\nos.symlink('/etc/passwd', 'link')\n\
         open('big', 'wb').write(b'x' * 600000)",
    );
    job.view = Some(view);
    let ran = run(&*engine, &job).await;
    assert_eq!(ran.stdout, "one two\n", "{ran:?}");
    let names = ran.changes();
    for wanted in
        ["w a.txt 3", "w new.txt 1", "r gone.txt", "x link SYMLINK_FORBIDDEN", "x big FILE_TOO_LARGE"]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted}: {names:?}");
    }
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(
        std::fs::read(folder.path().join("a.txt")).expect("a file"),
        b"one",
        "the copy itself is not edited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_run_writes_the_next_does_not_see() {
    let Some(engine) = engine("what_one_run_writes_the_next_does_not_see", "micro:python").await else {
        return;
    };
    let write =
        "open('/tmp/secret', 'w').write('A'); open('/tmp/work' '/secret', 'w').write('A'); print('done')";
    assert_eq!(run(&*engine, &code("python", write)).await.stdout, "done\n");
    let look = "import os; print(os.path.exists('/tmp/secret'), os.path.exists('/tmp/work' '/secret'))";
    assert_eq!(run(&*engine, &code("python", look)).await.stdout, "False False\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_waits_serves_one_program_and_the_next_comes_by_itself() {
    let test = "a_kernel_that_waits_serves_one_program_and_the_next_comes_by_itself";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engines = made(folder.path()).await;
    let engine = &engines[0];
    if !engine.info().available || engine.info().isolation != Isolation::Gvisor {
        eprintln!("SKIPPED {test}: {}", engine.info().remedy);
        return;
    }
    engine.keep_armed(1);
    for n in 0..3 {
        until("a kernel waits", 20, || engine.armed() == 1).await;
        let program =
            "import os\nprint(sorted(os.listdir('.')), os.environ.get('N'))\nopen('left', 'w').write('x')";
        let mut job = code("python", program);
        job.env.insert("N".to_owned(), format!("it's {n}"));
        let ran = run(engine, &job).await;
        let line = format!("['.devstudio-order', '.devstudio-run.py'] it's {n}\n");
        assert_eq!(ran.stdout, line, "nothing of the run before is there: {ran:?}");
        eprintln!("a kernel that waited: {:?}", ran.outcome.wall);
    }
}
