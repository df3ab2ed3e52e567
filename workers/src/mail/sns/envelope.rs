//! A message of SNS as JSON, and the text its signature is of.

use serde::Deserialize;
use std::fmt::Write;

/// Characters of an address.
const MAX_URL: usize = 1_000;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Confirmation,
    Notification,
    /// The subscription was ended.
    Ended,
}

/// A message. Unknown fields are passed over: they are not signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    certificate_url: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

/// A message of a known kind, with the parts its kind has.
#[derive(Clone, Debug)]
pub struct Envelope {
    fields: Fields,
    kind: Kind,
    signature: Vec<u8>,
}

/// A region of Amazon, out of an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region<'a> {
    pub name: &'a str,
    /// `aws-cn`: its addresses end in `.cn`.
    china: bool,
}

impl Region<'_> {
    /// The only host that speaks for SNS there.
    pub fn host(&self) -> String {
        format!("sns.{}.amazonaws.com{}", self.name, if self.china { ".cn" } else { "" })
    }
}

impl Envelope {
    pub fn read(body: &[u8]) -> Result<Self, EnvelopeRefused> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let fields: Fields = serde_json::from_slice(body).map_err(|_| EnvelopeRefused::Form)?;
        let kind = match &fields.kind[..] {
            "Notification" => Kind::Notification,
            "SubscriptionConfirmation" => Kind::Confirmation,
            "UnsubscribeConfirmation" => Kind::Ended,
            _ => return Err(EnvelopeRefused::Form),
        };
        if kind != Kind::Notification && (fields.token.is_none() || fields.subscribe_url.is_none()) {
            return Err(EnvelopeRefused::Form);
        }
        if !["1", "2"].contains(&&fields.signature_version[..]) {
            return Err(EnvelopeRefused::Version);
        }
        let signature = STANDARD.decode(&fields.signature).map_err(|_| EnvelopeRefused::Form)?;
        let envelope = Self { fields, kind, signature };
        envelope.region()?;
        Ok(envelope)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn message_id(&self) -> &str {
        &self.fields.message_id
    }

    pub fn topic(&self) -> &str {
        &self.fields.topic_arn
    }

    pub fn message(&self) -> &str {
        &self.fields.message
    }

    pub fn timestamp(&self) -> &str {
        &self.fields.timestamp
    }

    pub fn is_sha1(&self) -> bool {
        self.fields.signature_version == "1"
    }

    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Of its topic: `arn:aws:sns:eu-west-1:123456789012:name`.
    pub fn region(&self) -> Result<Region<'_>, EnvelopeRefused> {
        let mut parts = self.fields.topic_arn.split(':');
        let (arn, partition, service) = (parts.next(), parts.next().unwrap_or_default(), parts.next());
        let name = parts.next().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let known = arn == Some("arn") && service == Some("sns") && partition.starts_with("aws");
        if !known || name.is_empty() || name.len() > 30 || !name.bytes().all(plain) {
            return Err(EnvelopeRefused::Form);
        }
        Ok(Region { name, china: partition == "aws-cn" })
    }

    /// The path of its certificate at the host of its region.
    pub fn certificate_path(&self) -> Result<String, EnvelopeRefused> {
        let path = self.path_of(&self.fields.certificate_url)?;
        let hex = path.strip_prefix("/SimpleNotificationService-").and_then(|name| name.strip_suffix(".pem"));
        let plain = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex.is_some_and(plain) { Ok(path.to_owned()) } else { Err(EnvelopeRefused::CertificateUrl) }
    }

    /// Where a subscription is confirmed: the host of its region, and path and query there.
    pub fn subscribe_url(&self) -> Result<(String, String), EnvelopeRefused> {
        let url = self.fields.subscribe_url.as_deref().unwrap_or_default();
        let path = self.path_of(url).map_err(|_| EnvelopeRefused::SubscribeUrl)?;
        if !path.starts_with("/?") {
            return Err(EnvelopeRefused::SubscribeUrl);
        }
        Ok((self.region()?.host(), path.to_owned()))
    }

    /// What follows the one host that is allowed; no port, no user, nothing but a path.
    fn path_of<'a>(&self, url: &'a str) -> Result<&'a str, EnvelopeRefused> {
        let begin = format!("https://{}", self.region()?.host());
        let path = url.strip_prefix(&begin).filter(|path| path.starts_with('/') && url.len() <= MAX_URL);
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#';
        path.filter(|path| path.bytes().all(plain)).ok_or(EnvelopeRefused::CertificateUrl)
    }

    /// What is signed: the fields of its kind by name, each name and value with a line feed behind it.
    pub fn signed_text(&self) -> String {
        let fields = &self.fields;
        let (subject, subscribe, token) = (&fields.subject, &fields.subscribe_url, &fields.token);
        let confirmation = self.kind != Kind::Notification;
        let some = |value: &'_ Option<String>, wanted: bool| value.clone().filter(|_| wanted);
        let parts = [
            ("Message", Some(fields.message.clone())),
            ("MessageId", Some(fields.message_id.clone())),
            ("Subject", some(subject, !confirmation)),
            ("SubscribeURL", some(subscribe, confirmation)),
            ("Timestamp", Some(fields.timestamp.clone())),
            ("Token", some(token, confirmation)),
            ("TopicArn", Some(fields.topic_arn.clone())),
            ("Type", Some(fields.kind.clone())),
        ];
        let mut text = String::new();
        for (name, value) in parts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            // Writing into a text cannot fail.
            _ = write!(text, "{name}\n{value}\n");
        }
        text
    }
}

/// Why it is no message of SNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeRefused {
    #[error("it is not a message of SNS with all its parts")]
    Form,
    #[error("its signature is of an unknown version")]
    Version,
    #[error(
        "its certificate is not at https://sns.<region of the topic>.amazonaws.com/SimpleNotificationService-<hex>.pem"
    )]
    CertificateUrl,
    #[error("its subscription is not confirmed at the address of SNS in the region of the topic")]
    SubscribeUrl,
}
