//! The language runtimes of the host: where they really are, behind whatever version manager.

use std::{
    env,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// A language runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Its name, such as "python".
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// The program and the arguments that come before the file to run.
    pub argv: Vec<String>,
    /// What a program's file is called.
    pub extension: &'static str,
    /// Its folders, where they are outside /usr.
    pub expose: Vec<PathBuf>,
    /// A program that does nothing, to try it with.
    pub sample: &'static str,
}

/// A kind of runtimes that is looked for.
struct Kind {
    name: &'static str,
    /// What its program is called; the first that is found counts.
    programs: &'static [&'static str],
    /// What its files end in, the usual ending first.
    extensions: &'static [&'static str],
    /// How the program tells what it is: lines with its file, its version and its folders.
    ask: &'static [&'static str],
    how: How,
    sample: &'static str,
}

/// How a file is run.
enum How {
    /// By the program, with these arguments before it.
    Directly(&'static [&'static str]),
    /// By a shell script in which `{}` stands for the program, `$0` for the file and `$@` for its arguments. It
    /// compiles to where nothing of it comes into the workspace.
    Compiled(&'static str),
}

const C_MAIN: &str = "int main(void) { return 0; }\n";

/// Every kind, in the order in which they are listed.
const KINDS: [Kind; 7] = [
    Kind {
        name: "python",
        programs: &["python3"],
        extensions: &["py"],
        ask: &[
            "-c",
            "import sys; print(sys.executable, '.'.join(map(str, sys.version_info[:3])), sys.prefix, sys.base_prefix, sep='\\n')",
        ],
        // Output at once, and no compiled files in the workspace.
        how: How::Directly(&["-u", "-B"]),
        sample: "",
    },
    Kind {
        name: "node",
        programs: &["node"],
        extensions: &["js", "mjs", "cjs"],
        ask: &[
            "-e",
            "const e = require('fs').realpathSync(process.execPath); console.log(e + '\\n' + process.versions.node + '\\n' + require('path').dirname(require('path').dirname(e)))",
        ],
        how: How::Directly(&[]),
        sample: "",
    },
    Kind {
        name: "bash",
        programs: &["bash"],
        extensions: &["sh", "bash"],
        ask: &["-c", "echo \"$BASH\"; echo \"${BASH_VERSION%%(*}\""],
        how: How::Directly(&[]),
        sample: "",
    },
    Kind {
        name: "perl",
        programs: &["perl"],
        extensions: &["pl"],
        ask: &["-e", "print \"$^X\\n\", substr($^V, 1), \"\\n\""],
        how: How::Directly(&[]),
        sample: "",
    },
    Kind {
        name: "c",
        programs: &["gcc", "clang", "cc"],
        extensions: &["c"],
        ask: &["-dumpfullversion", "-dumpversion"],
        how: How::Compiled(
            "{} -O1 -Wall -pipe -o /tmp/home/program \"$0\" -lm && exec /tmp/home/program \"$@\"",
        ),
        sample: C_MAIN,
    },
    Kind {
        name: "c++",
        programs: &["g++", "clang++", "c++"],
        extensions: &["cpp", "cc", "cxx"],
        ask: &["-dumpfullversion", "-dumpversion"],
        how: How::Compiled("{} -O1 -Wall -pipe -o /tmp/home/program \"$0\" && exec /tmp/home/program \"$@\""),
        sample: "int main() { return 0; }\n",
    },
    Kind {
        name: "rust",
        programs: &["rustc"],
        extensions: &["rs"],
        ask: &["--print", "sysroot"],
        how: How::Compiled(
            "{} --edition 2024 -O -o /tmp/home/program \"$0\" && exec /tmp/home/program \"$@\"",
        ),
        sample: "fn main() {}\n",
    },
];

/// The names of all runtimes that are looked for, in order, and the programs of each.
pub fn known() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    KINDS.iter().map(|kind| (kind.name, kind.programs))
}

