//! `/v1/contacts`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        patch::Patch,
        problem::{Problem, ProblemDocument},
    },
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, Micros,
    crm::contact::{ConsentEvidence, ConsentRequest, ContactDetails, Purpose},
};
use projectors::{
    Record,
    crm::contacts::{ContactRow, Contacts, FILTERABLE, OF_ACTIVITY, PendingConsent},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    crm::contact::{self, Contact, ContactCommand},
    mail::suppression,
};

const WRITE: &str = "crm.contact:write";

pub struct ContactResource;

/// A contact.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Contact)]
pub struct ContactJson {
    pub id: Uuid,
    pub revision: u64,
    /// The personal fields are absent then.
    pub erased: bool,
    #[serde(flatten)]
    pub details: Option<ContactFields>,
    pub tags: Vec<String>,
    pub consents: ConsentsJson,
    pub pending_consents: PendingConsentsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<Uuid>,
    pub created_at: String,
    pub updated_at: String,
}

/// The personal fields of a contact.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContactFields {
    pub email: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub phone: Option<String>,
    pub city: Option<String>,
    pub country: Option<String>,
    pub notes: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentsJson {
    pub service: Option<ConsentJson>,
    pub marketing: Option<ConsentJson>,
}

/// A consent in force and how we know.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentJson {
    pub recorded_at: String,
    pub given_at: Option<String>,
    pub source: Option<String>,
    pub text_version: Option<String>,
    pub ip: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingConsents)]
pub struct PendingConsentsJson {
    pub service: Option<PendingConsentJson>,
    pub marketing: Option<PendingConsentJson>,
}

/// A consent that was asked for at the public form. There is none until the link of the mail is confirmed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingConsent)]
pub struct PendingConsentJson {
    pub asked_at: String,
    /// The link of the mail is of no use after this.
    pub expires_at: String,
    pub source: Option<String>,
    pub text_version: Option<String>,
    /// The network it was asked for from.
    pub ip: Option<String>,
    /// Given to the contact with the consent.
    pub tags: Vec<String>,
}

impl PendingConsentJson {
    fn of(pending: &PendingConsent, keys: &Keyring) -> Self {
        let request = pending.request.open(keys).ok().and_then(bus_schema::Revealed::known);
        let (source, text_version, ip, tags) = match request {
            Some(ConsentRequest { source, text_version, ip, tags }) => (Some(source), Some(text_version), ip, tags),
            None => (None, None, None, Vec::new()),
        };
        let (asked_at, expires_at) = (pending.asked_at.to_string(), pending.expires_at.to_string());
        Self { asked_at, expires_at, source, text_version, ip, tags }
    }
}

impl Resource for ContactResource {
    type View = Contacts;
    type Json = ContactJson;
    const NOUN: &'static str = "contact";
    const LIST: ListSpec = ListSpec {
        filterable: FILTERABLE,
        sortable: &[
            "email",
            "first_name",
            "last_name",
            "company",
            "city",
            "country",
            "created_at",
            "updated_at",
            "orders_count",
            "last_order_at",
            "enrolments_count",
            "last_enrolled_at",
            "last_opened_at",
            "last_clicked_at",
            "last_activity_at",
        ],
        default_sort: "-created_at",
        facetable: &["tags", "country", "city", "company"],
        searchable: true,
        ..ListSpec::NOTHING
    };
    const LIVE_ONLY: &'static [&'static str] = &OF_ACTIVITY;

    fn present(id: Uuid, record: &Record<ContactRow>, keys: &Keyring) -> ContactJson {
        let row = &record.row;
        let details = row.reveal(keys);
        let consent = |purpose| {
            let consent = row.consents.get(&purpose)?;
            let evidence = consent.evidence.open(keys).ok().and_then(bus_schema::Revealed::known);
            let evidence = evidence.as_ref();
            Some(ConsentJson {
                recorded_at: consent.recorded_at.to_string(),
                given_at: evidence.map(|evidence| evidence.given_at.to_string()),
                source: evidence.map(|evidence| evidence.source.clone()),
                text_version: evidence.map(|evidence| evidence.text_version.clone()),
                ip: evidence.and_then(|evidence| evidence.ip.clone()),
            })
        };
        let pending = |purpose| Some(PendingConsentJson::of(row.pending.get(&purpose)?, keys));
        ContactJson {
            id,
            revision: record.revision,
            erased: details.is_none(),
            details: details.map(|details| ContactFields {
                email: details.email,
                first_name: details.first_name,
                last_name: details.last_name,
                company: details.company,
                phone: details.phone,
                city: details.city,
                country: details.country,
                notes: details.notes,
            }),
            tags: row.tags.iter().cloned().collect(),
            consents: ConsentsJson { service: consent(Purpose::Service), marketing: consent(Purpose::Marketing) },
            pending_consents: PendingConsentsJson {
                service: pending(Purpose::Service),
                marketing: pending(Purpose::Marketing),
            },
            import: row.import,
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change, erase))
        .routes(routes!(tag, untag))
        .routes(routes!(give_consent, withdraw_consent))
}

