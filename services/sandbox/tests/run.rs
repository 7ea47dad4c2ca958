//! The engine `run` against real programs and real attacks (TX2 to TX10, TX13, TX14).

mod common;

use std::time::Duration;

use common::{node, python, run, run_engine};
use devstudio_sandbox::engine::{Engine as _, Status};

#[tokio::test(flavor = "multi_thread")]
async fn python_prints_ok() {
    let Some(engine) = run_engine("python_prints_ok").await else { return };
    let ran = run(&*engine, &python("print('OK')")).await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("OK\n", ""), "{ran:?}");
    assert_eq!((ran.outcome.status, ran.outcome.exit_code), (Status::Succeeded, 0));
    eprintln!("{:?}", engine.info());
    eprintln!("{:?}", ran.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_prints_ok() {
    let Some(engine) = run_engine("node_prints_ok").await else { return };
    let ran = run(&*engine, &node("console.log('OK')")).await;
    assert_eq!(ran.stdout, "OK\n", "{ran:?}");
    assert_eq!(ran.outcome.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_everything() {
    let Some(engine) = run_engine("a_timeout_ends_everything").await else { return };
    let mut job = python("while True: pass");
    job.timeout = Duration::from_millis(300);
    let ran = run(&*engine, &job).await;
    assert_eq!(ran.outcome.status, Status::Timeout);
}
