//! A client of the HTTP API: sees its own writes by `Consistency-Token`, names what it expected when it is refused.

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a view may be behind before a scenario gives up; a debug build on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Acts for one API key. Clones share what they have written.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    seen: Arc<AtomicU64>,
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { http, url: url.to_owned(), key: key.to_owned(), seen: Arc::default() }
    }

    /// The same platform for another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), seen: Arc::default(), ..self.clone() }
    }

    /// The same caller at another address, who remembers what it wrote.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn api_key(&self) -> &str {
        &self.key
    }

    /// The last position this client wrote.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Its reads see what somebody else wrote, too.
    pub(crate) fn has_seen(&self, position: u64) {
        self.seen.fetch_max(position, Ordering::Relaxed);
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        Ask { request, seen: self.seen.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::POST, path).json(body)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::PUT, path).json(body)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::PATCH, path).json(body)
    }

    pub(crate) fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }

    /// A read that sees everything this client wrote, however long the views need.
    pub(crate) async fn read(&self, path: &str) -> Answer {
        let end = Instant::now() + PATIENCE;
        let token = format!("eu1:{}", self.seen());
        loop {
            let answer = self.get(path).header("consistency-token", &token).send().await;
            if answer.code() != "view_behind" || Instant::now() > end {
                return answer;
            }
        }
    }

    /// What `/readyz` says once the platform is ready: after its start the index is behind for half a second.
    pub(crate) async fn ready(&self) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/readyz").send().await;
            if answer.status == 200 || Instant::now() > end {
                return answer.expect(200).json();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads after a database came back: its connections are tried again each second or so, and until then reads are refused.
    pub(crate) async fn read_soon(&self, path: &str) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.read(path).await;
            if answer.code() != "unavailable" || Instant::now() > end {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// All items of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), String::new());
        let mark = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.read(&format!("{path}{mark}limit=200{after}")).await.expect(200).json();
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }

    /// Makes a record and gives its id.
    pub(crate) async fn make(&self, path: &str, body: &Value) -> Uuid {
        self.post(path, body).send().await.expect(201).id()
    }
}

/// A request that is being put together.
pub(crate) struct Ask {
    request: reqwest::RequestBuilder,
    seen: Arc<AtomicU64>,
}

impl Ask {
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub(crate) fn body(mut self, media_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header("content-type", media_type).body(body);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// For an answer that takes longer than others.
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        self.request = self.request.timeout(patience);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn if_match(self, revision: u64) -> Self {
        self.header("if-match", &format!("\"r{revision}\""))
    }

    /// Panics when there is no answer.
    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    pub(crate) async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let what = format!("{} {status}", response.url());
        let answer = Answer { what, status, headers, body: response.bytes().await?.to_vec() };
        if let Some(position) = answer.header("consistency-token").and_then(|token| token.rsplit_once(':')) {
            self.seen.fetch_max(position.1.parse().unwrap_or(0), Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// The answer before its body, for feeds.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.request.send().await.expect("an answer")
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    what: String,
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Panics with the whole answer unless it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        self
    }

    /// Panics unless it is this problem; `code` is the problem's or that of one of its fields.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.what);
        let problem = answer.json();
        let named = problem["code"] == code || answer.errors().iter().any(|error| error["code"] == code);
        assert!(named, "{}: no {code} in {problem}", answer.what);
        answer
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body; null when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn errors(&self) -> Vec<Value> {
        self.json()["errors"].as_array().cloned().unwrap_or_default()
    }

    /// The problem's code; empty for other answers.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(HeaderName::try_from(name).ok()?)?.to_str().ok()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> Uuid {
        let id = self.json()["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
        id.unwrap_or_else(|| panic!("{}: no id in {}", self.what, self.text()))
    }

    #[track_caller]
    pub(crate) fn revision(&self) -> u64 {
        self.json()["revision"].as_u64().unwrap_or_else(|| panic!("{}: no revision in {}", self.what, self.text()))
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}
