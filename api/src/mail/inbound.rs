//! `/v1/mail/inbound`: messages that came back, handed in whole by whoever takes the mail of the bounce domain.

use super::sns::SnsAnswer;
use crate::{
    app::App,
    caller::Caller,
    http::{
        body::{self, BodyLimit},
        problem::{Problem, ProblemDocument},
    },
};
use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bus_schema::TenantId;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const WRITE: &str = "mail.feedback:write";
/// Bytes of a message.
const MESSAGE_LIMIT: usize = 1 << 20;
const MESSAGE: &str = "message/rfc822";

/// The port to whoever reads what comes back.
pub trait FeedbackDesk: Send + Sync + 'static {
    /// Reads a message and records what it says of a mail of this tenant.
    fn inbound<'a>(&'a self, tenant: &'a TenantId, message: Bytes) -> BoxFuture<'a, Result<InboundNoted, Problem>>;

    /// Takes a message of SNS for a tenant. `raw`: it was delivered without its signature.
    fn sns<'a>(&'a self, tenant: &'a TenantId, raw: bool, body: Bytes) -> BoxFuture<'a, Result<SnsAnswer, Problem>>;
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InboundNoted {
    /// `recorded`: it says something about a mail. `known`: it did before. `no_report`: it says nothing about the fate of a
    /// mail, as an answer or a holiday note. `unmatched`: it is about no mail of this tenant.
    #[schema(example = "recorded")]
    pub outcome: &'static str,
    /// What it says: `bounced`, `delivered`, `complained`, `not_spam`.
    pub said: Option<&'static str>,
    /// Of a bounce: `permanent`, `transient` or `undetermined`.
    pub kind: Option<&'static str>,
    /// Of a bounce, when it is told (RFC 3463).
    #[schema(example = "5.1.1")]
    pub status: Option<String>,
    /// Of a campaign's mail, with its receiver.
    pub campaign: Option<Uuid>,
    pub contact: Option<Uuid>,
    /// Of a mail to one person.
    pub message: Option<Uuid>,
    /// Of a test of a campaign.
    pub test: Option<Uuid>,
}

impl InboundNoted {
    /// Nothing was recorded.
    pub fn nothing(outcome: &'static str) -> Self {
        let (said, kind, status) = (None, None, None);
        Self { outcome, said, kind, status, campaign: None, contact: None, message: None, test: None }
    }
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(inbound)).layer(Extension(BodyLimit(MESSAGE_LIMIT)))
}

/// The bytes of a message, taken only as such.
struct RawMessage(Bytes);

impl<S: Send + Sync> FromRequest<S> for RawMessage {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(MESSAGE) {
            return Err(Problem::unsupported_media_type(MESSAGE));
        }
        Ok(Self(body::read(request).await?))
    }
}

/// Takes a message that came back, whole (`message/rfc822`, at most 1 MiB): a report of delivery (RFC 3464) or a complaint
/// (RFC 5965). A bounce for good and a complaint put the address on the list of those that get no mail. The same message
/// again changes nothing. Needs `mail.feedback:write`.
#[utoipa::path(post, path = "/v1/mail/inbound", tag = "feedback",
    request_body(content = String, content_type = "message/rfc822", description = "The message as it came"),
    responses((status = 200, body = InboundNoted), (status = 413, body = ProblemDocument),
    (status = 415, body = ProblemDocument)))]
async fn inbound(State(app): State<App>, caller: Caller, message: RawMessage) -> Result<Response, Problem> {
    caller.allow(WRITE)?;
    let noted = app.feedback_desk.inbound(&caller.tenant, message.0).await?;
    Ok((StatusCode::OK, Json(noted)).into_response())
}
