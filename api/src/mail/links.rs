//! `/v1/l/{token}` and `/v1/o/{token}.gif`: links and the picture of mails that lead over this platform.
//!
//! A link redirects to what its tenant wrote into the mail and to nothing else: the target stands in the token, which
//! only the tenant's key makes. The answer does not wait for the hit to be recorded.

use super::responses::Act;
use crate::{
    app::App,
    http::{extract::Path, problem::Problem},
};
use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequestParts, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::mail::tracking::{Spot, TrackedMail};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow)).routes(routes!(open))
}

/// The network of a request's peer, when that says something: a proxy on a private network stands for everybody.
struct PublicNetwork(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PublicNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        Ok(Self(peer.filter(|address| is_public(*address)).map(crate::http::network::network_of)))
    }
}

/// RFC 6890 and 4193, as far as proxies use them.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(address.is_loopback() || address.is_private() || address.is_link_local() || shared)
        }
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()),
    }
}

/// Leads a receiver from a link of a mail to where its author meant it to lead. Needs no login.
#[utoipa::path(get, path = "/v1/l/{token}", tag = "mail-links", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 302, description = "To the target, byte for byte as the author wrote it"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html")))]
async fn follow(
    State(app): State<App>,
    Path(token): Path<String>,
    PublicNetwork(network): PublicNetwork,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some((mail, Spot::Link { number, target })) = proven(&app, &token).await? else { return Ok(unknown()) };
    let Ok(location) = HeaderValue::from_bytes(target.as_bytes()) else { return Ok(unknown()) };
    app.responses().seen(mail, Act::Clicked { link: number, target }, &method, &headers, network);
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The token is in the address: it goes nowhere else.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ROBOTS,
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// The picture of one dot that says that a mail was opened. Needs no login.
#[utoipa::path(get, path = "/v1/o/{token}", tag = "mail-links", security(()),
    params(("token" = String, Path, description = "The picture's own proof, with .gif at its end")),
    responses((status = 200, description = "A transparent dot", content_type = "image/gif"),
    (status = 404, description = "The picture is not one of this platform", content_type = "text/html")))]
async fn open(
    State(app): State<App>,
    Path(token): Path<String>,
    PublicNetwork(network): PublicNetwork,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = token.strip_suffix(".gif").unwrap_or(&token);
    let Some((mail, Spot::Pixel)) = proven(&app, token).await? else { return Ok(unknown()) };
    app.responses().seen(mail, Act::Opened, &method, &headers, network);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ROBOTS,
    ];
    Ok((StatusCode::OK, headers, Body::from(&DOT[..])).into_response())
}

const ROBOTS: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));

/// A GIF of one transparent pixel (GIF89a).
const DOT: [u8; 42] =
    *b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\
    \x01\x00\x01\x00\x00\x02\x01D\x00;";

/// What a token stands for, if its tenant made it.
async fn proven(app: &App, token: &str) -> Result<Option<(TrackedMail, Spot)>, Problem> {
    let Some(unproven) = TrackedMail::read(token) else { return Ok(None) };
    let key = app.keys.tenant(unproven.tenant()).await?;
    Ok(key.and_then(|key| unproven.proven(&key)))
}

fn unknown() -> Response {
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Link</title><body><h1>This link does not \
                work</h1><p>It is not complete, or its sender is gone. Open it as it stands in the mail.</p>";
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::NOT_FOUND, headers, page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_nearby_is_nobodys_address() {
        for (address, public) in [
            ("192.0.2.7", true),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("100.64.0.1", false),
            ("169.254.0.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn the_dot_is_a_gif() {
        assert!(DOT.starts_with(b"GIF89a") && DOT.ends_with(b";"));
    }
}
