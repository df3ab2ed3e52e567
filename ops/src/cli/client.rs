//! The connection of a command to a running platform.

use crate::ready::{self, Ready};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use std::path::PathBuf;

/// Where the platform is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// Address of the platform; by default that of the one running in --data-dir
    #[arg(long, env = "MILLRACE_URL", global = true)]
    pub url: Option<String>,
    /// API key; by default the admin's of the platform in --data-dir
    #[arg(long, env = "MILLRACE_API_KEY", global = true, hide_env_values = true)]
    pub api_key: Option<String>,
    /// Data directory of a platform on this machine
    #[arg(long, env = "MILLRACE_DATA_DIR", default_value = "data", global = true)]
    pub data_dir: PathBuf,
}

/// A client of the API.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    api_key: String,
}

impl Connection {
    pub fn client(&self) -> Result<Client, CliError> {
        let running = || Ready::read(&self.data_dir.join(ready::FILE)).ok();
        let missing = || CliError::NotRunning { data_dir: self.data_dir.display().to_string() };
        let (url, api_key) = match (self.url.clone(), self.api_key.clone()) {
            (Some(url), Some(api_key)) => (url, api_key),
            (url, api_key) => {
                let ready = running().ok_or_else(missing)?;
                (url.unwrap_or(ready.url), api_key.unwrap_or(ready.api_key))
            }
        };
        Ok(Client::new(&url, &api_key))
    }
}

impl Client {
    pub fn new(url: &str, api_key: &str) -> Self {
        let (url, api_key) = (url.trim_end_matches('/').to_owned(), api_key.to_owned());
        Self { http: reqwest::Client::new(), url, api_key }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.api_key)
    }

    /// Sends a request and gives the answer, or the problem in words.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|source| CliError::Http { url: self.url.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let problem: Value = response.json().await.unwrap_or_default();
        let words = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let mut detail = format!("{}: {}", words("title"), words("detail"));
        for error in problem["errors"].as_array().into_iter().flatten() {
            let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            detail.push_str(&format!("\n  {} {} ({})", part("pointer"), part("message"), part("code")));
            let allowed: Vec<&str> =
                error["allowed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if !allowed.is_empty() {
                detail.push_str(&format!("; there are {}", allowed.join(", ")));
            }
        }
        Err(CliError::Refused { status, detail })
    }

    /// Sends a command that may be sent again (it has an idempotency key) until the platform answers.
    pub async fn send_retrying(&self, request: RequestBuilder) -> Result<Value, CliError> {
        let mut request = request;
        let mut tries = 0;
        loop {
            let again = request.try_clone();
            let (error, next) = match (self.send(request).await, again) {
                (Ok(response), _) => {
                    return response.json().await.map_err(|source| CliError::Http { url: self.url.clone(), source });
                }
                (Err(error), Some(next)) if tries < 8 => (error, next),
                (Err(error), _) => return Err(error),
            };
            if !matches!(error, CliError::Refused { status: 429 | 500.., .. } | CliError::Http { .. }) {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(std::time::Duration::from_millis(50 << tries)).await;
            request = next;
        }
    }

    pub async fn json(&self, method: Method, path: &str) -> Result<Value, CliError> {
        self.parse(self.send(self.request(method, path)).await?).await
    }

    /// The JSON of an answer.
    pub async fn parse(&self, response: Response) -> Result<Value, CliError> {
        response.json().await.map_err(|source| CliError::Http { url: self.url.clone(), source })
    }
}

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("no platform runs in {data_dir}; start one with `millrace up`, or name one with --url and --api-key")]
    NotRunning { data_dir: String },
    #[error(
        "{url} does not answer as a platform does: {}; is it the right address, and does the platform run?",
        causes(source)
    )]
    Http { url: String, source: reqwest::Error },
    #[error("refused ({status}): {detail}")]
    Refused { status: u16, detail: String },
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    Start(#[from] crate::platform::StartError),
}

/// An error and what is behind it: only the last of them tells a refused connection from a name nobody knows.
fn causes(error: &reqwest::Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_platform_that_is_away_is_told_from_one_that_refuses() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let client = Client::new(&format!("http://{free}"), "key");
        let error = client.json(Method::GET, "/v1/me").await.unwrap_err().to_string();
        assert!(error.contains("refused") && error.contains(&free.to_string()), "{error}");
    }
}