/// The runtime of a file, by its ending; python where nothing says otherwise.
pub fn of_file(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    KINDS.iter().find(|kind| kind.extensions.contains(&extension)).map_or("python", |kind| kind.name)
}

/// Every runtime that can be found, several of a kind in the order in which they are preferred. Looked for once.
pub fn candidates() -> &'static [Runtime] {
    static FOUND: LazyLock<Vec<Runtime>> = LazyLock::new(look);
    &FOUND
}

fn look() -> Vec<Runtime> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        env::split_paths(&path).chain(["/usr/local/bin".into(), "/usr/bin".into()]).collect();
    let mut found: Vec<Runtime> = Vec::new();
    for kind in &KINDS {
        let mut asked: Vec<PathBuf> = Vec::new();
        for program in
            kind.programs.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        {
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

/// The folders that runtimes need outside of /usr, each once.
pub fn exposed<'a>(runtimes: impl IntoIterator<Item = &'a Runtime>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in runtimes.into_iter().flat_map(|runtime| &runtime.expose) {
        if !folders.contains(folder) {
            folders.push(folder.clone());
        }
    }
    folders
}

/// What a program says of itself: its real file, its version, its folders.
fn told(kind: &Kind, program: &Path) -> Option<(String, String, Vec<PathBuf>)> {
    let answer = answer_of(Command::new(program).args(kind.ask).current_dir("/"))?;
    let mut lines = answer.lines().map(str::to_owned);
    match kind.name {
        "rust" => {
            // Behind a version manager's program of that name is the real one, in its toolchain's folder.
            let sysroot = PathBuf::from(lines.next()?);
            let real = sysroot.join("bin/rustc");
            let version = answer_of(Command::new(&real).arg("--version"))?;
            let version = version.split_whitespace().nth(1)?.to_owned();
            Some((real.to_str()?.to_owned(), version, vec![sysroot]))
        }
        "c" | "c++" => {
            let real = std::fs::canonicalize(program).ok()?;
            Some((real.to_str()?.to_owned(), lines.next()?, Vec::new()))
        }
        _ => Some((lines.next()?, lines.next()?, lines.map(PathBuf::from).collect())),
    }
}

fn ask(kind: &Kind, program: &Path) -> Option<Runtime> {
    let (executable, version, folders) = told(kind, program)?;
    let home = env::var_os("HOME").map(PathBuf::from);
    let mut expose: Vec<PathBuf> = Vec::new();
    for folder in folders {
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
    let reachable = ["/usr/", "/bin/"].iter().any(|place| executable.starts_with(place))
        || expose.iter().any(|folder| Path::new(&executable).starts_with(folder));
    if !reachable {
        return None;
    }
    let argv: Vec<String> = match kind.how {
        How::Directly(before) => {
            std::iter::once(executable).chain(before.iter().map(|&argument| argument.to_owned())).collect()
        }
        How::Compiled(script) => {
            ["/bin/sh".to_owned(), "-c".to_owned(), script.replace("{}", &executable)].into()
        }
    };
    Some(Runtime {
        name: kind.name,
        version,
        argv,
        extension: kind.extensions[0],
        expose,
        sample: kind.sample,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_run_by_the_runtime_of_its_ending() {
        for (path, runtime) in [
            ("main.py", "python"),
            ("a/b.mjs", "node"),
            ("x.sh", "bash"),
            ("x.pl", "perl"),
            ("x.c", "c"),
            ("x.cpp", "c++"),
            ("src/main.rs", "rust"),
            ("Makefile", "python"),
        ] {
            assert_eq!(of_file(path), runtime, "{path}");
        }
    }

    #[test]
    fn names_and_endings_are_each_of_one_kind() {
        let mut endings: Vec<&str> = KINDS.iter().flat_map(|kind| kind.extensions).copied().collect();
        let all = endings.len();
        endings.sort_unstable();
        endings.dedup();
        assert_eq!(endings.len(), all);
    }
}
