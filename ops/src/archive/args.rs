//! The providers of an installation, from flags and the environment.

use super::address::{InvalidAddress, ProviderAddress};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};
use workers::archive::{
    ObjectStore,
    backend::s3::{InvalidS3Url, S3Objects, S3Options, TlsSetup},
};
use zeroize::Zeroizing;

/// Bytes of a file of credentials or certificates.
const FILE_LIMIT: u64 = 1 << 20;
/// Every provider costs two archivers.
const MAX_PROVIDERS: usize = 4;

/// Where the log is copied to, all the time. Without a provider it exists once.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Archive of the log")]
pub struct ArchiveArgs {
    /// A provider of S3 that holds a copy: NAME=s3://BUCKET[/PREFIX]?endpoint=https://HOST&region=REGION. Once for each
    /// provider, two of them in different hands; separated by commas in the variable
    #[arg(long, env = "MILLRACE_ARCHIVE", value_name = "NAME=URL", value_delimiter = ',')]
    pub archive: Vec<String>,
    /// A file with the access key in its first line and the secret key in its second, for the provider of this name
    #[arg(long, env = "MILLRACE_ARCHIVE_CREDENTIALS", value_name = "NAME=FILE", value_delimiter = ',')]
    pub archive_credentials: Vec<String>,
    /// Certificates to believe instead of the system's (PEM), for the provider of this name
    #[arg(long, env = "MILLRACE_ARCHIVE_CA", value_name = "NAME=FILE", value_delimiter = ',')]
    pub archive_ca: Vec<String>,
    /// The key that the archive is encrypted and signed with; made when it does not exist [default: keys/archive.key of
    /// the data directory]
    #[arg(long, env = "MILLRACE_ARCHIVE_KEY", value_name = "FILE")]
    pub archive_key: Option<PathBuf>,
    /// Start two S3 servers on this machine, below the data directory, and archive to both as providers `a` and `b`. To
    /// see how it works; they protect from nothing that takes this machine
    #[arg(long, env = "MILLRACE_LOCAL_ARCHIVES")]
    pub local_archives: bool,
}

/// A provider that is named on the command line, ready to be asked.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub store: ObjectStore,
}

impl ArchiveArgs {
    /// The providers that are named, in order. Nothing is sent to them yet.
    pub fn providers(&self) -> Result<Vec<Named>, ArchiveArgsError> {
        let addresses: Vec<ProviderAddress> =
            self.archive.iter().map(|text| ProviderAddress::parse_named(text)).collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        let reserved = if self.local_archives { &["a", "b"][..] } else { &[] };
        for name in reserved.iter().copied().chain(addresses.iter().map(|address| address.name.as_str())) {
            if !names.insert(name) {
                return Err(ArchiveArgsError::Twice { name: name.to_owned() });
            }
        }
        if names.len() > MAX_PROVIDERS {
            return Err(ArchiveArgsError::TooMany);
        }
        let (credential_files, ca_files) =
            (files("--archive-credentials", &self.archive_credentials)?, files("--archive-ca", &self.archive_ca)?);
        for (flag, given) in [("--archive-credentials", &credential_files), ("--archive-ca", &ca_files)] {
            if let Some((name, _)) = given.iter().find(|(name, _)| !addresses.iter().any(|known| known.name == *name)) {
                return Err(ArchiveArgsError::Nobody { flag, name: (*name).to_owned() });
            }
        }
        let of = |files: &[(&str, &str)], name: &str| {
            files.iter().find(|(known, _)| *known == name).map(|(_, path)| PathBuf::from(path))
        };
        addresses
            .iter()
            .map(|address| {
                let path = of(&credential_files, &address.name)
                    .ok_or_else(|| ArchiveArgsError::NoCredentials { name: address.name.clone() })?;
                open_store(address, &path, of(&ca_files, &address.name).as_deref())
            })
            .collect()
    }
}

/// A provider by its address and its files.
pub fn open_store(
    address: &ProviderAddress,
    credentials_file: &Path,
    ca: Option<&Path>,
) -> Result<Named, ArchiveArgsError> {
    let (access, secret) = credentials(credentials_file)?;
    let mut options = S3Options::parse(&address.name, &address.url, &access, &secret)?;
    options.region = address.region.clone();
    options.trusted = ca.map(read).transpose()?;
    Ok(Named { name: address.name.clone(), store: ObjectStore::s3(S3Objects::try_new(options)?) })
}

