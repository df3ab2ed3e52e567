//! `millrace up --local-inbox`: mails to look at instead of mails that leave. Our own sink takes them durably on this machine,
//! and a page of its own shows them.
//!
//! The page has no login: it listens on loopback only and answers only to names of this machine, so that no site a browser
//! visits can reach it under a name of its own (DNS rebinding). What mails hold runs nothing and loads nothing by itself.

mod letter;
mod page;

use crate::{data_dir::DataDir, platform::StartError};
use api::http::{
    limits::ServerLimits, metrics::Registry, security_headers::SecurityHeaders, server::Server, stack::Stack,
};
use axum::{
    Router,
    extract::{Path as UrlPath, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use letter::Letter;
use serde::Deserialize;
use std::{io, net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workers::{
    mail::{Domain, campaign::Outlet},
    smtp::sink::{Mailbox, Sink, SinkOptions},
};

/// The folder of the data directory that holds what was taken.
const FOLDER: &str = "inbox";
/// Where mails come from unless `--mail-from-domain` says something else: the demo's do. Nobody can own a name of this kind
/// (RFC 2606).
const DOMAIN: &str = "demo.example";
/// Messages and their bytes that are kept; the oldest go first.
const KEEP: (usize, u64) = (10_000, 512 << 20);
/// Mails on one page.
const PAGE: usize = 50;

/// Mails that stay on this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Local inbox")]
pub struct InboxArgs {
    /// Take all mails on this machine and show them on a page, instead of handing them to a provider. Senders are at
    /// --mail-from-domain, at demo.example when it is absent
    #[arg(long, env = "MILLRACE_LOCAL_INBOX", conflicts_with_all = ["mail_host", "mail_providers"])]
    pub local_inbox: bool,
    /// Address of that page; loopback only, port 0 takes a free one
    #[arg(long, env = "MILLRACE_INBOX_LISTEN", default_value = "127.0.0.1:8025")]
    pub inbox_listen: SocketAddr,
}

impl InboxArgs {
    /// Starts the inbox of a data directory, if it is asked for.
    pub async fn start(&self, data_dir: &Path) -> Result<Option<Inbox>, StartError> {
        if !self.local_inbox {
            return Ok(None);
        }
        // Made, and known to be one and not in use, before anything is put into it.
        drop(DataDir::open(data_dir)?);
        Inbox::start(&data_dir.join(FOLDER), self.inbox_listen).await.map(Some)
    }
}

/// A running inbox.
pub struct Inbox {
    sink: Sink,
    page: SocketAddr,
    stop: CancellationToken,
}

impl Inbox {
    /// Takes mails into `folder` and shows them at `listen`.
    pub async fn start(folder: &Path, listen: SocketAddr) -> Result<Self, StartError> {
        if !listen.ip().is_loopback() {
            let reason = "the inbox has no login and is shown on this machine only: give a loopback address";
            let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
            return Err(StartError::Listen { address: listen.to_string(), source });
        }
        let failed = |source| StartError::Listen { address: format!("the inbox at {listen}"), source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let page = listener.local_addr().map_err(failed)?;
        let sink = Sink::start(folder, SinkOptions { keep: KEEP, ..SinkOptions::default() }).await.map_err(failed)?;
        let (stop, limits, registry) = (CancellationToken::new(), ServerLimits::default(), Registry::new());
        let stack = Stack::new(&registry, 64, SecurityHeaders::default());
        let (router, server) = (stack.wrap(router(sink.mailbox())), Server::new(limits, &registry));
        let stopped = stop.clone();
        tokio::spawn(async move { server.serve(listener, router, stopped).await });
        Ok(Self { sink, page, stop })
    }

    /// Where it is looked at.
    pub fn url(&self) -> String {
        format!("http://{}", self.page)
    }

    /// The way out that ends here, for senders at `domain`. `platform`: where links in the mails lead.
    pub fn outlet(&self, platform: SocketAddr, domain: Option<&str>) -> Result<Outlet, StartError> {
        let setup = |error: &dyn std::fmt::Display| StartError::Setup(format!("the local inbox: {error}"));
        let domain = Domain::try_new(domain.unwrap_or(DOMAIN)).map_err(|error| setup(&error))?;
        // Also when the platform listens on all addresses: this machine reaches it under its own.
        let host =
            if platform.ip().is_loopback() { platform.to_string() } else { format!("localhost:{}", platform.port()) };
        let public = format!("http://{host}");
        Outlet::on_this_machine(self.sink.address(), domain, &public).map_err(|error| setup(&error))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Mails = State<Arc<Mailbox>>;

fn router(mailbox: Mailbox) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/delete-all", post(delete_all))
        .route("/mails/{number}", get(show))
        .route("/mails/{number}/html", get(html))
        .route("/mails/{number}/text", get(text))
        .route("/mails/{number}/raw", get(raw))
        .layer(middleware::from_fn(this_machine))
        .with_state(Arc::new(mailbox))
}

/// The inbox's own pages: no scripts, their own styles, mails in frames.
const OWN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Refuses whoever came under another name than this machine's, and changes another site's page asks for.
async fn this_machine(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
    let host = text(header::HOST).or_else(|| request.uri().authority().map(ToString::to_string)).unwrap_or_default();
    let is_ours = is_this_machine(&host);
    let origin = text(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    if is_ours && (origin || request.method().is_safe()) {
        let mut response = next.run(request).await;
        // A mail's HTML has a policy of its own.
        response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(OWN);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return response;
    }
    (StatusCode::FORBIDDEN, "The inbox answers only to pages and names of this machine.\n").into_response()
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[derive(Debug, Default, Deserialize)]
struct ListQuery {
    /// A part of the receiver's address.
    #[serde(default)]
    to: String,
    before: Option<u64>,
}

async fn list(State(mailbox): Mails, Query(query): Query<ListQuery>) -> Result<Html<String>, Failed> {
    let to = query.to.trim().to_lowercase();
    let wanted = to.clone();
    let listed = blocking(move || {
        let numbers = mailbox.numbers()?;
        let (kept, mut mails, mut more) = (numbers.len(), Vec::new(), None);
        for number in numbers.into_iter().filter(|number| query.before.is_none_or(|before| *number < before)) {
            let Some(mail) = mailbox.read(number)? else { continue };
            let mut receivers = mail.envelope.iter().map(|taken| taken.recipient.to_lowercase());
            if !wanted.is_empty() && !receivers.any(|receiver| receiver.contains(&wanted)) {
                continue;
            }
            if mails.len() == PAGE {
                more = mails.last().map(|last: &Letter| last.number);
                break;
            }
            mails.push(Letter::summary(&mail));
        }
        Ok((kept, mails, more))
    });
    let (kept, mails, more) = listed.await?;
    Ok(Html(page::list(kept, &mails, &to, more)))
}

async fn letter(mailbox: Arc<Mailbox>, number: u64) -> Result<Letter, Failed> {
    let read = blocking(move || Ok(mailbox.read(number)?.map(|mail| Letter::whole(&mail)))).await?;
    read.ok_or(Failed::Missing)
}

async fn show(
    State(mailbox): Mails,
    UrlPath(number): UrlPath<u64>,
    query: Query<Look>,
) -> Result<Html<String>, Failed> {
    Ok(Html(page::mail(&letter(mailbox, number).await?, query.remote.is_some())))
}

/// Whether pictures from elsewhere may be loaded; anything stands for yes.
#[derive(Debug, Default, Deserialize)]
struct Look {
    remote: Option<String>,
}

/// The HTML as its receiver sees it: nothing runs, no form is sent; a link a person clicks opens by itself.
const FRAME: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; \
                     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
const REMOTE: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline' https: http:; \
                      img-src data: https: http:; font-src https: http:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

async fn html(State(mailbox): Mails, UrlPath(number): UrlPath<u64>, query: Query<Look>) -> Result<Response, Failed> {
    let letter = letter(mailbox, number).await?;
    let policy = if query.remote.is_some() { REMOTE } else { FRAME };
    let headers = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))];
    let html = letter.html.ok_or(Failed::Missing)?;
    // Links open beside the inbox: within its frame nothing may be loaded.
    Ok((headers, no_referrer(), Html(format!("<base target=\"_blank\">{html}"))).into_response())
}

fn no_referrer() -> [(HeaderName, HeaderValue); 1] {
    [(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))]
}

async fn text(State(mailbox): Mails, UrlPath(number): UrlPath<u64>) -> Result<Response, Failed> {
    let letter = letter(mailbox, number).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], letter.text.unwrap_or_default()).into_response())
}

async fn raw(State(mailbox): Mails, UrlPath(number): UrlPath<u64>) -> Result<Response, Failed> {
    let mail = blocking(move || mailbox.read(number)).await?.ok_or(Failed::Missing)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822"));
    let name = format!("attachment; filename=\"{number}.eml\"");
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok((headers, mail.message).into_response())
}

async fn delete_all(State(mailbox): Mails) -> Result<Redirect, Failed> {
    blocking(move || mailbox.clear()).await?;
    Ok(Redirect::to("/"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failed> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Failed::Io)
}

/// Why there is nothing to show.
enum Failed {
    Missing,
    Io(io::Error),
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => {
                let text = "This mail is not here: it made room for newer ones, was deleted, or has no such part.";
                (StatusCode::NOT_FOUND, Html(page::message("No such mail", text))).into_response()
            }
            Self::Io(error) => {
                let text = format!("The folder of the inbox cannot be used: {error}.");
                (StatusCode::INTERNAL_SERVER_ERROR, Html(page::message("The inbox failed", &text))).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests;
