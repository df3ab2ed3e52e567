//! Why a process does not begin its roles: one sentence that says what to change.

use bus_schema::bus::LeaseError;
use std::{io, path::PathBuf};
use workers::{archive::key::ArchiveKeyError, smtp::RootsError};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "--read-store is missing: several processes share no folder of views; name a cluster, as in \
         scylla://db1,db2,db3/millrace?replication=3"
    )]
    NoReadStore,
    #[error("--shared-dir is missing: processes of the roles api and worker share a folder for files and imports")]
    NoSharedDir,
    #[error(
        "the root key {path} is not there: every process needs the same file of 32 bytes; make it once with `head -c 32 /dev/urandom`, \
         keep a copy elsewhere, and name it with --root-key"
    )]
    NoRootKey { path: PathBuf },
    #[error("--local-archives is for `millrace up`: name providers with --archive")]
    LocalArchives,
    #[error("{name:?} is no name of a tenant: {why}; correct --operator")]
    Operator { name: String, why: String },
    #[error("--nats cannot be used: {why}; it is tls://HOST:4222, several joined by commas")]
    Address { why: &'static str },
    #[error("--nats-replicas is {asked}: an odd number from 1 to 5, and no more than there are servers")]
    Replicas { asked: usize },
    #[error("{path} cannot be read: {source}; check its name and who may read it ({flag})")]
    File { flag: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} holds no credentials: a user in the first line and a password in the second, the seed of an nkey (SU…), or what \
         `nsc generate creds` writes (--nats-credentials)"
    )]
    Credentials { path: PathBuf },
    #[error("--nats-ca: {0}")]
    Roots(#[from] RootsError),
    #[error("whether another process starts at this moment cannot be found out: {0}; are the NATS servers complete?")]
    Lease(#[from] LeaseError),
    #[error("another process has been starting for {seconds} s; look at its log, then start this one again")]
    Crowded { seconds: u64 },
    #[error(transparent)]
    ArchiveKey(#[from] ArchiveKeyError),
}
