//! How proofs count: few rounds in every test run, all of them in `cargo xtask prove`, which collects the figures.
#![allow(dead_code)] // each test binary uses its part

use std::fmt::Display;

/// `cargo xtask prove` runs this.
pub fn proving() -> bool {
    std::env::var("DEVSTUDIO_PROVE").is_ok_and(|value| value == "1")
}

/// So many rounds: all of them in a proof, few otherwise.
pub fn counts<T>(small: T, full: T) -> T {
    if proving() { full } else { small }
}

/// Tells a figure of a proof; xtask reads such lines.
pub fn figure(proof: &str, what: impl Display) {
    println!("PROOF {proof}: {what}");
}

/// Bytes of memory that a process has resident; this one where none is named. 0 where it is gone.
pub fn resident_bytes(pid: Option<u32>) -> u64 {
    let place = pid.map_or_else(|| "/proc/self/statm".to_owned(), |pid| format!("/proc/{pid}/statm"));
    let text = std::fs::read_to_string(place).unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Bytes as people read them.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The process' own part in a proof that needs a process of its own: runs a test that is ignored otherwise, alone.
/// Answers what it printed; fails with it where it failed.
pub fn in_a_process_of_its_own(test: &str, env: &[(&str, &str)]) -> String {
    let program = std::env::current_exe().expect("this program");
    let ended = std::process::Command::new(program)
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1", test])
        .envs(env.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("1 passed"), "{test}:\n{said}");
    // A line that libtest began is ended by the first of ours.
    for line in said.lines() {
        if let Some(at) = line.find("PROOF ").or_else(|| line.find("SKIPPED ")) {
            println!("{}", &line[at..]);
        }
    }
    said
}
