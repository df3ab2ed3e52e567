//! `/v1/suppressions`: the addresses that get no mail.

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    errors::invalid_time,
    http::{
        body::{BodyLimit, JsonBody},
        codes::field,
        extract::Path,
        list::ListSpec,
        problem::{FieldError, Problem, ProblemDocument},
        token::ConsistencyToken,
    },
    resource::{Resource, read_scope},
};
use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bus_schema::{Keyring, Micros, mail::suppression::SuppressionReason};
use futures::{StreamExt, stream};
use projectors::{
    Record,
    mail::suppressions::{SuppressionRow, Suppressions},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta, WriteError,
    mail::suppression::{self, Suppress},
};

const WRITE: &str = "mail.suppression:write";
const REASONS: &[&str] = &["hard_bounce", "complaint", "unsubscribe_all", "manual"];
/// Addresses of one import.
const MAX_IMPORT: usize = 2_000;
/// Addresses asked about at once.
const MAX_CHECK: usize = 100;
/// The largest import as JSON, in bytes.
const IMPORT_LIMIT: usize = 2 * 1024 * 1024;
/// Addresses of an import that are written at once.
const AT_ONCE: usize = 32;

pub struct SuppressionResource;

/// An address that gets no mail, or one that was on the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Suppression)]
pub struct SuppressionJson {
    pub id: Uuid,
    pub revision: u64,
    /// Null when the person was erased; the address is still recognised.
    pub email: Option<String>,
    pub note: Option<String>,
    /// Why, the gravest first; empty when all were lifted.
    pub reasons: Vec<SuppressionHold>,
    pub created_at: String,
    pub updated_at: String,
}

/// One reason. Each holds and is lifted by itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionHold {
    /// `hard_bounce`, `complaint`, `unsubscribe_all` or `manual`.
    #[schema(example = "hard_bounce")]
    pub reason: &'static str,
    pub since: String,
    /// What said so.
    pub source: String,
    /// When it ends by itself; null: never.
    pub expires_at: Option<String>,
}

impl Resource for SuppressionResource {
    type View = Suppressions;
    type Json = SuppressionJson;
    const NOUN: &'static str = "suppression";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("email", FieldType::Keyword),
            ("reasons", FieldType::Choice(REASONS)),
            ("held", FieldType::Bool),
            ("expires_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["email", "expires_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["reasons", "held"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<SuppressionRow>, keys: &Keyring) -> SuppressionJson {
        let person = record.row.reveal(keys);
        let (email, note) = person.map_or((None, None), |person| (Some(person.email), person.note));
        let hold = |(reason, hold): (&SuppressionReason, &projectors::mail::suppressions::HoldRow)| SuppressionHold {
            reason: reason.as_str(),
            since: hold.since.to_string(),
            source: hold.source.clone(),
            expires_at: hold.expires_at.map(|end| end.to_string()),
        };
        SuppressionJson {
            id,
            revision: record.revision,
            email,
            note,
            reasons: record.row.holds.iter().map(hold).collect(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    let large = OpenApiRouter::new().routes(routes!(import)).layer(Extension(BodyLimit(IMPORT_LIMIT)));
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(lift)).routes(routes!(check)).merge(large)
}

/// Why an address gets no mail.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SuppressionReason)]
pub enum ReasonJson {
    HardBounce,
    Complaint,
    UnsubscribeAll,
    #[default]
    Manual,
}

impl From<ReasonJson> for SuppressionReason {
    fn from(reason: ReasonJson) -> Self {
        match reason {
            ReasonJson::HardBounce => Self::HardBounce,
            ReasonJson::Complaint => Self::Complaint,
            ReasonJson::UnsubscribeAll => Self::UnsubscribeAll,
            ReasonJson::Manual => Self::Manual,
        }
    }
}

/// An address that is to get no mail.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"email": "ada@example.org", "reason": "manual", "note": "asked by phone"}))]
pub struct NewSuppression {
    pub email: String,
    pub reason: ReasonJson,
    /// What says so, no personal data; `api` when absent.
    pub source: Option<String>,
    /// RFC 3339, in the future; for good when absent.
    pub expires_at: Option<String>,
    /// Sealed with the address.
    pub note: Option<String>,
}

/// Puts an address on the list of those that get no mail. It need not be a contact's. Doing it again, or for a shorter time,
/// changes nothing. Mail to many is stopped by every reason, mail to one person by all but `unsubscribe_all`.
#[utoipa::path(post, path = "/v1/suppressions", tag = "suppressions", request_body = NewSuppression, responses(
    (status = 201, body = CommandReceipt),
    (status = 422, description = "invalid_email, time_past, too_long, invalid_text", body = ProblemDocument)))]
