//! `/v1/unsubscribe/{token}`: how a receiver leaves (RFC 8058).
//!
//! Looking changes nothing: programs follow links before people do. Only a POST withdraws the consent, the one a mail program
//! sends for `List-Unsubscribe-Post` or the one of the button on the page; it asks for no session and no cookie, and
//! doing it again changes nothing.

use super::responses::Act;
use crate::{
    app::App,
    http::{extract::Path, problem::Problem},
    people,
};
use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bus_schema::{CommandId, mail::response::MailRef};
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::{
    Meta,
    mail::{tracking::TrackedMail, unsubscribe::Leaver},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, leave))
}

/// A page that asks whether to unsubscribe, without any effect. For people with a link of a mail; needs no login.
#[utoipa::path(get, path = "/v1/unsubscribe/{token}", tag = "unsubscribe", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "A page with a button", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html")))]
async fn look(State(app): State<App>, Path(token): Path<String>) -> Result<Response, Problem> {
    Ok(match leaver(&app, &token).await? {
        Some(_) => page(StatusCode::OK, ASK),
        None => page(StatusCode::NOT_FOUND, UNKNOWN),
    })
}

/// Withdraws the consent the link stands for, at once and for good. Any body is taken, that of RFC 8058
/// (`List-Unsubscribe=One-Click`) too. Needs no login.
#[utoipa::path(post, path = "/v1/unsubscribe/{token}", tag = "unsubscribe", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "Done, also when it was done before", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html")))]
async fn leave(State(app): State<App>, Path(token): Path<String>) -> Result<Response, Problem> {
    let Some(leaver) = leaver(&app, &token).await? else { return Ok(page(StatusCode::NOT_FOUND, UNKNOWN)) };
    let meta = Meta { correlation: leaver.campaign, ..Meta::system("unsubscribe", CommandId::random()) };
    people::withdraw(&app, &leaver, &meta).await?;
    let mail = MailRef { campaign: leaver.campaign, contact: leaver.contact, seat: None, generation: 0 };
    let mail = TrackedMail { tenant: leaver.tenant, mail };
    app.responses().seen(mail, Act::Left, &Method::POST, &HeaderMap::new(), None);
    Ok(page(StatusCode::OK, DONE))
}

/// Whose link it is, if the tenant made it.
pub(super) async fn leaver(app: &App, token: &str) -> Result<Option<Leaver>, Problem> {
    let Some(unproven) = Leaver::read(token) else { return Ok(None) };
    let key = app.keys.tenant(unproven.tenant()).await?;
    Ok(key.and_then(|key| unproven.proven(&key)))
}

const ASK: &str = "<h1>Unsubscribe</h1><p>Do you want to receive no more of these mails?</p>\
    <form method=\"post\"><button>Unsubscribe</button></form>";
const DONE: &str = "<h1>Unsubscribed</h1><p>You receive no more of these mails.</p>";
const UNKNOWN: &str = "<h1>This link does not work</h1><p>It is not complete, or its sender is gone. Open it as it stands in \
    the mail.</p>";

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Unsubscribe</title><body>{body}</body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // The token is in the address: it goes nowhere else.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, html).into_response()
}
