//! Where the nats-server program is.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::NatsError;

/// The version that `ops/lib/tools.sh` installs and that Millrace is tested with.
pub const PINNED_VERSION: &str = "2.15.1";

/// Names the program to use; wins over every other place.
pub const BINARY_VARIABLE: &str = "MILLRACE_NATS_SERVER";

/// Looks in `MILLRACE_NATS_SERVER`, in the cache folder that `ops/up` fills, and in `PATH`.
pub fn find_binary() -> Result<PathBuf, NatsError> {
    find(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NatsError> {
    if let Some(path) = variable(BINARY_VARIABLE).map(PathBuf::from) {
        return if is_executable(&path) { Ok(path) } else { Err(NatsError::BinaryMissing { tried: Some(path) }) };
    }
    let cache = variable("MILLRACE_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("millrace")))
        .or_else(|| variable("HOME").map(|folder| Path::new(&folder).join(".cache/millrace")));
    let installed = cache.map(|folder| folder.join(format!("tools/nats-server-{PINNED_VERSION}/nats-server")));
    let path = variable("PATH").unwrap_or_default();
    installed
        .into_iter()
        .chain(env::split_paths(&path).map(|folder| folder.join("nats-server")))
        .find(|path| is_executable(path))
        .ok_or(NatsError::BinaryMissing { tried: None })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_variable_wins_then_the_cache_then_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let cached = folder.path().join(format!("cache/tools/nats-server-{PINNED_VERSION}/nats-server"));
        let in_path = folder.path().join("bin/nats-server");
        for path in [&own, &cached, &in_path] {
            program(path);
        }
        let lookup = |names: &'static [&'static str]| {
            find(|name| {
                let value = match name {
                    BINARY_VARIABLE => own.clone(),
                    "MILLRACE_CACHE" => folder.path().join("cache"),
                    "PATH" => folder.path().join("bin"),
                    _ => return None,
                };
                names.contains(&name).then(|| value.into_os_string())
            })
        };
        assert_eq!(lookup(&[BINARY_VARIABLE, "MILLRACE_CACHE", "PATH"]).unwrap(), own);
        assert_eq!(lookup(&["MILLRACE_CACHE", "PATH"]).unwrap(), cached);
        assert_eq!(lookup(&["PATH"]).unwrap(), in_path);
        let message = lookup(&[]).unwrap_err().to_string();
        assert!(message.contains("run ./ops/up once"), "{message}");
    }

    #[test]
    fn a_wrong_variable_is_an_error_and_no_reason_to_look_elsewhere() {
        let found = find(|name| Some(if name == BINARY_VARIABLE { "/no/such/file".into() } else { "/bin".into() }));
        assert!(matches!(found, Err(NatsError::BinaryMissing { tried: Some(_) })));
    }

    #[test]
    fn the_version_is_the_one_that_is_installed() {
        let script = include_str!("../../lib/tools.sh");
        assert!(script.contains(&format!("\nNATS_SERVER_VERSION={PINNED_VERSION}\n")));
    }
}
