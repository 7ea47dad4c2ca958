//! Hardware virtualisation (TX12): a guest's panic and flood harm nobody, machines share nothing, and where there is no
//! virtualisation callers learn what helps. `DEVSTUDIO_REQUIRE_KVM=1` makes skipping a failure.

use std::{sync::Arc, time::Duration};

use devstudio_sandbox::{
    SandboxError,
    engine::{Engine as _, Isolation, Registry, Status},
    micro::Micro,
};

use crate::{
    code,
    common::{processes_with, proof::figure, run, until},
    engine, made,
};

/// Python in a virtual machine; nothing and a word about it where there is none.
async fn machine(test: &str) -> Option<Arc<Micro>> {
    let engine = engine(test, "micro:python").await;
    let grade = engine.as_ref().map(|engine| engine.info().isolation);
    if grade == Some(Isolation::HardwareVm) {
        return engine;
    }
    let why = engine.map_or_else(String::new, |engine| format!(": {}", engine.info().remedy));
    let required = std::env::var("DEVSTUDIO_REQUIRE_KVM").is_ok_and(|value| value == "1");
    assert!(!required, "DEVSTUDIO_REQUIRE_KVM is set, and there is no hardware virtualisation here{why}");
    eprintln!("SKIPPED {test}: no hardware virtualisation here{why}");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_panics_ends_its_run_only() {
    let Some(engine) = machine("a_guest_that_panics_ends_its_run_only").await else { return };
    let panic = "import os, ctypes\nprint('before', flush=True)\n\
                 try: open('/proc/sysrq-trigger', 'w').write('c')\nexcept OSError: ctypes.CDLL(None).reboot(0x1234567)\n\
                 os.kill(1, 9)\nimport time; time.sleep(600)";
    let mut job = code("python", panic);
    job.timeout = Duration::from_secs(15);
    let id = job.exec_id.to_string();
    let ran = run(&*engine, &job).await;
    assert_ne!(ran.outcome.status, Status::Succeeded, "{ran:?}");
    assert!(ran.outcome.wall < job.timeout + Duration::from_secs(1), "{:?}", ran.outcome.wall);
    until("no process of it is left", 5, || processes_with(&id) == 0).await;
    assert_eq!(run(&*engine, &code("python", "print(1)")).await.stdout, "1\n", "the next one runs");
    figure(
        "TX12",
        format!(
            "a guest's panic: {} after {:.1?}, the next runs",
            ran.outcome.status.name(),
            ran.outcome.wall
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_flood_of_output_is_cut() {
    let Some(engine) = machine("a_guests_flood_of_output_is_cut").await else { return };
    let ran = run(&*engine, &code("python", "while True: print('y' * 4000)")).await;
    assert!(ran.outcome.truncated && ran.stdout.len() == 1 << 20, "{:?}", ran.outcome);
    figure("TX12", format!("a guest's flood: 1 MiB kept, ended after {:.1?}", ran.outcome.wall));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_knows_nothing_of_the_one_before() {
    let Some(engine) = machine("a_machine_knows_nothing_of_the_one_before").await else { return };
    let marker = format!("secret-{}", std::process::id());
    let write = format!(
        "import os\nfor p in ('/tmp/s', '/dev/shm/s', '/var/tmp/s', '/srv/s', 's'):\n  try: open(p, 'w').write('{marker}')\n  \
         except OSError: pass\nx = '{marker}' * 100000\nprint('done')"
    );
    assert_eq!(run(&*engine, &code("python", &write)).await.stdout, "done\n");
    let look = "import os\nprint([p for p in ('/tmp/s', '/dev/shm/s', '/var/tmp/s', '/srv/s', 's') if os.path.exists(p)])\n\
                print(open('/proc/sys/kernel/random/boot_id').read().strip())";
    let (one, two) = (run(&*engine, &code("python", look)).await, run(&*engine, &code("python", look)).await);
    assert!(one.stdout.starts_with("[]\n") && two.stdout.starts_with("[]\n"), "{one:?} {two:?}");
    figure("TX12", "nothing that one person's machine wrote is in the next");
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_is_missing_is_told_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut registry = Registry::default();
    for engine in made(folder.path()).await {
        registry = registry.with(engine);
    }
    let found = registry.find("micro:python", Some(Isolation::HardwareVm));
    match found {
        Ok(engine) => assert_eq!(engine.info().isolation, Isolation::HardwareVm),
        Err(SandboxError::KvmUnavailable { remedy }) => {
            assert!(remedy.len() > 20, "{remedy}");
            figure("TX12", "without virtualisation: KVM_UNAVAILABLE with a remedy");
        }
        Err(other) => panic!("{other}"),
    }
    assert!(matches!(registry.find("micro:ruby", None), Err(SandboxError::Invalid { .. })));
}
