//! An account of Amazon SES in the file of mail providers.

use super::{MailArgsError, providers::connections, read};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use workers::{
    backend::ses::{SesCredentials, SesOptions},
    mail::providers::{ProviderOptions, TransportOptions},
};
use zeroize::Zeroizing;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SesEntry {
    name: String,
    region: String,
    /// Instead of Amazon's own: `https://…`, or `http://` at an address of this machine.
    endpoint: Option<String>,
    /// A file with access key, secret key and, if there is one, session token, a line each; else they are those of the
    /// environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
    credentials: Option<PathBuf>,
    configuration_set: Option<String>,
    /// A file, as of `--mail-ca`.
    ca: Option<PathBuf>,
    #[serde(default = "connections")]
    connections: usize,
    per_second: Option<f64>,
}

impl SesEntry {
    /// `variable` is one of the environment.
    pub(super) fn options(self, variable: impl Fn(&str) -> Option<String>) -> Result<ProviderOptions, MailArgsError> {
        let credentials = match &self.credentials {
            Some(path) => of_file(path)?,
            None => of_environment(variable).ok_or_else(|| MailArgsError::NoKeys { name: self.name.clone() })?,
        };
        let (endpoint, set) = (self.endpoint.as_deref(), self.configuration_set.as_deref());
        let options = SesOptions::try_new(&self.region, endpoint, set, credentials);
        let mut ses = options.map_err(|source| MailArgsError::Ses { name: self.name.clone(), source })?;
        ses.trusted = self.ca.as_deref().map(read).transpose()?;
        let (name, transport) = (self.name, TransportOptions::Ses(ses));
        Ok(ProviderOptions { name, transport, connections: self.connections, per_second: self.per_second })
    }
}

fn of_file(path: &Path) -> Result<SesCredentials, MailArgsError> {
    let text = Zeroizing::new(String::from_utf8(read(path)?).unwrap_or_default());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(access), Some(secret)) = (lines.next(), lines.next()) else {
        return Err(MailArgsError::Keys { path: path.display().to_string() });
    };
    let session_token = lines.next().map(|token| Zeroizing::new(token.to_owned()));
    Ok(SesCredentials { access_key: access.to_owned(), secret_key: Zeroizing::new(secret.to_owned()), session_token })
}

fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<SesCredentials> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    Some(SesCredentials {
        access_key: given("AWS_ACCESS_KEY_ID")?,
        secret_key: Zeroizing::new(given("AWS_SECRET_ACCESS_KEY")?),
        session_token: given("AWS_SESSION_TOKEN").map(Zeroizing::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(credentials: Option<&Path>) -> SesEntry {
        let entry = serde_json::json!({"name": "ses", "region": "eu-west-1", "credentials": credentials});
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn credentials_come_from_a_file_or_from_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "AKID\ngeheim\n").unwrap();
        let nothing = |_: &str| None;
        assert!(entry(Some(&path)).options(nothing).is_ok());
        std::fs::write(&path, "AKID\n").unwrap();
        let wrong = entry(Some(&path)).options(nothing).unwrap_err().to_string();
        assert!(wrong.contains("a line each") && !wrong.contains("AKID"), "{wrong}");
        let two = |name: &str| (name != "AWS_SESSION_TOKEN").then(|| "x".to_owned());
        assert!(of_environment(two).is_some_and(|keys| keys.session_token.is_none()));
        assert!(entry(None).options(two).is_ok());
        let none = entry(None).options(nothing).unwrap_err().to_string();
        assert!(none.contains("AWS_ACCESS_KEY_ID"), "{none}");
        let one = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "x".to_owned());
        assert!(of_environment(one).is_none());
    }
}
