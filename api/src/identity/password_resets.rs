//! `/v1/password_resets`: a new password for who forgot the old one.
//!
//! Asking is answered alike and as fast for everybody: what there is to do is done behind the answer, so nobody learns who has
//! an account. Looking at a link changes nothing, because programs follow links before people do; only a POST sets the
//! password. Each address takes JSON from programs and forms from the pages here.

use crate::{
    app::App,
    command::CommandReceipt,
    http::{
        body::{self, BodyLimit},
        correlation::Correlation,
        extract::Path,
        network::PeerNetwork,
        problem::{Problem, ProblemDocument},
    },
};
use axum::{
    Extension,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bus_schema::{CommandId, TenantId};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::{
    Meta, Rejection, WriteError,
    identity::{
        account::AccountError,
        password_reset::{self, ResetRejection},
    },
};

/// Bytes of a request.
const LIMIT: usize = 4 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(form, ask)).routes(routes!(look, redeem)).layer(Extension(BodyLimit(LIMIT)))
}

/// Who forgot a password where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tenant": "demo", "email": "ada@example.org"}))]
pub struct NewReset {
    pub tenant: String,
    pub email: String,
}

/// The next password. Never printed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "Tulip-3-bridge"}))]
pub struct ResetPassword {
    /// At least 10 characters with an upper-case letter and a number.
    pub password: String,
}

/// A request of a stranger, counted by where it comes from before its body is read.
struct Stranger<T> {
    body: T,
    /// It came from a page, so a page is the answer.
    page: bool,
    correlation: Correlation,
}

impl<T: DeserializeOwned> FromRequest<App> for Stranger<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, stream) = request.into_parts();
        admit(app, &mut parts).await?;
        let correlation = Correlation::from_headers(&parts.headers);
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let page = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM));
        if page {
            let bytes = body::read(Request::from_parts(parts, stream)).await?;
            let form = Value::Object(fields_of_form(&bytes));
            return Ok(Self { body: body::decode(form.to_string().as_bytes())?, page, correlation });
        }
        let request = Request::from_parts(parts, stream);
        let body::JsonBody { value, .. } = body::JsonBody::<T>::from_request(request, app).await?;
        Ok(Self { body: value, page, correlation })
    }
}

async fn admit(app: &App, parts: &mut Parts) -> Result<(), Problem> {
    let Ok(network) = PeerNetwork::from_request_parts(parts, app).await;
    app.limits().admit_stranger(&network, &parts.extensions)
}

/// `a=b&c=d+e` as an object of texts.
fn fields_of_form(bytes: &[u8]) -> Map<String, Value> {
    let text = String::from_utf8_lossy(bytes);
    let decoded = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decoded(k), decoded(v).into())).collect()
}

fn meta(correlation: &Correlation) -> Meta {
    Meta {
        correlation: correlation.id(),
        trace: Some(correlation.traceparent()),
        ..Meta::system("password-reset", CommandId::random())
    }
}

/// A page to ask for a new password. Needs no token.
#[utoipa::path(get, path = "/v1/password_resets", tag = "password-resets", security(()),
    responses((status = 200, description = "A form", content_type = "text/html")))]
async fn form() -> Response {
    page(StatusCode::OK, ASK)
}

/// Asks for a mail with a link to choose a new password. Always 202, whoever asks for whom; the mail comes to the account's
/// address if there is one that is not disabled, at most every five minutes. The link works once, within an hour. Needs no
/// token.
#[utoipa::path(post, path = "/v1/password_resets", tag = "password-resets", security(()), request_body = NewReset,
    responses((status = 202, description = "If there is such an account, a mail is on its way"),
    (status = 429, description = "Too many attempts from this network", body = ProblemDocument)))]
async fn ask(State(app): State<App>, asked: Stranger<NewReset>) -> Response {
    let Stranger { body: NewReset { tenant, email }, page: from_page, correlation } = asked;
    let meta = meta(&correlation);
    // Behind the answer: its time would tell who has an account.
    tokio::spawn(async move {
        let Ok(tenant) = TenantId::try_new(tenant.trim()) else { return };
        match password_reset::ask(&app.writer, &tenant, &email, &meta).await {
            Ok(()) | Err(WriteError::Rejected(_) | WriteError::NoTenant(_)) => {}
            Err(error) => tracing::error!(%tenant, %error, "a link to choose a password could not be asked for"),
        }
    });
    if from_page { page(StatusCode::ACCEPTED, ASKED) } else { StatusCode::ACCEPTED.into_response() }
}

