//! The object store: where a provider keeps the archive.
//!
//! [`ObjectStorePort`] is the contract; the tests check it over every backend. [`ObjectStore`] is what code passes around.
//!
//! The archive stands on two promises of a provider: a conditional put has one winner, and an object that was
//! acknowledged can be read at once by everybody. A provider without them may hold copies of files, not an archive.

use super::{
    backend::{memory::MemoryObjects, s3::S3Objects},
    faults::{Calls, Faults},
};
use bytes::Bytes;
use std::{fmt, future::Future, ops::Range, time::Duration};

/// The longest key, in bytes (the bound of S3).
pub const MAX_KEY: usize = 1_024;
/// The largest object this project writes or reads whole, in bytes.
pub const MAX_OBJECT: usize = 64 << 20;
/// Keys of one listing.
pub const MAX_LISTING: usize = 1_000;

/// The contract of an object store.
///
/// **Keys** are 1 to [`MAX_KEY`] bytes of `A-Z a-z 0-9 - _ . /`. A listing goes by their bytes.
///
/// **Conditional writes.** Of several `put_new` of one key exactly one creates it; of several `replace` against one tag
/// exactly one replaces. No other write exists, so nothing is ever overwritten unseen.
///
/// **Every call ends** by itself within a bounded time.
///
/// **Unknown is not failed.** After [`ObjectError::Unknown`] the write may have happened, or may still happen. The same call
/// with the same bytes is the right answer: `put_new` then says [`Put::AlreadyThere`], and reading tells whose it is.
pub trait ObjectStorePort {
    /// Creates an object unless its key exists (S3: `If-None-Match: *`).
    fn put_new(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<Put, ObjectError>> + Send;

    /// Replaces an object that is still the one with this tag (S3: `If-Match`).
    fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        expected: &Tag,
    ) -> impl Future<Output = Result<Replace, ObjectError>> + Send;

    /// An object of at most `limit` bytes; [`ObjectError::TooLarge`] before a larger one is taken into memory.
    fn get(&self, key: &str, limit: usize) -> impl Future<Output = Result<Object, ObjectError>> + Send;

    /// Bytes of an object. Shorter than asked for when the object ends before; [`ObjectError::NotFound`] when it begins
    /// after its end.
    fn get_range(&self, key: &str, range: Range<u64>) -> impl Future<Output = Result<Bytes, ObjectError>> + Send;

    /// Up to `limit` (at most [`MAX_LISTING`]) objects whose keys start with `prefix` and come after `after`, in order.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Listing, ObjectError>> + Send;
}

/// What became of a `put_new`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    Created(Tag),
    AlreadyThere,
}

/// What became of a `replace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replace {
    Replaced(Tag),
    /// The object has another tag, or does not exist.
    Changed,
}

/// The provider's name of one state of an object (its ETag). Compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub(super) String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: Bytes,
    pub tag: Tag,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// Bytes.
    pub length: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub objects: Vec<Listed>,
    /// Whether more follow after the last of them.
    pub more: bool,
}

/// Where the objects are.
#[derive(Clone, Debug)]
enum Backend {
    Memory(MemoryObjects),
    S3(S3Objects),
}

/// Calls the same method of whatever backend this is.
macro_rules! delegate {
    ($self:ident.$method:ident($($arg:expr),*)) => {
        match $self {
            Backend::Memory(store) => store.$method($($arg),*).await,
            Backend::S3(store) => store.$method($($arg),*).await,
        }
    };
}

impl ObjectStorePort for Backend {
    async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectError> {
        delegate!(self.put_new(key, bytes))
    }

    async fn replace(&self, key: &str, bytes: Bytes, expected: &Tag) -> Result<Replace, ObjectError> {
        delegate!(self.replace(key, bytes, expected))
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Object, ObjectError> {
        delegate!(self.get(key, limit))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        delegate!(self.get_range(key, range))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        delegate!(self.list(prefix, after, limit))
    }
}

/// An object store of any backend; cheap to clone.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    backend: Backend,
    faults: Option<Faults>,
    patience: Duration,
}

/// How long any call may take, whatever the backend does.
const PATIENCE: Duration = Duration::from_secs(30);

impl ObjectStore {
    /// Objects in memory, for tests.
    pub fn memory(objects: MemoryObjects) -> Self {
        Self { backend: Backend::Memory(objects), faults: None, patience: PATIENCE }
    }

    /// A bucket of an S3-compatible provider.
    pub fn s3(objects: S3Objects) -> Self {
        Self { backend: Backend::S3(objects), faults: None, patience: PATIENCE }
    }