fn files<'a>(flag: &'static str, given: &'a [String]) -> Result<Vec<(&'a str, &'a str)>, ArchiveArgsError> {
    let unnamed = |text: &String| ArchiveArgsError::Unnamed { flag, text: text.clone() };
    given.iter().map(|text| text.split_once('=').ok_or_else(|| unnamed(text))).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, ArchiveArgsError> {
    let failed = |source| ArchiveArgsError::File { path: path.display().to_string(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_LIMIT {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than a megabyte")));
    }
    fs::read(path).map_err(failed)
}

/// The access key and the secret key; neither is ever shown.
pub fn credentials(path: &Path) -> Result<(String, Zeroizing<String>), ArchiveArgsError> {
    let text = Zeroizing::new(String::from_utf8(read(path)?).unwrap_or_default());
    let mut lines = text.lines().map(str::trim);
    match (lines.next().filter(|line| !line.is_empty()), lines.next().filter(|line| !line.is_empty())) {
        (Some(access), Some(secret)) => Ok((access.to_owned(), Zeroizing::new(secret.to_owned()))),
        _ => Err(ArchiveArgsError::Credentials { path: path.display().to_string() }),
    }
}

/// Why the providers cannot be used: one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveArgsError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error(transparent)]
    Url(#[from] InvalidS3Url),
    #[error(transparent)]
    Tls(#[from] TlsSetup),
    #[error("two providers are called {name}; give each a name of its own (--local-archives takes `a` and `b`)")]
    Twice { name: String },
    #[error("more than {MAX_PROVIDERS} providers are named; two in different hands are what protects")]
    TooMany,
    #[error("the provider {name} has no credentials; give them with --archive-credentials {name}=FILE")]
    NoCredentials { name: String },
    #[error("{flag} names the provider {name}, and no --archive does")]
    Nobody { flag: &'static str, name: String },
    #[error("{flag} {text}: the provider's name is missing; write NAME=FILE")]
    Unnamed { flag: &'static str, text: String },
    #[error("{path} cannot be read: {source}; check its name and who may read it")]
    File { path: String, source: io::Error },
    #[error("{path} holds no credentials: the first line is the access key, the second the secret key")]
    Credentials { path: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(folder: &Path) -> ArchiveArgs {
        let path = folder.join("credentials");
        fs::write(&path, "access\nsecret\n").unwrap();
        let credentials = |name: &str| format!("{name}={}", path.display());
        ArchiveArgs {
            archive: vec!["north=https://n.example/archive".into(), "south=s3://arch?region=eu-west-3".into()],
            archive_credentials: vec![credentials("north"), credentials("south")],
            ..ArchiveArgs::default()
        }
    }

    #[test]
    fn providers_are_named_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let providers = args(folder.path()).providers().unwrap();
        assert_eq!(providers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["north", "south"]);
        assert!(ArchiveArgs::default().providers().unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = |change: &dyn Fn(&mut ArchiveArgs)| {
            let mut args = args(folder.path());
            change(&mut args);
            args.providers().unwrap_err().to_string()
        };
        assert!(wrong(&|args| args.archive[1] = args.archive[0].clone()).contains("called north"));
        assert!(
            wrong(&|args| args.archive.push("a=https://x.example/b".into())).contains("--archive-credentials a=FILE")
        );
        assert!(wrong(&|args| args.archive_credentials.push("west=x".into())).contains("names the provider west"));
        assert!(wrong(&|args| args.archive_ca.push("x.pem".into())).contains("NAME=FILE"));
        let local = |args: &mut ArchiveArgs| {
            args.local_archives = true;
            args.archive[0] = "a=https://x.example/b".into();
        };
        assert!(wrong(&local).contains("called a"));
        let path = folder.path().join("empty");
        fs::write(&path, "access\n").unwrap();
        let empty = format!("north={}", path.display());
        assert!(wrong(&|args| args.archive_credentials[0] = empty.clone()).contains("the second the secret key"));
        assert!(wrong(&|args| args.archive[0] = "north=http://n.example/archive".into()).contains("loopback"));
    }
}
