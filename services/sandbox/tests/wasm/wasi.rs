//! Programs of WASI preview 1, each a text in tests/fixtures/wasi: what they print and how they end is what they do in
//! wasmtime, where that is there (`pip install wasmtime`), and they reach no file and no socket.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use devstudio_sandbox::engine::Status;

use crate::{
    common::{proof::figure, run},
    engine, module,
};

/// What a program is given, and what it does with it.
struct Case {
    program: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    stdin: Vec<u8>,
    stdout: Does,
    stderr: &'static str,
    /// The exit code; none where it traps.
    exit: Option<i32>,
    /// wasmtime does otherwise, for this reason.
    only_here: Option<&'static str>,
}

/// What a program prints.
enum Does {
    Print(Vec<u8>),
    /// Something else each time, with this about it.
    Satisfy(fn(&[u8]) -> bool),
}

fn case(program: &'static str, stdout: impl Into<Vec<u8>>) -> Case {
    Case {
        program,
        args: &[],
        env: &[],
        stdin: Vec::new(),
        stdout: Does::Print(stdout.into()),
        stderr: "",
        exit: Some(0),
        only_here: None,
    }
}

fn cases() -> Vec<Case> {
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let exit = |code: &'static [&'static str], exit| Case { args: code, exit, ..case("exit", "before\n") };
    vec![
        case("args", "module\0"),
        Case {
            args: &["one", "", "two words", "ünïcödé 🦀", "-x=\"y\"", ""],
            ..case("args", "module\0one\0\0two words\0ünïcödé 🦀\0-x=\"y\"\0\0")
        },
        case("env", ""),
        Case {
            env: &[("A", "b"), ("EMPTY", ""), ("WORDS", "ä = b")],
            exit: Some(3),
            ..case("env", "A=b\0EMPTY=\0WORDS=ä = b\0")
        },
        Case { stdout: Does::Satisfy(is_the_time), ..case("clocks", "") },
        Case { stdout: Does::Satisfy(is_random), ..case("random", "") },
        case("cat", ""),
        Case { stdin: b"no line break at the end".to_vec(), ..case("cat", "no line break at the end") },
        Case { stdin: binary.clone(), ..case("cat", binary) },
        exit(&["0"], Some(0)),
        exit(&["1"], Some(1)),
        exit(&["42"], Some(42)),
        exit(&["125"], Some(125)),
        Case { only_here: Some("it allows codes up to 125"), ..exit(&["255"], Some(255)) },
        Case { exit: None, ..case("trap", "before\n") },
        Case { stderr: "one, two\n", ..case("pieces", "one, two\n") },
        case("folders", "open\nopen\nopen\n"),
        case("files", ""),
        case("sockets", ""),
        Case { stderr: "to the error output\n", ..case("close", "to the output\n") },
        case("poll", "waited\n"),
    ]
}

fn is_the_time(bytes: &[u8]) -> bool {
    let told = bytes.try_into().map_or(0, u64::from_le_bytes);
    let host = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    host.abs_diff(told) < 60_000_000_000
}

fn is_random(bytes: &[u8]) -> bool {
    let halves = bytes.split_at_checked(64);
    halves.is_some_and(|(one, two)| one != two && two.len() == 64 && one.iter().any(|byte| *byte != one[0]))
}

/// What a program did.
struct Told {
    stdout: Vec<u8>,
    stderr: String,
    exit: i32,
}

impl Told {
    /// In words, what differs from what is wanted.
    fn differs(&self, case: &Case, exit: i32) -> Option<String> {
        let prints = match &case.stdout {
            Does::Print(wanted) => self.stdout == *wanted,
            Does::Satisfy(holds) => holds(&self.stdout),
        };
        let same = prints && self.stderr == case.stderr && self.exit == exit;
        let text: String = String::from_utf8_lossy(&self.stdout).chars().take(300).collect();
        (!same).then(|| {
            format!(
                "{} {:?}: exit {} not {exit}, {text:?}, error output {:?}",
                case.program, case.args, self.exit, self.stderr
            )
        })
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wasi")
}

fn built(program: &str) -> Vec<u8> {
    wat::parse_file(folder().join(program).with_extension("wat")).expect("good text")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_does_what_its_text_says() {
    let Some((engine, _cache)) = engine("every_program_does_what_its_text_says").await else { return };
    let (cases, mut wrong) = (cases(), Vec::new());
    for case in &cases {
        let Case { program, args, env, stdin, exit, .. } = case;
        let mut job = module(built(program));
        job.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        job.env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        job.stdin = stdin.clone().into();
        let ran = run(&engine, &job).await;
        let status = match exit {
            Some(0) => Status::Succeeded,
            Some(_) => Status::NonzeroExit,
            None => Status::Trapped,
        };
        let told =
            Told { stdout: ran.stdout_bytes(), stderr: ran.stderr.clone(), exit: ran.outcome.exit_code };
        let wanted = exit.unwrap_or(-1);
        if ran.outcome.status != status {
            wrong.push(format!("{program} {args:?}: {:?} {}", ran.outcome.status, ran.outcome.message));
        }
        wrong.extend(told.differs(case, wanted));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    figure("wasi", format!("{} programs, {} ways of calling them", programs().len(), cases.len()));
}

fn programs() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("programs").flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".wat").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[test]
fn every_program_of_the_folder_is_called() {
    let cases = cases();
    for program in programs() {
        assert!(cases.iter().any(|case| case.program == program), "{program}");
    }
}

/// The same programs in wasmtime, with the same expectations: what we say of WASI is not our own reading of it.
#[test]
fn every_program_does_the_same_in_wasmtime() {
    let Some(packages) = std::env::var_os("DEVSTUDIO_TEST_WASMTIME") else {
        eprintln!(
            "SKIPPED every_program_does_the_same_in_wasmtime: DEVSTUDIO_TEST_WASMTIME names no folder with wasmtime's \
             Python package; `cargo xtask test` does"
        );
        return;
    };
    let cases = cases();
    let orders: Vec<serde_json::Value> = cases
        .iter()
        .map(|case| {
            serde_json::json!({
                "module": hex::encode(built(case.program)),
                "args": case.args,
                "env": case.env,
                "stdin": hex::encode(&case.stdin),
            })
        })
        .collect();
    let mut oracle = Command::new("python3")
        .env("PYTHONPATH", packages)
        .arg(folder().join("oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let orders = serde_json::to_vec(&orders).expect("orders");
    oracle.stdin.take().expect("an input").write_all(&orders).expect("it reads");
    let answer = oracle.wait_with_output().expect("an answer");
    let answers: Vec<serde_json::Value> = serde_json::from_slice(&answer.stdout).expect("answers");
    assert_eq!(answers.len(), cases.len());
    let mut wrong = Vec::new();
    let mut others = 0;
    for (case, answer) in cases.iter().zip(&answers) {
        if case.only_here.is_some() {
            others += 1;
            continue;
        }
        let bytes = |name: &str| hex::decode(answer[name].as_str().unwrap_or("-")).expect("bytes");
        let exit = answer["exit"].as_i64().map_or(-1, |code| code as i32);
        let stderr = String::from_utf8_lossy(&bytes("stderr")).into_owned();
        let told = Told { stdout: bytes("stdout"), stderr, exit };
        wrong.extend(told.differs(case, case.exit.unwrap_or(-1)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let version = answers[0]["wasmtime"].as_str().unwrap_or_default();
    figure("wasi", format!("{} of them the same in wasmtime {version}", cases.len() - others));
}
