//! What a service has open, and what its programs leave behind in what the service reads afterwards (TX9).

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use devstudio_sandbox::engine::Status;

use crate::common::{
    proof::{figure, in_a_process_of_its_own},
    python, run, run_engine, workspace,
};

/// A descriptor that a careless program would hand on: without close-on-exec.
fn inheritable(fd: impl Into<OwnedFd>) -> OwnedFd {
    let fd = fd.into();
    // SAFETY: the call duplicates a descriptor that is open; the copy is new.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 200) };
    assert!(copy >= 0);
    // SAFETY: nobody else has the copy.
    unsafe { OwnedFd::from_raw_fd(copy) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_has_open_no_program_inherits() {
    let Some(engine) = run_engine("what_the_service_has_open_no_program_inherits").await else { return };
    let secret = std::fs::File::open("/etc/passwd").expect("a file");
    let folder = std::fs::File::open("/").expect("a folder");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (one, two) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let open =
        [inheritable(secret), inheritable(folder), inheritable(tcp), inheritable(one), inheritable(two)];
    let look = r"
import os
for fd in range(4096):
    try: print(fd, os.readlink(f'/proc/self/fd/{fd}').split(':')[0])
    except OSError: pass
print([os.path.exists(f'/proc/1/fd/{n}') for n in range(1024)].count(True))
";
    // The first descriptor beyond is that of nothing: the listing opens none.
    let wanted = "0 pipe\n1 pipe\n2 pipe\n0\n";
    let ran = run(&*engine, &python(look)).await;
    let names: Vec<&str> = ran.stdout.lines().filter(|line| !line.contains(".devstudio-")).collect();
    assert_eq!(names.join("\n") + "\n", wanted, "{ran:?}");
    figure("TX9", format!("run: 0, 1 and 2 with {} inheritable descriptors open in the service", open.len()));
}

/// The service walks what a program left: folders in each other as deep as a path goes, and deeper.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of folders_in_folders_without_end_do_not_use_up_the_service"]
async fn a_service_with_few_descriptors() {
    if std::env::var_os("DEVSTUDIO_TEST_ALONE").is_none() {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(256), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("fewer is always fine");
    let engine = run_engine("a_service_with_few_descriptors").await.expect("the parent has tried");
    let (_folder, view) = workspace(&[]);
    let mut job = python(
        "import os\nn = 0\ntry:\n  while n < 2000:\n    os.mkdir('d'); os.chdir('d'); n += 1\nexcept OSError: pass\nprint(n)",
    );
    (job.view, job.memory_bytes) = (Some(view), 512 << 20);
    let ran = run(&*engine, &job).await;
    assert_eq!(ran.outcome.status, Status::Succeeded, "{ran:?}");
    assert_eq!(ran.stdout, "2000\n", "{ran:?}");
    assert!(!ran.outcome.changes.is_empty(), "what is too deep is named");
    assert_eq!(run(&*engine, &python("print(1)")).await.stdout, "1\n", "the next run works");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_in_folders_without_end_do_not_use_up_the_service() {
    if run_engine("folders_in_folders_without_end_do_not_use_up_the_service").await.is_none() {
        return;
    }
    let ran = tokio::task::spawn_blocking(|| {
        in_a_process_of_its_own("leaks::a_service_with_few_descriptors", &[("DEVSTUDIO_TEST_ALONE", "1")])
    });
    ran.await.expect("the service lives");
}