async fn add(State(app): State<App>, command: Command<NewSuppression>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let new = &command.body;
    let expires_at = time(new.expires_at.as_deref())?;
    let wanted = Suppress {
        email: &new.email,
        reason: new.reason.into(),
        source: new.source.as_deref().unwrap_or("api"),
        expires_at,
        note: new.note.as_deref(),
    };
    let (id, receipt) = suppression::suppress(&app.writer, &command.caller.tenant, &command.meta, &wanted).await?;
    Ok(app.created("suppressions", id, &receipt))
}

fn time(text: Option<&str>) -> Result<Option<Micros>, Problem> {
    let parsed = |text| Micros::parse(text).ok_or_else(|| invalid_time("/expires_at"));
    text.map(parsed).transpose()
}

/// Which reason is taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Lifting {
    /// All of them when absent.
    pub reason: Option<ReasonJson>,
    /// Why, no personal data; `api` when absent.
    pub source: Option<String>,
}

/// Takes an address from the list, or one of its reasons. Its history stays.
#[utoipa::path(delete, path = "/v1/suppressions/{id}", tag = "suppressions", request_body = Lifting,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn lift(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Lifting>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let source = command.body.source.as_deref().unwrap_or("api");
    let reason = command.body.reason.map(SuppressionReason::from);
    let receipt = suppression::lift(&app.writer, &command.caller.tenant, &command.meta, id, reason, source).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Addresses from elsewhere: the list of another provider.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"reason": "hard_bounce", "source": "list of the former provider",
    "emails": ["ada@example.org"], "dry_run": true}))]
pub struct SuppressionImport {
    /// 1 to 2,000.
    pub emails: Vec<String>,
    pub reason: ReasonJson,
    /// What says so, no personal data; `import` when absent.
    pub source: Option<String>,
    /// RFC 3339, in the future; for good when absent.
    pub expires_at: Option<String>,
    /// Only says what would be refused.
    pub dry_run: bool,
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionImported {
    /// Addresses that are on the list now, also those that were there before. Of a dry run: those that would be.
    pub suppressed: usize,
    /// Places in `emails` that are no addresses; the others are on the list.
    pub refused: Vec<RefusedAddress>,
    /// `cell:position` in the log; null when nothing was written.
    pub position: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedAddress {
    /// From 0 on.
    pub index: usize,
    #[schema(example = "invalid_email")]
    pub code: &'static str,
}

/// Puts many addresses on the list. One that is no address does not keep the others from it. A request that was cut off is
/// finished by sending it again.
#[utoipa::path(post, path = "/v1/suppressions/import", tag = "suppressions", request_body = SuppressionImport,
    responses((status = 200, body = SuppressionImported),
    (status = 422, description = "too_many, required, time_past", body = ProblemDocument)))]
