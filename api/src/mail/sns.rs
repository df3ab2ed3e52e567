//! `/v1/mail/sns/{tenant}`: notifications of Amazon SES, brought by Amazon SNS.
//!
//! No key is asked for: a message proves itself by its signature, and only topics that the operator named speak for a tenant.

use crate::{
    app::App,
    http::{
        body::{self, BodyLimit},
        extract::Path,
        problem::{Problem, ProblemDocument},
    },
};
use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
};
use bus_schema::TenantId;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Bytes of a message.
const MESSAGE_LIMIT: usize = 300 << 10;
const RAW_HEADER: &str = "x-amz-sns-rawdelivery";

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnsAnswer {
    /// `confirmed`: the subscription. `recorded`: it says something about a mail. `known`: it was here before. `nothing`: it says
    /// nothing about the fate of a mail of this tenant.
    #[schema(example = "recorded")]
    pub outcome: &'static str,
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(notify)).layer(Extension(BodyLimit(MESSAGE_LIMIT)))
}

/// A message, whatever type it says it has: SNS says text/plain.
struct Posted {
    raw: bool,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let raw = request.headers().get(RAW_HEADER).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        Ok(Self { raw, body: body::read(request).await? })
    }
}

/// Takes a message of SNS: confirms a subscription, records bounces, complaints and deliveries of SES. Needs no login; the
/// message is believed by its signature (version 2), certificate, topic and age.
#[utoipa::path(post, path = "/v1/mail/sns/{tenant}", tag = "feedback", security(()),
    params(("tenant" = String, Path, description = "The tenant whose mails they are about")),
    request_body(content = String, content_type = "text/plain", description = "The message as SNS sends it"),
    responses((status = 200, body = SnsAnswer),
    (status = 403, description = "It is not believed; the log says why", body = ProblemDocument),
    (status = 413, body = ProblemDocument)))]
async fn notify(
    State(app): State<App>,
    Path(tenant): Path<String>,
    posted: Posted,
) -> Result<Json<SnsAnswer>, Problem> {
    let tenant = TenantId::try_new(&tenant).map_err(|_| Problem::not_found("tenant"))?;
    Ok(Json(app.feedback_desk.sns(&tenant, posted.raw, posted.body).await?))
}
