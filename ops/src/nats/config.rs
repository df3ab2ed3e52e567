//! The configuration of the supervised nats-server, the choice of its port and the bounds of its storage.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::NatsError;

/// The largest message, in bytes: an event is far smaller, a chunk of an object may need this much.
const MAX_PAYLOAD: u64 = 8 << 20;

/// Kept free on the disk of the log, in bytes, so that the read store can still write its checkpoints.
const DISK_RESERVE: u64 = 1 << 30;

/// The log may always use this much, in bytes, so that a nearly full disk is reported by writes and not by a start.
const MIN_FILE_STORE: u64 = 256 << 20;

/// What goes into the configuration file.
#[derive(Debug)]
pub(crate) struct ServerConfig<'a> {
    pub(crate) server_name: &'a str,
    pub(crate) port: u16,
    pub(crate) monitor_port: Option<u16>,
    pub(crate) store_dir: &'a Path,
    /// Bytes.
    pub(crate) max_file_store: u64,
    /// Bytes.
    pub(crate) max_memory_store: u64,
    pub(crate) user_public_key: &'a str,
}

impl ServerConfig<'_> {
    /// The text of the configuration. It holds no secret.
    pub(crate) fn render(&self) -> Result<String, NatsError> {
        let mut text = format!(
            "# Written by millrace at every start: changes are lost.\n\
             server_name: {name}\n\
             host: \"127.0.0.1\"\n\
             port: {port}\n\
             max_payload: {MAX_PAYLOAD}\n\
             lame_duck_grace_period: \"2s\"\n\
             lame_duck_duration: \"30s\"\n\
             authorization {{ users: [ {{ nkey: {user} }} ] }}\n\
             jetstream {{\n  \
               store_dir: {store}\n  \
               # Each acknowledgement means: on the disk. A power loss takes nothing that was acknowledged.\n  \
               sync_interval: always\n  \
               max_file_store: {max_file}\n  \
               max_memory_store: {max_memory}\n\
             }}\n",
            name = quoted(self.server_name),
            port = self.port,
            user = quoted(self.user_public_key),
            store = quoted_path(self.store_dir)?,
            max_file = self.max_file_store,
            max_memory = self.max_memory_store,
        );
        if let Some(port) = self.monitor_port {
            let _ = writeln!(text, "http: \"127.0.0.1:{port}\"");
        }
        Ok(text)
    }
}

fn quoted_path(path: &Path) -> Result<String, NatsError> {
    let text = path.to_str().ok_or_else(|| NatsError::PathNotUtf8 { path: path.to_owned() })?;
    Ok(quoted(text))
}

/// A string of the server's configuration language, in which only these characters need an escape.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Writes a file of mode 0600 whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), NatsError> {
    let side = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&side)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&side, path)
    };
    write().map_err(|error| NatsError::writing(path, error))
}

/// The port to listen on: the wanted one or an error; else the preferred one if it is free; else any free one.
///
/// Nobody can reserve a port for another process, so the caller still has to expect that it is taken meanwhile.
pub(crate) fn choose_port(wanted: Option<u16>, preferred: Option<u16>) -> Result<u16, NatsError> {
    if let Some(port) = wanted {
        return free_port(port).map_err(|_| NatsError::PortUsed { port });
    }
    preferred.map_or_else(|| free_port(0), |port| free_port(port).or_else(|_| free_port(0))).map_err(|error| {
        tracing::error!(%error, "no free port on 127.0.0.1");
        NatsError::PortUsed { port: 0 }
    })
}

fn free_port(port: u16) -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?.port())
}

/// The bound of the log's storage in bytes: what it uses now and what is free, less a reserve.
///
/// Left to itself the server takes three quarters of what is free at its start, without counting what it already holds:
/// a log that fills most of its disk would then be over its own bound after a restart and refuse every write.
pub(crate) fn file_store_bound(store_dir: &Path) -> Result<u64, NatsError> {
    let fault = |error: rustix::io::Errno| NatsError::writing(store_dir, error.into());
    let disk = rustix::fs::statvfs(store_dir).map_err(fault)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = size_of_tree(store_dir).map_err(|error| NatsError::writing(store_dir, error))?;
    Ok(used.saturating_add(free).saturating_sub(DISK_RESERVE).max(MIN_FILE_STORE).min(i64::MAX as u64))
}

fn size_of_tree(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                total += entry.metadata()?.len();
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn renders_loopback_durable_and_without_secret() {
        let store_dir = PathBuf::from("/data/a \"quoted\" \\ place");
        let config = ServerConfig {
            server_name: "millrace-x",
            port: 4321,
            monitor_port: Some(4322),
            store_dir: &store_dir,
            max_file_store: 5,
            max_memory_store: 6,
            user_public_key: "UABC",
        };
        let text = config.render().unwrap();
        for line in [
            "host: \"127.0.0.1\"",
            "port: 4321",
            "http: \"127.0.0.1:4322\"",
            "sync_interval: always",
            "max_payload: 8388608",
            r#"store_dir: "/data/a \"quoted\" \\ place""#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let quiet = ServerConfig { monitor_port: None, ..config }.render().unwrap();
        assert!(!quiet.contains("http"), "{quiet}");
    }

    #[test]
    fn a_used_port_is_refused_when_wanted_and_avoided_when_preferred() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let used = listener.local_addr().unwrap().port();
        assert!(matches!(choose_port(Some(used), None), Err(NatsError::PortUsed { port }) if port == used));
        assert_ne!(choose_port(None, Some(used)).unwrap(), used);
        drop(listener);
        assert_eq!(choose_port(None, Some(used)).unwrap(), used);
    }

    #[test]
    fn the_bound_counts_what_the_log_already_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/block"), vec![0; 1000]).unwrap();
        assert_eq!(size_of_tree(folder.path()).unwrap(), 1000);
        assert!(file_store_bound(folder.path()).unwrap() >= MIN_FILE_STORE);
    }
}