async fn import(State(app): State<App>, command: Command<SuppressionImport>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let SuppressionImport { emails, reason, source, expires_at, dry_run } = &command.body;
    bounded("/emails", emails.len(), MAX_IMPORT)?;
    let expires_at = time(expires_at.as_deref())?;
    let (app_ref, command_ref) = (&app, &command);
    let one = |(index, email): (usize, &String)| {
        let email = email.clone();
        async move {
            let (app, command) = (app_ref, command_ref);
            let source = source.as_deref().unwrap_or("import");
            let wanted = Suppress { email: &email, reason: (*reason).into(), source, expires_at, note: None };
            let tenant = &command.caller.tenant;
            if *dry_run {
                return (index, suppression::address_id(&app.writer, tenant, &email).await.map(|_| 0));
            }
            let id = command.meta.command.step(&format!("address {index}"));
            let meta = Meta { command: id, if_match: None, ..command.meta.clone() };
            let done = suppression::suppress(&app.writer, tenant, &meta, &wanted).await;
            (index, done.map(|(_, receipt)| receipt.position))
        }
    };
    let mut done = stream::iter(emails.iter().enumerate()).map(one).buffered(AT_ONCE);
    let (mut suppressed, mut refused, mut last) = (0, Vec::new(), 0);
    while let Some((index, outcome)) = done.next().await {
        match outcome {
            Ok(position) => (suppressed, last) = (suppressed + 1, last.max(position)),
            Err(WriteError::Rejected(rejected)) if rejected.pointer == "/email" => {
                refused.push(RefusedAddress { index, code: rejected.code });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let token = (last > 0).then(|| ConsistencyToken::at(app.cell.as_str(), last));
    let body = SuppressionImported { suppressed, refused, position: token.as_ref().map(ToString::to_string) };
    let mut response = (StatusCode::OK, Json(body)).into_response();
    if let Some(token) = token {
        token.write(response.headers_mut());
    }
    Ok(response)
}

/// Addresses that are asked about.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"emails": ["ada@example.org"]}))]
pub struct SuppressionQuestion {
    /// 1 to 100.
    pub emails: Vec<String>,
}

/// What holds for each address, in the order of the question.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionAnswer {
    pub items: Vec<SuppressionState>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionState {
    /// Where it stands on the list, if it is there.
    pub id: Uuid,
    /// What holds now, the gravest first; empty: it may get mail.
    #[schema(value_type = Vec<String>, example = json!(["hard_bounce"]))]
    pub reasons: Vec<&'static str>,
}

/// Whether addresses may get mail, at this moment. Needs `mail.suppression:read`.
#[utoipa::path(post, path = "/v1/suppressions/check", tag = "suppressions", request_body = SuppressionQuestion,
    responses((status = 200, body = SuppressionAnswer), (status = 422, description = "invalid_email, too_many, required",
    body = ProblemDocument)))]
async fn check(
    State(app): State<App>,
    caller: Caller,
    JsonBody { value: question, .. }: JsonBody<SuppressionQuestion>,
) -> Result<Json<SuppressionAnswer>, Problem> {
    caller.allow(&read_scope::<SuppressionResource>())?;
    bounded("/emails", question.emails.len(), MAX_CHECK)?;
    let mut items = Vec::new();
    for (index, email) in question.emails.iter().enumerate() {
        let at = |error| crate::errors::refused_at(error, "/email", &format!("/emails/{index}"));
        let id = suppression::address_id(&app.writer, &caller.tenant, email).await.map_err(at)?;
        let reasons = suppression::held(&app.writer, &caller.tenant, email).await?;
        items.push(SuppressionState { id, reasons: reasons.into_iter().map(SuppressionReason::as_str).collect() });
    }
    Ok(Json(SuppressionAnswer { items }))
}

fn bounded(pointer: &str, count: usize, most: usize) -> Result<(), Problem> {
    let (code, message) = match count {
        0 => (field::REQUIRED, "must not be empty".to_owned()),
        count if count > most => (field::TOO_MANY, format!("at most {most} at once")),
        _ => return Ok(()),
    };
    Err(Problem::validation(vec![FieldError::new(pointer, code, message)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::{KeyId, Sealed, SealingKey, mail::suppression::SuppressedPerson};
    use projectors::mail::suppressions::HoldRow;
    use std::{collections::BTreeMap, sync::Arc};

    #[test]
    fn search_knows_every_field_a_list_names() {
        let key = Arc::new(SealingKey::new(KeyId(Uuid::from_u128(1)), [1; 32]));
        let person = SuppressedPerson { email: "ada@x.example".into(), note: Some("n".into()) };
        let at = Micros(1_769_903_910_000_000);
        let hold = HoldRow { since: at, source: "api".into(), expires_at: Some(at) };
        let row = SuppressionRow {
            person: Some(Sealed::seal(&key, "test", &person).unwrap()),
            holds: BTreeMap::from([(SuppressionReason::Manual, hold)]),
        };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        let keys = Keyring::default().with(key);
        assert_eq!(missing_from_search::<SuppressionResource>(&record, &keys), Vec::<&str>::new());
        let shown = SuppressionResource::present(Uuid::from_u128(1), &record, &keys);
        assert_eq!((shown.email.as_deref(), shown.reasons[0].reason), (Some("ada@x.example"), "manual"));
        let erased = SuppressionResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        assert_eq!((erased.email, erased.reasons.len()), (None, 1));
    }

    #[test]
    fn every_reason_has_its_name() {
        assert_eq!(REASONS, SuppressionReason::ALL.map(SuppressionReason::as_str));
    }
}
