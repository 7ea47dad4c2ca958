//! The launcher of sandboxes as a program of its own: small, and all that tests need.

fn main() -> std::process::ExitCode {
    devstudio_sandbox::init_if_asked();
    eprintln!("This program is started by the sandbox service.");
    std::process::ExitCode::from(64)
}
