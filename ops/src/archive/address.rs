//! How a provider is named on the command line.
//!
//! ```text
//! [NAME=]s3://bucket[/prefix]?endpoint=https://host[:port]&region=eu-central-1
//! [NAME=]s3://bucket[/prefix]?region=eu-central-1                  Amazon's own endpoint of that region
//! [NAME=]https://host[:port]/bucket[/prefix][?region=eu-central-1]
//! ```

use reqwest::Url;

/// The longest name of a provider; it stands in file names and metrics.
const MAX_NAME: usize = 32;
/// What S3-compatible servers take when they know no regions.
const USUAL_REGION: &str = "us-east-1";

/// A bucket, or a part of one, at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAddress {
    pub name: String,
    /// `https://host[:port]/bucket[/prefix]`
    pub url: String,
    pub region: String,
}

impl ProviderAddress {
    /// With its name: `NAME=URL`.
    pub fn parse_named(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why| InvalidAddress { text: shown(text), why };
        let (name, url) = split(text).ok_or_else(|| invalid("it has no name; write NAME=URL"))?;
        Self::of(name, url, text)
    }

    /// With or without a name; without one its host is its name.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        match split(text) {
            Some((name, url)) => Self::of(name, url, text),
            None => {
                let mut address = Self::of("provider", text, text)?;
                let host = Url::parse(&address.url).ok().and_then(|url| {
                    let port = url.port().map_or_else(String::new, |port| format!("-{port}"));
                    Some(format!("{}{port}", url.host_str()?.replace('.', "-")))
                });
                address.name = host.unwrap_or_default().chars().take(MAX_NAME).collect();
                Ok(address)
            }
        }
    }

    fn of(name: &str, url: &str, text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why| InvalidAddress { text: shown(text), why };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return Err(invalid("a name has 1 to 32 characters of a-z, 0-9 and -"));
        }
        let parsed = Url::parse(url).map_err(|_| invalid("it is no URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(invalid("credentials do not belong in an address; give a file with them"));
        }
        let (mut endpoint, mut region) = (None, None);
        for (key, value) in parsed.query_pairs() {
            match key.as_ref() {
                "endpoint" => endpoint = Some(value.into_owned()),
                "region" => region = Some(value.into_owned()),
                _ => return Err(invalid("only endpoint and region may stand behind the question mark")),
            }
        }
        let region_given = region.is_some();
        let region = region.unwrap_or_else(|| USUAL_REGION.to_owned());
        if region.is_empty() || region.len() > 64 || !region.bytes().all(plain) {
            return Err(invalid("the region is none"));
        }
        let path = parsed.path().trim_matches('/');
        let url = match (parsed.scheme(), endpoint) {
            ("s3", endpoint) => {
                let bucket = parsed.host_str().ok_or_else(|| invalid("it names no bucket"))?;
                let endpoint = match endpoint {
                    Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
                    None if region_given => format!("https://s3.{region}.amazonaws.com"),
                    None => return Err(invalid("it needs endpoint=… or region=… behind a question mark")),
                };
                if path.is_empty() { format!("{endpoint}/{bucket}") } else { format!("{endpoint}/{bucket}/{path}") }
            }
            ("http" | "https", None) => {
                let host = parsed.host_str().ok_or_else(|| invalid("it names no host"))?;
                let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
                if path.is_empty() {
                    return Err(invalid("it names no bucket"));
                }
                format!("{}://{host}{port}/{path}", parsed.scheme())
            }
            _ => return Err(invalid("it begins with neither s3:// nor https://")),
        };
        Ok(Self { name: name.to_owned(), url, region })
    }
}

/// The name before the first equals sign, unless that one belongs to the query of a URL without a name.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.contains("://"))
}

fn shown(text: &str) -> String {
    // Whoever wrote a password into it does not want it in a log.
    let text =
        text.split_once("://").and_then(|(scheme, rest)| Some(format!("{scheme}://…@{}", rest.rsplit_once('@')?.1)));
    text.unwrap_or_default().chars().take(200).collect()
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is no provider's address: {why}. Example: a=s3://archive/prod?endpoint=https://s3.example.com&region=eu-central-1"
)]
pub struct InvalidAddress {
    text: String,
    why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, String) {
        let address = ProviderAddress::parse(text).unwrap_or_else(|error| panic!("{error}"));
        (address.name, address.url, address.region)
    }

    fn same(text: &str, name: &str, url: &str, region: &str) {
        assert_eq!(parsed(text), (name.into(), url.into(), region.into()), "{text}");
    }

    #[test]
    fn both_forms_mean_the_same() {
        let host = "https://s3.example.com:9000";
        let full = format!("a=s3://archive/prod/eu?endpoint={host}&region=eu-central-1");
        same(&full, "a", "https://s3.example.com:9000/archive/prod/eu", "eu-central-1");
        same(&format!("a={host}/archive/prod?region=fr"), "a", "https://s3.example.com:9000/archive/prod", "fr");
        same("b=http://127.0.0.1:8333/archive", "b", "http://127.0.0.1:8333/archive", "us-east-1");
        same("aws=s3://archive?region=eu-west-3", "aws", "https://s3.eu-west-3.amazonaws.com/archive", "eu-west-3");
        same("http://127.0.0.1:8333/archive?region=x", "127-0-0-1-8333", "http://127.0.0.1:8333/archive", "x");
        same("s3://b?endpoint=https%3A%2F%2Fh.example", "h-example", "https://h.example/b", "us-east-1");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let wrong = |text: &str| ProviderAddress::parse_named(text).unwrap_err().to_string();
        assert!(wrong("https://h.example/b").contains("NAME=URL"));
        assert!(wrong("A=https://h.example/b").contains("1 to 32"));
        assert!(wrong("a=https://h.example").contains("names no bucket"));
        assert!(wrong("a=s3://bucket").contains("needs endpoint"));
        assert!(wrong("a=ftp://h/b").contains("neither s3:// nor https://"));
        assert!(wrong("a=https://h/b?x=1").contains("only endpoint and region"));
        let secret = wrong("a=https://id:geheim@h.example/b");
        assert!(secret.contains("credentials do not belong") && !secret.contains("geheim"), "{secret}");
    }
}