    /// The same objects behind faults, for tests and drills.
    pub fn with_faults(&self, faults: Faults) -> Self {
        Self { faults: Some(faults), ..self.clone() }
    }

    /// The same objects; a call that takes longer than this has an unknown outcome.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The provider's name, as an operator calls it.
    pub fn provider(&self) -> &str {
        match &self.backend {
            Backend::Memory(store) => store.provider(),
            Backend::S3(store) => store.provider(),
        }
    }

    /// Whether the provider answers and lets us in. Its error says which provider and what it answered.
    pub async fn check(&self) -> Result<(), ObjectError> {
        self.list("", None, 1).await.map(|_| ())
    }

    async fn call<T>(
        &self,
        calls: Calls,
        doing: Doing<'_>,
        call: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        // In the heap: what waits here is deep inside other futures.
        let call = Box::pin(call);
        let answer = async {
            match &self.faults {
                None => call.await,
                Some(faults) => faults.through(calls, self.provider(), &doing.to_string(), call).await,
            }
        };
        tokio::time::timeout(self.patience, answer).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", self.patience.as_secs_f32());
            Err(ObjectError::Unknown { provider: self.provider().to_owned(), doing: doing.to_string(), why })
        })
    }
}

impl ObjectStorePort for ObjectStore {
    async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectError> {
        self.call(Calls::Writes, Doing("put", key), self.backend.put_new(key, bytes)).await
    }

    async fn replace(&self, key: &str, bytes: Bytes, expected: &Tag) -> Result<Replace, ObjectError> {
        self.call(Calls::Writes, Doing("replace", key), self.backend.replace(key, bytes, expected)).await
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Object, ObjectError> {
        self.call(Calls::Reads, Doing("get", key), self.backend.get(key, limit)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        self.call(Calls::Reads, Doing("get", key), self.backend.get_range(key, range)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        self.call(Calls::Reads, Doing("list", prefix), self.backend.list(prefix, after, limit)).await
    }
}

/// What can go wrong at a provider. The variants differ in what the caller may do next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectError {
    /// The provider does not let us: wrong credentials, no permission, no such bucket. A person must change something.
    #[error(
        "the provider {provider} refused to {doing} ({status} {code}: {answer}); check its address, bucket, keys and the \
         rights of these keys"
    )]
    Refused { provider: String, doing: String, status: u16, code: String, answer: String },
    /// Another write of the same key was under way (409). Nothing was stored; try again.
    #[error("the provider {provider} could not {doing} beside another write of it; it is tried again")]
    Conflict { provider: String, doing: String },
    /// No answer, or one that does not tell (timeout, 5xx, lost connection): it may have happened.
    #[error("the provider {provider} gave no clear answer to {doing}: {why}")]
    Unknown { provider: String, doing: String, why: String },
    #[error("the provider {provider} has no object {key}")]
    NotFound { provider: String, key: String },
    #[error("the object {key} at the provider {provider} has {length} bytes, more than the {limit} it may have")]
    TooLarge { provider: String, key: String, length: u64, limit: u64 },
    /// Our own mistake.
    #[error("{key:?} is no key of an object: use 1 to {MAX_KEY} characters of A-Z a-z 0-9 - _ . and /")]
    InvalidKey { key: String },
}

impl ObjectError {
    /// Whether the same call can succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unknown { .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// What was being done, for messages: `put eu1/EV_eu1/seg/…`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a>(pub(super) &'static str, pub(super) &'a str);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_empty() { f.write_str(self.0) } else { write!(f, "{} {}", self.0, self.1) }
    }
}

/// Refuses keys that a provider could take for something else.
pub(super) fn checked(key: &str) -> Result<(), ObjectError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let whole = !key.is_empty() && key.len() <= MAX_KEY && key.bytes().all(allowed);
    let plain = key.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if whole && plain { Ok(()) } else { Err(ObjectError::InvalidKey { key: key.chars().take(120).collect() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_paths() {
        for good in ["a", "eu1/EV_eu1/seg/00000001/00000000000000000001-00000000000000000009"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        let long = "x".repeat(MAX_KEY + 1);
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", "a?b", long.as_str()] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_says_who_and_what_to_do() {
        let refused = ObjectError::Refused {
            provider: "north".into(),
            doing: Doing("list", "eu1/").to_string(),
            status: 403,
            code: "InvalidAccessKeyId".into(),
            answer: "no such key".into(),
        };
        let text = refused.to_string();
        assert!(text.contains("north") && text.contains("403 InvalidAccessKeyId: no such key"), "{text}");
        assert!(!refused.is_transient());
    }
}
