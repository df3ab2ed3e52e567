//! A bucket of an S3-compatible provider; the only file that names this SDK.
//!
//! - Path style and an explicit endpoint, so any S3-compatible server will do.
//! - The SDK never retries: whether a lost answer may be asked for again is the caller's decision
//!   ([`ObjectError::Unknown`]), and a retry inside the SDK would turn "created" into "already there".
//! - Each write carries its CRC32C, so a provider that received other bytes refuses them.
//! - A whole call, its body included, ends within [`S3Options::timeout`].

use crate::{
    archive::object_store::{
        Doing, Listed, Listing, MAX_LISTING, Object, ObjectError, ObjectStorePort, Put, Replace, Tag, checked,
    },
    backend::aws,
};
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use std::{fmt, future::Future, ops::Range, sync::Arc, time::Duration};
use zeroize::Zeroizing;

const CONNECT: Duration = Duration::from_secs(3);
/// Of a provider's own words in an error.
const MAX_ANSWER: usize = 300;

/// Where a bucket is and who we are there.
#[derive(Clone)]
pub struct S3Options {
    /// The provider's name, as an operator calls it.
    pub provider: String,
    /// `https://host[:port]`, or `http://` on a loopback address.
    pub endpoint: String,
    pub bucket: String,
    /// Before every key, without a slash at its end; empty for none.
    pub prefix: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: Zeroizing<String>,
    /// Certificates in PEM to trust instead of the system's.
    pub trusted: Option<Vec<u8>>,
    /// How long one call may take until its outcome is unknown.
    pub timeout: Duration,
}

impl S3Options {
    /// From `https://host[:port]/bucket[/prefix]`.
    pub fn parse(provider: &str, url: &str, access_key: &str, secret_key: &str) -> Result<Self, InvalidS3Url> {
        let invalid = || InvalidS3Url { url: url.chars().take(200).collect() };
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let (host, path) = rest.split_once('/').ok_or_else(invalid)?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
        let valid = ["http", "https"].contains(&scheme)
            && !host.is_empty()
            && host.bytes().all(plain)
            && checked(bucket).is_ok()
            && (prefix.is_empty() || checked(prefix).is_ok());
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let loopback = ["localhost", "[::1]"].contains(&name) || name.starts_with("127.");
        if !valid || (scheme == "http" && !loopback) {
            return Err(invalid());
        }
        Ok(Self {
            provider: provider.to_owned(),
            endpoint: format!("{scheme}://{host}"),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: "us-east-1".to_owned(),
            access_key: access_key.to_owned(),
            secret_key: Zeroizing::new(secret_key.to_owned()),
            trusted: None,
            timeout: Duration::from_secs(15),
        })
    }
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Options({}: {}/{})", self.provider, self.endpoint, self.bucket)
    }
}

/// A bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Objects {
    client: Client,
    options: Arc<S3Options>,
}

impl S3Objects {
    /// Nothing is sent before the first call.
    pub fn try_new(options: S3Options) -> Result<Self, TlsSetup> {
        let http = aws::https(options.trusted.as_deref());
        let http = http.map_err(|why| TlsSetup { provider: options.provider.clone(), why })?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(options.timeout).build();
        let credentials =
            Credentials::new(options.access_key.clone(), options.secret_key.to_string(), None, None, "millrace");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(&options.endpoint)
            .region(Region::new(options.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Self { client: Client::from_conf(config), options: Arc::new(options) })
    }

    pub(crate) fn provider(&self) -> &str {
        &self.options.provider
    }

    /// Makes the bucket unless it is there. For local providers and tests; a real provider's bucket is made by hand, with
    /// its lifecycle, lock and region.
    pub async fn ensure_bucket(&self) -> Result<(), ObjectError> {
        let doing = Doing("make the bucket", &self.options.bucket);
        match self.bounded(doing, self.client.create_bucket().bucket(&self.options.bucket).send()).await? {
            Ok(_) => Ok(()),
            Err(error) if ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"].contains(&error.code().unwrap_or("")) => {
                Ok(())
            }
            Err(error) => Err(self.failed(doing, &error)),
        }
    }

