//! The language runtimes of the host: where they really are, behind whatever version manager.

use std::{
    env,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A language runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// "python" or "node".
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// The program and the arguments that come before the file to run.
    pub argv: Vec<String>,
    /// What a program's file is called.
    pub extension: &'static str,
    /// Its folders, where they are outside /usr.
    pub expose: Vec<PathBuf>,
}

struct Kind {
    name: &'static str,
    program: &'static str,
    extension: &'static str,
    before: &'static [&'static str],
    ask: &'static [&'static str],
}

/// Each answers on lines: its program, its version, its folders.
const KINDS: [Kind; 2] = [
    Kind {
        name: "python",
        program: "python3",
        extension: "py",
        // Output at once, and no compiled files in the workspace.
        before: &["-u", "-B"],
        ask: &[
            "-c",
            "import sys; print(sys.executable, '.'.join(map(str, sys.version_info[:3])), sys.prefix, sys.base_prefix, sep='\\n')",
        ],
    },
    Kind {
        name: "node",
        program: "node",
        extension: "js",
        before: &[],
        ask: &[
            "-e",
            "const e = require('fs').realpathSync(process.execPath); console.log(e + '\\n' + process.versions.node + '\\n' + require('path').dirname(require('path').dirname(e)))",
        ],
    },
];

/// Every runtime that can be found, several of a kind in the order in which they are preferred.
pub fn candidates() -> Vec<Runtime> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        env::split_paths(&path).chain(["/usr/local/bin".into(), "/usr/bin".into()]).collect();
    let mut found: Vec<Runtime> = Vec::new();
    for kind in &KINDS {
        let mut asked: Vec<PathBuf> = Vec::new();
        for folder in &folders {
            let program = folder.join(kind.program);
            if asked.contains(&program) || !program.is_file() {
                continue;
            }
            asked.push(program.clone());
            if let Some(runtime) = ask(kind, &program)
                && !found.contains(&runtime)
            {
                found.push(runtime);
            }
        }
    }
    found
}

fn ask(kind: &Kind, program: &Path) -> Option<Runtime> {
    let answer = answer_of(Command::new(program).args(kind.ask))?;
    let mut lines = answer.lines();
    let (executable, version) = (lines.next()?, lines.next()?.to_owned());
    let home = env::var_os("HOME").map(PathBuf::from);
    let mut expose: Vec<PathBuf> = Vec::new();
    for folder in lines.map(PathBuf::from) {
        let known = folder.starts_with("/usr") || expose.contains(&folder);
        if known {
            continue;
        }
        // Never a whole home, nor what contains it.
        if folder.components().count() < 3 || home.as_ref().is_some_and(|home| home.starts_with(&folder)) {
            return None;
        }
        expose.push(folder);
    }
    let reachable =
        executable.starts_with("/usr/") || expose.iter().any(|f| Path::new(executable).starts_with(f));
    if !reachable {
        return None;
    }
    let argv = std::iter::once(executable).chain(kind.before.iter().copied()).map(str::to_owned).collect();
    Some(Runtime { name: kind.name, version, argv, extension: kind.extension, expose })
}

/// Runs a program of the host for its answer, for at most five seconds.
pub fn answer_of(command: &mut Command) -> Option<String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + Duration::from_secs(5);
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::park_timeout(Duration::from_millis(2)),
        }
    };
    let mut answer = String::new();
    child.stdout.take()?.read_to_string(&mut answer).ok()?;
    status.success().then_some(answer)
}