/// A page to choose a new password, without any effect. For people with a link of a mail; needs no login.
#[utoipa::path(get, path = "/v1/password_resets/{token}", tag = "password-resets", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "A form", content_type = "text/html"),
    (status = 404, description = "The link was used, is over, or is none", content_type = "text/html")))]
async fn look(State(app): State<App>, Path(token): Path<String>, network: PeerNetwork) -> Result<Response, Problem> {
    app.limits().admit_stranger(&network, &axum::http::Extensions::new())?;
    match password_reset::check(&app.writer, &token).await {
        Ok(()) => Ok(page(StatusCode::OK, &choose(""))),
        Err(WriteError::Rejected(_)) => Ok(page(StatusCode::NOT_FOUND, UNKNOWN)),
        Err(error) => Err(error.into()),
    }
}

/// Sets the password and ends all sessions of the account. The link is used up with it. Needs no login.
#[utoipa::path(post, path = "/v1/password_resets/{token}", tag = "password-resets", security(()),
    request_body = ResetPassword, params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "The password is set", body = CommandReceipt),
    (status = 404, description = "reset_not_valid", body = ProblemDocument),
    (status = 422, description = "A rule of passwords", body = ProblemDocument)))]
async fn redeem(
    State(app): State<App>,
    Path(token): Path<String>,
    chosen: Stranger<ResetPassword>,
) -> Result<Response, Problem> {
    let (passwords, meta) = (app.sign_in.passwords(), meta(&chosen.correlation));
    let done = password_reset::redeem(&app.writer, passwords, &token, &chosen.body.password, &meta).await;
    match (done, chosen.page) {
        (Ok((id, receipt)), false) => Ok(app.answer(StatusCode::OK, id, &receipt)),
        (Ok(_), true) => Ok(page(StatusCode::OK, DONE)),
        (Err(AccountError::Write(WriteError::Rejected(rejected))), true) => {
            let gone = rejected.code == ResetRejection::Invalid.code();
            // The rules of passwords are fixed sentences without anything of the request.
            let again = choose(&format!("<p role=\"alert\">Not accepted: {}.</p>", rejected.message));
            Ok(if gone { page(StatusCode::NOT_FOUND, UNKNOWN) } else { page(StatusCode::UNPROCESSABLE_ENTITY, &again) })
        }
        (Err(error), _) => Err(error.into()),
    }
}

const ASK: &str = "<h1>Forgot your password?</h1><form method=\"post\">\
    <p><label>Tenant<br><input name=\"tenant\" required maxlength=\"40\" autocomplete=\"organization\"></label></p>\
    <p><label>E-mail address<br><input name=\"email\" type=\"email\" required maxlength=\"254\" \
    autocomplete=\"username\"></label></p><button>Send me a link</button></form>";
const ASKED: &str = "<h1>Look into your mail</h1><p>If there is an account with this address, a link to choose a new password is \
    on its way. It works for an hour.</p>";
const DONE: &str = "<h1>Your password is set</h1><p>Sign in with it. You were signed out everywhere.</p>";
const UNKNOWN: &str = "<h1>This link does not work</h1><p>It is not complete, was used, or its time is over. \
    <a href=\"/v1/password_resets\">Ask for another one</a>.</p>";

fn choose(trouble: &str) -> String {
    format!(
        "<h1>Choose a new password</h1>{trouble}<form method=\"post\"><p><label>New password<br><input name=\"password\" \
         type=\"password\" required minlength=\"10\" maxlength=\"128\" autocomplete=\"new-password\"></label></p>\
         <p>At least 10 characters with an upper-case letter and a number.</p><button>Set the password</button></form>"
    )
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Password</title><body>{body}</body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // The token is in the address: it goes nowhere else.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_objects() {
        let fields = fields_of_form(b"tenant=demo&email=ada%2Bx%40example.org&note=a+b&empty=");
        assert_eq!(fields["email"], "ada+x@example.org");
        assert_eq!((&fields["note"], &fields["empty"]), (&Value::from("a b"), &Value::from("")));
        assert!(fields_of_form(b"").is_empty());
        assert_eq!(fields_of_form(b"%zz=%ff").len(), 1);
    }
}
