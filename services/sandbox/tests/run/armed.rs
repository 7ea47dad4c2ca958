//! Sandboxes that wait, runtimes beside Python and Node.js, and input that comes while a program runs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use devstudio_sandbox::{
    engine::{Engine as _, Isolation, Program, Status},
    process::{
        Factory, Process,
        pump::{Event, Feed, Sink},
    },
};

use crate::common::{
    job, proof::in_a_process_of_its_own, python, run, run_engine, settings, until, workspace,
};

/// An engine of its own that keeps sandboxes armed.
async fn armed(test: &str, many: usize) -> Option<(Arc<Factory>, Process)> {
    let factory = match Factory::probe(settings("armed")).await {
        Ok(factory) => factory,
        Err(remedy) => {
            eprintln!("SKIPPED {test}: {remedy}");
            return None;
        }
    };
    let engine = Process::new(Ok(factory.clone()), Isolation::Process).await;
    factory.keep_armed(many);
    Some((factory, engine))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_armed_sandbox_serves_one_program_and_the_next_comes_by_itself() {
    let test = "an_armed_sandbox_serves_one_program_and_the_next_comes_by_itself";
    let Some((factory, engine)) = armed(test, 2).await else { return };
    let (_folder, view) = workspace(&[("kept", "here")]);
    for n in 0..6 {
        until("two wait", 10, || factory.armed() == 2).await;
        let mut job = python(
            "import os\nprint(os.listdir('/tmp/home'), open('kept').read(), os.getpid())\n\
             open('/tmp/home/left', 'w').close(); open('left', 'w').close(); open('/dev/shm/left', 'w').close()\n\
             print(len(os.listdir('/dev/shm')))",
        );
        job.view = Some(view.clone());
        // Any amount of memory is given to a sandbox that was put up for the usual one.
        job.memory_bytes = if n % 2 == 0 { 128 << 20 } else { 512 << 20 };
        let ran = run(&engine, &job).await;
        assert_eq!(ran.stdout, "[] here 2\n1\n", "nothing of the run before is there: {ran:?}");
    }
}

#[test]
fn an_armed_sandbox_that_somebody_ended_is_not_used() {
    // By itself: it ends whatever sandbox this process has.
    in_a_process_of_its_own("armed::a_service_whose_armed_sandbox_is_ended", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of an_armed_sandbox_that_somebody_ended_is_not_used"]
async fn a_service_whose_armed_sandbox_is_ended() {
    let test = "an_armed_sandbox_that_somebody_ended_is_not_used";
    let Some((factory, engine)) = armed(test, 1).await else { return };
    until("one waits", 10, || factory.armed() == 1).await;
    // Its first process is the child of a launcher, which is a child of this process.
    let own = std::process::id().to_string();
    let children = |pid: &str| {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        tasks
            .flat_map(|task| {
                let line = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect::<Vec<String>>()
    };
    let mut ended = 0;
    for launcher in children(&own) {
        let line = std::fs::read(format!("/proc/{launcher}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains("sandbox-init") {
            for first in children(&launcher) {
                let pid = first.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there");
                ended += 1;
            }
        }
    }
    assert!(ended > 0, "it was found");
    let ran = run(&engine, &python("print('OK')")).await;
    assert_eq!(ran.stdout, "OK\n", "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_runtime_of_this_machine_runs_a_program_and_tells_its_exit_code() {
    let test = "every_runtime_of_this_machine_runs_a_program_and_tells_its_exit_code";
    let Some(engine) = run_engine(test).await else { return };
    let programs = [
        ("python", "import sys\nprint('OK', sys.argv[1])\nsys.exit(3)"),
        ("node", "console.log('OK', process.argv[2]); process.exit(3)"),
        ("bash", "echo OK $1; exit 3"),
        ("perl", "print \"OK $ARGV[0]\\n\"; exit 3;"),
        ("c", "#include <stdio.h>\nint main(int n, char **a) { printf(\"OK %s\\n\", a[1]); return 3; }"),
        (
            "c++",
            "#include <iostream>\nint main(int n, char **a) { std::cout << \"OK \" << a[1] << '\\n'; return 3; }",
        ),
        (
            "rust",
            "fn main() { println!(\"OK {}\", std::env::args().nth(1).unwrap()); std::process::exit(3) }",
        ),
    ];
    let mut here = Vec::new();
    for (runtime, text) in programs {
        if !engine.info().runtimes.contains_key(runtime) {
            eprintln!("SKIPPED {test}, {runtime}: it is not on this machine");
            continue;
        }
        let mut job = job(Program::Code(text.to_owned()), runtime);
        (job.args, job.timeout) = (vec!["it's".to_owned()], Duration::from_secs(60));
        let ran = run(&*engine, &job).await;
        assert_eq!((ran.stdout.as_str(), ran.outcome.exit_code), ("OK it's\n", 3), "{runtime}: {ran:?}");
        assert!(ran.outcome.changes.is_empty(), "what is compiled does not come into the workspace: {ran:?}");
        here.push(format!("{runtime} {}", engine.info().runtimes[runtime]));
    }
    eprintln!("runtimes: {}", here.join(", "));
    assert!(here.len() >= 2, "{here:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_compile_says_why() {
    let Some(engine) = run_engine("what_does_not_compile_says_why").await else { return };
    if !engine.info().runtimes.contains_key("c") {
        eprintln!("SKIPPED what_does_not_compile_says_why: there is no C compiler");
        return;
    }
    let ran = run(&*engine, &job(Program::Code("int main(void) { return x; }".to_owned()), "c")).await;
    assert_eq!(ran.outcome.status, Status::NonzeroExit, "{ran:?}");
    assert!(ran.stderr.contains(":1:") && ran.stderr.contains("error"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_program_is_given_more_to_read_until_its_input_is_closed() {
    let test = "a_running_program_is_given_more_to_read_until_its_input_is_closed";
    let Some(engine) = run_engine(test).await else { return };
    let mut job =
        python("import sys\nfor line in sys.stdin:\n  print('read', line.strip(), flush=True)\nprint('end')");
    let (input, feed) = Feed::new();
    (job.stdin, job.more) = ("first\n".into(), Some(feed));
    let (mut sink, mut events) = Sink::new();
    let (mut heard, mut input) = (String::new(), Some(input));
    let running = engine.run(&job, &mut sink);
    tokio::pin!(running);
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome.expect("it runs"),
            Some(event) = events.recv() => {
                let Event::Output { data, .. } = event else { continue };
                heard.push_str(&String::from_utf8_lossy(&data));
                if heard.ends_with("read first\n") {
                    let input = input.as_ref().expect("it is open");
                    input.send(Bytes::from_static(b"second\n")).await.expect("it reads");
                } else if heard.ends_with("read second\n") {
                    input = None;
                }
            }
        }
    };
    while let Ok(event) = events.try_recv() {
        if let Event::Output { data, .. } = event {
            heard.push_str(&String::from_utf8_lossy(&data));
        }
    }
    assert_eq!((heard.as_str(), outcome.status), ("read first\nread second\nend\n", Status::Succeeded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ports_program_is_reached_while_it_runs_and_no_other_port_is() {
    let Some(engine) = run_engine("a_ports_program_is_reached_while_it_runs_and_no_other_port_is").await
    else {
        return;
    };
    let job = python(
        "import socket\ns = socket.create_server(('127.0.0.1', 4321))\nc, _ = s.accept()\nc.sendall(b'hello ' + c.recv(10))",
    );
    let (mut sink, mut events) = Sink::new();
    let running = engine.run(&job, &mut sink);
    let talking = async {
        let Some(Event::Started { dialer: Some(dialer) }) = events.recv().await else {
            panic!("it can be reached")
        };
        while dialer.ports().await != [4321] {
            tokio::task::yield_now().await;
        }
        assert!(dialer.dial(4322).await.is_err());
        let mut stream = dialer.dial(4321).await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"you").await.expect("sent");
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("an answer");
        assert_eq!(answer, "hello you");
        dialer
    };
    let (outcome, dialer) = tokio::join!(running, talking);
    assert_eq!(outcome.expect("it runs").status, Status::Succeeded);
    assert!(dialer.ports().await.is_empty() && dialer.dial(4321).await.is_err(), "it has ended");
}