    fn place(&self, key: &str) -> String {
        if self.options.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.options.prefix) }
    }

    /// Ends a call that takes too long; the SDK's own bound does not cover a body. The SDK's futures are large, so they are
    /// not kept on the stack of whoever waits.
    async fn bounded<T>(&self, doing: Doing<'_>, call: impl Future<Output = T>) -> Result<T, ObjectError> {
        let timeout = self.options.timeout;
        tokio::time::timeout(timeout, Box::pin(call))
            .await
            .map_err(|_| self.unknown(doing, format!("no answer within {} s", timeout.as_secs_f32())))
    }

    fn unknown(&self, doing: Doing<'_>, why: String) -> ObjectError {
        ObjectError::Unknown { provider: self.options.provider.clone(), doing: doing.to_string(), why }
    }

    /// What an error of the SDK means. Only an answer of the provider can say that nothing happened.
    fn failed<E>(&self, doing: Doing<'_>, error: &SdkError<E>) -> ObjectError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let provider = self.options.provider.clone();
        let Some(status) = status(error) else {
            // Each layer in its words; the SDK's own display adds all of them once more for programmers.
            let chain =
                std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
            let why = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            return self.unknown(doing, why.chars().take(MAX_ANSWER).collect());
        };
        let code = error.code().unwrap_or("no code").to_owned();
        let answer: String = error.message().unwrap_or("no words").chars().take(MAX_ANSWER).collect();
        match (status, code.as_str()) {
            (404, "NoSuchKey" | "NotFound") => ObjectError::NotFound { provider, key: doing.1.to_owned() },
            (409, _) => ObjectError::Conflict { provider, doing: doing.to_string() },
            // Asked to come again later, in several dialects; a wrong clock and a torn body are of the same kind.
            (408 | 429, _) | (_, "RequestTimeout" | "SlowDown" | "IncompleteBody" | "BadDigest") => {
                self.unknown(doing, format!("{status} {code}: {answer}"))
            }
            (400..=499 | 300..=399 | 501, _) => {
                ObjectError::Refused { provider, doing: doing.to_string(), status, code, answer }
            }
            _ => self.unknown(doing, format!("{status} {code}: {answer}")),
        }
    }

    async fn body(&self, doing: Doing<'_>, output: GetObjectOutput, limit: u64) -> Result<Bytes, ObjectError> {
        let too_large = |length| ObjectError::TooLarge {
            provider: self.options.provider.clone(),
            key: doing.1.to_owned(),
            length,
            limit,
        };
        let declared = output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if declared > limit {
            return Err(too_large(declared));
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(declared).unwrap_or(0));
        let mut body = output.body;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.unknown(doing, error.to_string()))?;
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(too_large((bytes.len() + piece.len()) as u64));
            }
            bytes.extend_from_slice(&piece);
        }
        if (bytes.len() as u64) < declared {
            return Err(self.unknown(doing, format!("only {} of {declared} bytes came", bytes.len())));
        }
        Ok(bytes.freeze())
    }

    /// Reads a body as part of a bounded call.
    async fn fetch(&self, doing: Doing<'_>, range: Option<String>, limit: u64) -> Result<Object, ObjectError> {
        let call = self.client.get_object().bucket(&self.options.bucket).key(self.place(doing.1)).set_range(range);
        let read = async {
            let output = call.send().await.map_err(|error| match status(&error) {
                // Behind the end of the object.
                Some(416) => ObjectError::NotFound { provider: self.options.provider.clone(), key: doing.1.to_owned() },
                _ => self.failed(doing, &error),
            })?;
            let tag = Tag(output.e_tag().unwrap_or_default().to_owned());
            Ok(Object { bytes: self.body(doing, output, limit).await?, tag })
        };
        self.bounded(doing, read).await?
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The value of `x-amz-checksum-crc32c`.
fn checksum(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl ObjectStorePort for S3Objects {
    async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectError> {
        checked(key)?;
        let doing = Doing("put", key);
        let put = self.client.put_object().bucket(&self.options.bucket).key(self.place(key)).if_none_match("*");
        let put = put.checksum_crc32_c(checksum(&bytes)).body(ByteStream::from(bytes));
        match self.bounded(doing, put.send()).await? {
            Ok(output) => Ok(Put::Created(Tag(output.e_tag().unwrap_or_default().to_owned()))),
            Err(error) if status(&error) == Some(412) => Ok(Put::AlreadyThere),
            Err(error) => Err(self.failed(doing, &error)),
        }
    }

    async fn replace(&self, key: &str, bytes: Bytes, expected: &Tag) -> Result<Replace, ObjectError> {
        checked(key)?;
        let doing = Doing("replace", key);
        let put = self.client.put_object().bucket(&self.options.bucket).key(self.place(key)).if_match(&expected.0);
        let put = put.checksum_crc32_c(checksum(&bytes)).body(ByteStream::from(bytes));
        match self.bounded(doing, put.send()).await? {
            Ok(output) => Ok(Replace::Replaced(Tag(output.e_tag().unwrap_or_default().to_owned()))),
            Err(error) if matches!(status(&error), Some(412)) => Ok(Replace::Changed),
            Err(error) => match self.failed(doing, &error) {
                ObjectError::NotFound { .. } => Ok(Replace::Changed),
                failed => Err(failed),
            },
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Object, ObjectError> {
        checked(key)?;
        self.fetch(Doing("get", key), None, limit as u64).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        checked(key)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = format!("bytes={}-{}", range.start, range.end - 1);
        let object = self.fetch(Doing("get", key), Some(wanted), range.end - range.start).await?;
        Ok(object.bytes)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let doing = Doing("list", prefix);
        let limit = i32::try_from(limit.clamp(1, MAX_LISTING)).unwrap_or(1);
        // A prefix may end with a slash, unlike a key.
        let own = if self.options.prefix.is_empty() { String::new() } else { format!("{}/", self.options.prefix) };
        let list = self.client.list_objects_v2().bucket(&self.options.bucket).prefix(format!("{own}{prefix}"));
        let list = list.max_keys(limit).set_start_after(after.map(|after| format!("{own}{after}")));
        let output = match self.bounded(doing, list.send()).await? {
            Ok(output) => output,
            Err(error) => return Err(self.failed(doing, &error)),
        };
        let listed = |object: &aws_sdk_s3::types::Object| {
            let key = object.key()?.strip_prefix(&own)?.to_owned();
            let length = u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
            Some(Listed { key, length })
        };
        let objects = output.contents().iter().filter_map(listed).collect();
        Ok(Listing { objects, more: output.is_truncated().unwrap_or(false) })
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{url:?} does not name a bucket: use https://host[:port]/bucket[/prefix] (http:// only on a loopback address, \
     because keys and data would travel readable)"
)]
pub struct InvalidS3Url {
    url: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the certificates to trust for the provider {provider} cannot be used: {why}")]
pub struct TlsSetup {
    provider: String,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_bucket_and_prefix() {
        let options = S3Options::parse("north", "https://s3.example.org:9000/archive/prod/", "id", "geheim").unwrap();
        assert_eq!(options.endpoint, "https://s3.example.org:9000");
        assert_eq!((options.bucket.as_str(), options.prefix.as_str()), ("archive", "prod"));
        assert!(!format!("{options:?}").contains("geheim"));
        assert!(S3Options::parse("a", "http://127.0.0.1:1/b", "", "").is_ok());
        for bad in ["", "s3://b", "https://host", "https:///b", "http://example.org/b", "https://h/../x", "ftp://h/b"] {
            assert!(S3Options::parse("a", bad, "", "").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn checksums_are_as_s3_wants_them() {
        // RFC 3720, B.4: CRC32C of "123456789" is 0xE3069283.
        assert_eq!(checksum(b"123456789"), BASE64_STANDARD.encode([0xe3, 0x06, 0x92, 0x83]));
    }
}
