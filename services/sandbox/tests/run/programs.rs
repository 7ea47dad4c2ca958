//! Ordinary programs: what goes in, what comes out, how they end, what they change.

use std::time::{Duration, Instant};

use devstudio_sandbox::{
    SandboxError,
    engine::{Engine as _, Isolation, Program, Status},
    fs::WORK_DIR,
    process::pump::Event,
};

use crate::{
    cgroup,
    common::{job, node, python, run, run_engine, try_run, workspace},
};

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
    let mut seen = ran.changes();
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
async fn a_program_ignores_no_signal_that_the_service_ignores() {
    const NAME: &str = "a_program_ignores_no_signal_that_the_service_ignores";
    for signal in [libc::SIGHUP, libc::SIGUSR1] {
        // SAFETY: the call touches no memory; nothing in this process listens to these.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let Some(engine) = run_engine(NAME).await else { return };
    let mut look = job(Program::Code("exec cat /proc/self/status".to_owned()), "bash");
    look.timeout = Duration::from_secs(20);
    let ran = run(&*engine, &look).await;
    assert!(ran.stdout.contains("SigIgn:\t0000000000000000\n"), "{ran:?}");
    assert!(ran.stdout.contains("SigBlk:\t0000000000000000\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_file_is_found_or_not_found() {
    let Some(engine) = run_engine("a_program_file_is_found_or_not_found").await else { return };
    let (_folder, view) =
        workspace(&[("d/main.py", "import helper; print(helper.N)"), ("d/helper.py", "N = 3")]);
    let mut good = job(Program::Path(format!("{WORK_DIR}/d/main.py")), "python");
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
    assert!(matches!(ran.events[0], Event::Started { .. }));
    let times: Vec<u32> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Output { at_ms, .. } => Some(*at_ms),
            Event::Started { .. } => None,
        })
        .collect();
    assert!(times.len() >= 2 && times[times.len() - 1] >= times[0] + 250, "{times:?}");
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
