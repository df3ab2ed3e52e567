//! Where the program `weed` is.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The version that `ops/lib/s3.sh` installs.
pub(super) const PINNED_VERSION: &str = "4.48";

/// `MILLRACE_S3_SERVER`, the cache folder that `ops/up` fills, or `weed` in `PATH`.
pub(super) fn find_binary() -> Result<PathBuf, Option<PathBuf>> {
    find(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// The error is the path that was named and is no program.
fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Option<PathBuf>> {
    if let Some(path) = variable("MILLRACE_S3_SERVER").map(PathBuf::from) {
        return if is_executable(&path) { Ok(path) } else { Err(Some(path)) };
    }
    let cache = variable("MILLRACE_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("millrace")))
        .or_else(|| variable("HOME").map(|folder| Path::new(&folder).join(".cache/millrace")));
    let installed = cache.map(|folder| folder.join(format!("tools/seaweedfs-{PINNED_VERSION}/weed")));
    let path = variable("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join("weed")).collect::<Vec<_>>();
    installed.into_iter().chain(in_path).find(|path| is_executable(path)).ok_or(None)
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_variable_is_an_error_and_no_reason_to_look_elsewhere() {
        let found =
            find(|name| Some(if name == "MILLRACE_S3_SERVER" { "/no/such/file".into() } else { "/bin".into() }));
        assert_eq!(found, Err(Some(PathBuf::from("/no/such/file"))));
        assert_eq!(find(|_| None), Err(None));
    }

    #[test]
    fn the_version_is_the_one_that_is_installed() {
        let script = include_str!("../../lib/s3.sh");
        assert!(script.contains(&format!("\nSEAWEEDFS_VERSION={PINNED_VERSION}\n")));
    }
}
