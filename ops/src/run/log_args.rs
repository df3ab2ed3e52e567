//! The NATS servers of a cell, from flags and the environment.

use super::RunError;
use bus_schema::{
    Cell,
    bus::{BusOptions, BusUser},
};
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};
use workers::smtp::Roots;

/// Bytes of a file of credentials or certificates.
const FILE_LIMIT: u64 = 1 << 20;

/// Where the log is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The NATS servers: tls://HOST[:4222], several joined by commas; nats:// without TLS, on this machine only
    #[arg(long, env = "MILLRACE_NATS", value_name = "URL")]
    pub nats: String,
    /// A file with the user in its first line and the password in its second, with the seed of an nkey, or of credentials
    /// (`nsc generate creds`)
    #[arg(long, env = "MILLRACE_NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// Certificates to believe instead of the system's (PEM)
    #[arg(long, env = "MILLRACE_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// Copies of the log, on as many servers: 1, 3 or 5
    #[arg(long, env = "MILLRACE_NATS_REPLICAS", value_name = "N", default_value_t = 3)]
    pub nats_replicas: usize,
}

impl LogArgs {
    /// How to connect to this cell.
    pub fn options(&self, cell: Cell) -> Result<BusOptions, RunError> {
        if !matches!(self.nats_replicas, 1 | 3 | 5) {
            return Err(RunError::Replicas { asked: self.nats_replicas });
        }
        let with_tls = self.check_addresses()?;
        let tls = match (&self.nats_ca, with_tls) {
            (Some(_), false) => {
                return Err(RunError::Address { why: "--nats-ca is given, but the servers are nats://" });
            }
            (None, false) => None,
            (Some(path), true) => Some(Roots::from_pem(&read("--nats-ca", path)?)?.config()),
            (None, true) => Some(Roots::system()?.config()),
        };
        let user = match &self.nats_credentials {
            Some(path) => user(path)?,
            None => BusUser::Anyone,
        };
        Ok(BusOptions { url: self.nats.clone(), user, tls, cell, replicas: self.nats_replicas })
    }

    /// Whether they speak TLS.
    fn check_addresses(&self) -> Result<bool, RunError> {
        let wrong = |why| RunError::Address { why };
        let mut with_tls = None;
        for address in self.nats.split(',') {
            let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong("an address has no scheme"))?;
            let tls = match scheme {
                "tls" => true,
                "nats" => false,
                _ => return Err(wrong("an address begins neither with tls:// nor with nats://")),
            };
            if rest.contains('@') {
                return Err(wrong("credentials do not belong in an address; give a file with --nats-credentials"));
            }
            let host = host(rest);
            if host.is_empty() {
                return Err(wrong("an address has no host"));
            }
            if !tls && !is_here(host) {
                return Err(wrong("servers on other machines are asked with TLS"));
            }
            if *with_tls.get_or_insert(tls) != tls {
                return Err(wrong("some servers are asked with TLS and some without"));
            }
        }
        Ok(with_tls.unwrap_or(false))
    }
}

/// An IPv6 address stands in brackets.
fn host(rest: &str) -> &str {
    match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, _)) => host,
        None => rest.split_once(':').map_or(rest, |(host, _)| host),
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, RunError> {
    let failed = |source| RunError::File { flag, path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_LIMIT {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it has more than a megabyte")));
    }
    fs::read(path).map_err(failed)
}

fn user(path: &Path) -> Result<BusUser, RunError> {
    let wrong = || RunError::Credentials { path: path.to_owned() };
    let text = String::from_utf8(read("--nats-credentials", path)?).map_err(|_| wrong())?;
    if text.contains("BEGIN NATS USER JWT") {
        return Ok(BusUser::Credentials(text));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(seed), None) if nkeys::KeyPair::from_seed(seed).is_ok() => Ok(BusUser::Nkey(seed.to_owned())),
        (Some(user), Some(password)) => Ok(BusUser::Password { user: user.to_owned(), password: password.to_owned() }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nats: &str) -> LogArgs {
        LogArgs { nats: nats.into(), nats_credentials: None, nats_ca: None, nats_replicas: 3 }
    }

    fn wrong(args: LogArgs) -> String {
        args.options(Cell::try_new("eu1").unwrap()).err().unwrap().to_string()
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, said) in [
            ("n1:4222", "no scheme"),
            ("http://n1", "neither with tls://"),
            ("tls://me:secret@n1", "credentials do not belong"),
            ("tls://", "no host"),
            ("nats://n1:4222", "with TLS"),
            ("tls://n1,nats://127.0.0.1", "some without"),
        ] {
            let error = wrong(args(text));
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
        let plain = args("nats://127.0.0.1:4222,nats://[::1]:4222").options(Cell::try_new("eu1").unwrap()).unwrap();
        assert!(plain.tls.is_none() && plain.replicas == 3);
        assert!(wrong(LogArgs { nats_replicas: 2, ..args("nats://127.0.0.1") }).contains("--nats-replicas is 2"));
        let missing = LogArgs { nats_ca: Some("/nowhere/ca.pem".into()), ..args("tls://n1") };
        assert!(wrong(missing).contains("--nats-ca"));
    }

    #[test]
    fn users_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let given = |text: &str| {
            fs::write(&path, text).unwrap();
            user(&path)
        };
        assert!(
            matches!(given("me\nsecret\n").unwrap(), BusUser::Password { user, password } if user == "me" && password == "secret")
        );
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        assert!(matches!(given(&format!("{seed}\n")).unwrap(), BusUser::Nkey(found) if found == seed));
        assert!(matches!(given("-----BEGIN NATS USER JWT-----\n…").unwrap(), BusUser::Credentials(_)));
        for bad in ["", "me\n", "\n\n"] {
            assert!(given(bad).unwrap_err().to_string().contains("holds no credentials"), "{bad:?}");
        }
        assert_eq!(format!("{:?}", given("me\nsecret\n").unwrap()), "Password(..)");
    }
}