/// A new contact.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "first_name": "Ada", "tags": ["newsletter"]}))]
pub struct NewContact {
    pub email: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub phone: Option<String>,
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    pub notes: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Makes a contact. An e-mail address belongs to one living contact of a tenant.
#[utoipa::path(post, path = "/v1/contacts", tag = "contacts", request_body = NewContact, responses(
    (status = 201, body = CommandReceipt), (status = 409, description = "email_taken", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewContact>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let new = command.body;
    let email = new.email.clone();
    let details = ContactDetails {
        email: new.email,
        first_name: new.first_name,
        last_name: new.last_name,
        company: new.company,
        phone: new.phone,
        city: new.city,
        country: new.country,
        notes: new.notes,
    };
    let create = ContactCommand::Create { details, tags: new.tags, import: None };
    let (id, receipt) = contact::create(&app.writer, &command.caller.tenant, &command.meta, &create, &email).await?;
    Ok(app.created("contacts", id, &receipt))
}

/// Changes of a contact: a field that is absent stays, null empties it (JSON Merge Patch, RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct ContactChanges {
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub first_name: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub last_name: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub company: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub phone: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub city: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub country: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub notes: Patch<String>,
}

fn patched(patch: &Patch<String>, present: Option<String>) -> Option<String> {
    patch.clone().into_change().unwrap_or(present)
}

/// Changes a contact's details. Send `If-Match` to keep others' changes from being lost.
#[utoipa::path(patch, path = "/v1/contacts/{id}", tag = "contacts", request_body = ContactChanges,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 412, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<ContactChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let changes = &command.body;
    let edit = |present: ContactDetails| ContactDetails {
        email: changes.email.clone().unwrap_or(present.email),
        first_name: patched(&changes.first_name, present.first_name),
        last_name: patched(&changes.last_name, present.last_name),
        company: patched(&changes.company, present.company),
        phone: patched(&changes.phone, present.phone),
        city: patched(&changes.city, present.city),
        country: patched(&changes.country, present.country),
        notes: patched(&changes.notes, present.notes),
    };
    let receipt = contact::change(&app.writer, &command.caller.tenant, id, &command.meta, None, edit).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Erases a person: every sealed value becomes unreadable in log, views, search and history. There is no way back.
#[utoipa::path(delete, path = "/v1/contacts/{id}", tag = "contacts", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn erase(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow("crm.contact:erase")?;
    let tenant = &command.caller.tenant;
    // First, while it is known where the address stands: a list of addresses that get no mail keeps no readable one.
    if let Some(home) = app.writer.load::<Contact>(tenant, id).await?.state.address_home() {
        let meta =
            Meta { command: command.meta.command.step("suppressed address"), if_match: None, ..command.meta.clone() };
        suppression::erase_address(&app.writer, tenant, &meta, home).await?;
    }
    let receipt = contact::erase(&app.writer, tenant, id, &command.meta).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Adds a tag; having it already changes nothing.
#[utoipa::path(put, path = "/v1/contacts/{id}/tags/{tag}", tag = "contacts",
    params(("id" = Uuid, Path), ("tag" = String, Path)), responses((status = 200, body = CommandReceipt)))]
async fn tag(
    State(app): State<App>,
    Path((id, tag)): Path<(Uuid, String)>,
    command: Command,
) -> Result<Response, Problem> {
    run(&app, id, &command, ContactCommand::Tag { tag }).await
}

/// Removes a tag.
#[utoipa::path(delete, path = "/v1/contacts/{id}/tags/{tag}", tag = "contacts",
    params(("id" = Uuid, Path), ("tag" = String, Path)), responses((status = 200, body = CommandReceipt)))]
async fn untag(
    State(app): State<App>,
    Path((id, tag)): Path<(Uuid, String)>,
    command: Command,
) -> Result<Response, Problem> {
    run(&app, id, &command, ContactCommand::Untag { tag }).await
}

/// How a consent is known.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewConsent {
    /// Where it was given.
    pub source: String,
    /// The version of the text the person saw.
    pub text_version: String,
    pub ip: Option<String>,
    /// RFC 3339; now when absent.
    pub given_at: Option<String>,
}

/// Records a consent with its evidence. The purpose is `service` or `marketing`.
#[utoipa::path(put, path = "/v1/contacts/{id}/consents/{purpose}", tag = "contacts", request_body = NewConsent,
    params(("id" = Uuid, Path), ("purpose" = String, Path)), responses((status = 200, body = CommandReceipt)))]
async fn give_consent(
    State(app): State<App>,
    Path((id, purpose)): Path<(Uuid, Purpose)>,
    command: Command<NewConsent>,
) -> Result<Response, Problem> {
    let new = &command.body;
    let given_at = match &new.given_at {
        Some(text) => Micros::parse(text).ok_or_else(|| crate::errors::invalid_time("/given_at"))?,
        None => command.meta.at.unwrap_or_else(|| app.clock.now()),
    };
    let evidence = ConsentEvidence {
        source: new.source.clone(),
        text_version: new.text_version.clone(),
        ip: new.ip.clone(),
        given_at,
    };
    run(&app, id, &command, ContactCommand::GiveConsent { purpose, evidence }).await
}

/// Where a consent was withdrawn.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Withdrawal {
    pub source: String,
}

/// Withdraws a consent; one that was only asked for, too: its link does nothing then.
#[utoipa::path(delete, path = "/v1/contacts/{id}/consents/{purpose}", tag = "contacts", request_body = Withdrawal,
    params(("id" = Uuid, Path), ("purpose" = String, Path)), responses((status = 200, body = CommandReceipt)))]
async fn withdraw_consent(
    State(app): State<App>,
    Path((id, purpose)): Path<(Uuid, Purpose)>,
    command: Command<Withdrawal>,
) -> Result<Response, Problem> {
    let source = command.body.source.clone();
    run(&app, id, &command, ContactCommand::WithdrawConsent { purpose, source }).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: ContactCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Contact>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
