//! `/v1/campaigns/{id}/preview` and `/test`: what an author does before a campaign goes out.

use super::desk::{MailDraft, MailPreview, MailWarning};
use crate::{
    app::App,
    caller::Caller,
    command::Command,
    errors::rejection,
    http::{
        body::JsonBody,
        codes::{ProblemCode, field},
        extract::Path,
        idempotency::mark_replayed,
        problem::{FieldError, Problem, ProblemDocument},
    },
    people::{self, Person},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use bus_schema::{
    crm::contact::ContactDetails,
    mail::{campaign::ConsentPurpose, chunk::Fate, feedback::BounceKind, test_send::TestOutcome},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    identity::tenant::{Tenant, tenant_aggregate},
    mail::{
        campaign::{Campaign, CampaignRejection, CampaignStatus},
        suppression,
        test_send::{MAX_ADDRESSES, TestReturned, TestSend, TestSendCommand},
    },
};

const READ: &str = "mail.campaign:read";
const WRITE: &str = "mail.campaign:write";
const CONTACTS: &str = "crm.contact:read";
/// Test mails of a tenant within an hour.
const TESTS: u32 = 60;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview_mail)).routes(routes!(test)).routes(routes!(test_result))
}

/// 409 unless a campaign's words are fit for its purpose and marketing says whose it is. What is missing altogether the
/// campaign itself says.
pub(super) async fn fit(app: &App, caller: &Caller, id: Uuid) -> Result<(), Problem> {
    let campaign = app.writer.load::<Campaign>(&caller.tenant, id).await?;
    let state = &campaign.state;
    let open = matches!(state.status(), CampaignStatus::Draft | CampaignStatus::Scheduled { .. });
    let (true, Some(segment), Some(content)) = (open, state.segment(), state.content()) else { return Ok(()) };
    let faults = app.mail.check(content.clone(), Some(segment.purpose)).await?;
    if !faults.is_empty() {
        let placed = |fault: FieldError| FieldError { pointer: format!("/content{}", fault.pointer), ..fault };
        let why = "the campaign's words have faults; set its content again";
        return Err(Problem::new(ProblemCode::Rejected, why).with_errors(faults.into_iter().map(placed)));
    }
    let marketing = segment.purpose == ConsentPurpose::Marketing && !content.html.trim().is_empty();
    if marketing && imprint(app, caller).await?.1.is_empty() {
        return Err(rejection(CampaignRejection::PostalAddressMissing.into()));
    }
    if app.mail_obstacle.is_none() {
        let draft = draft(app, caller, id, sample()).await?;
        // What cannot even be shown was looked at above.
        if let Ok(seen) = app.mail.preview(draft).await {
            sendable(&seen)?;
        }
    }
    Ok(())
}

/// That the providers here would take it: its sender is at their domain.
fn sendable(seen: &MailPreview) -> Result<(), Problem> {
    let Some(warning) = seen.warnings.iter().find(|warning| warning.code == "cannot_be_sent") else { return Ok(()) };
    let detail = FieldError::new("/content", "cannot_be_sent", warning.message.clone());
    Err(rejection(CampaignRejection::Unfit.into()).with_error(detail))
}

/// What the tenant is called and where it gets post.
async fn imprint(app: &App, caller: &Caller) -> Result<(String, Vec<String>), Problem> {
    let id = tenant_aggregate(&app.writer, &caller.tenant).await?;
    let tenant = app.writer.load::<Tenant>(&caller.tenant, id).await?;
    Ok((tenant.state.name().to_owned(), tenant.state.postal_address().to_vec()))
}

/// The campaign as it is now, with somebody's words.
async fn draft(app: &App, caller: &Caller, id: Uuid, receiver: ContactDetails) -> Result<MailDraft, Problem> {
    let campaign = app.writer.load::<Campaign>(&caller.tenant, id).await?;
    if campaign.revision == 0 {
        return Err(rejection(CampaignRejection::Unknown.into()));
    }
    let (sender, postal_address) = imprint(app, caller).await?;
    Ok(MailDraft {
        tenant: caller.tenant.clone(),
        key: app.writer.tenant_key(&caller.tenant).await?,
        campaign: id,
        purpose: campaign.state.segment().map_or(ConsentPurpose::Marketing, |segment| segment.purpose),
        content: campaign.state.content().cloned().unwrap_or_default(),
        receiver,
        sender,
        postal_address,
        at: app.clock.now(),
    })
}

/// Somebody made up, who has every field.
fn sample() -> ContactDetails {
    let text = |text: &str| Some(text.to_owned());
    ContactDetails {
        email: "alex@example.org".into(),
        first_name: text("Alex"),
        last_name: text("Example"),
        company: text("Example Ltd"),
        city: text("Exampleton"),
        country: text("GB"),
        ..ContactDetails::default()
    }
}

/// As whom a campaign is looked at.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct PreviewAs {
    /// A contact; somebody made up who has every field when absent.
    pub contact: Option<Uuid>,
}

/// A campaign's mail as a contact would get it, drafts too. Nothing is sent or recorded, and its links lead nowhere. A field
/// that the contact lacks and that has no fallback is an error here. Needs `mail.campaign:read`, and `crm.contact:read` for
/// a contact.
#[utoipa::path(post, path = "/v1/campaigns/{id}/preview", tag = "campaigns", request_body = PreviewAs,
    params(("id" = Uuid, Path)), responses((status = 200, body = MailPreview), (status = 404, body = ProblemDocument),
    (status = 422, description = "unknown_contact, contact_erased, missing_field, template_fault", body = ProblemDocument)))]
async fn preview_mail(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    JsonBody { value: wanted, .. }: JsonBody<PreviewAs>,
) -> Result<Json<MailPreview>, Problem> {
    caller.allow(READ)?;
    let person = match wanted.contact {
        Some(contact) => {
            caller.allow(CONTACTS)?;
            Some(people::person(&app, &caller.tenant, contact, "/contact").await?)
        }
        None => None,
    };
    let details = person.as_ref().map_or_else(sample, |person| person.details.clone());
    let draft = draft(&app, &caller, id, details).await?;
    let purpose = draft.purpose;
    let mut preview = app.mail.preview(draft).await?;
    if let Some(person) = person {
        preview.warnings.extend(would_not_get(&app, &caller, &person, purpose).await?);
    }
    Ok(Json(preview))
}

/// Why a contact would not get the campaign.
async fn would_not_get(
    app: &App,
    caller: &Caller,
    person: &Person,
    purpose: ConsentPurpose,
) -> Result<Vec<MailWarning>, Problem> {
    let mut warnings = Vec::new();
    if !person.consents_to(purpose) {
        let message = "this contact has not consented and would not get it".to_owned();
        warnings.push(MailWarning { code: "no_consent", message });
    }
    let held = suppression::held(&app.writer, &caller.tenant, &person.details.email).await?;
    if let Some(reason) = held.first() {
        let message = format!("this contact's address is on the suppression list: {}", reason.as_str());
        warnings.push(MailWarning { code: "suppressed", message });
    }
    Ok(warnings)
}

/// Where a test goes, and with whose words: `emails` get those of `contact`, `contacts` each their own.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"emails": ["me@garden.example"]}))]
pub struct NewTest {
    /// 1 to 10 addresses.
    pub emails: Vec<String>,
    /// Whose words they get; somebody's made up who has every field when absent.
    pub contact: Option<Uuid>,
    /// Instead of `emails`: 1 to 10 contacts.
    pub contacts: Vec<Uuid>,
}

/// What became of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestResult {
    pub id: Uuid,
    /// In the order of the request.
    pub results: Vec<AddressResult>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AddressResult {
    /// `accepted`, `rejected`, `deferred`, `skipped`, `unsent`, or `unknown`: it may have been taken, and is not sent again.
    #[schema(example = "accepted")]
    pub state: &'static str,
    /// A stage and a code of the provider, or why nothing was sent.
    pub cause: Option<String>,
    /// How final the bounce is, if it came back: `permanent`, `transient` or `undetermined`.
    pub bounced: Option<&'static str>,
    /// Of the bounce, when it is told (RFC 3463).
    #[schema(example = "5.1.1")]
    pub status: Option<String>,
    /// Whoever got it called it spam.
    pub complained: bool,
}

impl AddressResult {
    fn new(outcome: TestOutcome, returned: Option<&TestReturned>) -> Self {
        let state = match outcome.fate {
            Fate::Accepted => "accepted",
            Fate::Rejected => "rejected",
            Fate::Deferred => "deferred",
            Fate::Unknown => "unknown",
            Fate::Skipped => "skipped",
            Fate::Unsent => "unsent",
        };
        let TestReturned { bounce, status, complained } = returned.cloned().unwrap_or_default();
        let bounced = bounce.map(BounceKind::as_str);
        Self { state, cause: outcome.cause, bounced, status, complained }
    }
}

impl TestResult {
    fn of(id: Uuid, test: &TestSend) -> Self {
        let outcomes = (0u16..).zip(test.outcomes());
        Self {
            id,
            results: outcomes.map(|(place, outcome)| AddressResult::new(outcome, test.returned(place))).collect(),
        }
    }
}

/// One mail of a test.
struct TestMail {
    to: String,
    details: ContactDetails,
}

/// Sends a campaign's mail to its author's mailboxes, now and once each, with `[Test]` before the subject. It is no part of
/// the campaign's counts, its links lead nowhere, and its event has no address. The same request again (`Idempotency-Key`)
/// sends nothing and says what became of it. At most 60 test mails an hour. Needs `mail.campaign:write`, and `crm.contact:read`
/// for contacts.
#[utoipa::path(post, path = "/v1/campaigns/{id}/test", tag = "campaigns", request_body = NewTest,
    params(("id" = Uuid, Path)), responses((status = 200, body = TestResult),
    (status = 409, description = "campaign_unfit: no provider, or the sender cannot be used", body = ProblemDocument),
    (status = 422, description = "required, too_many, invalid_email, unknown_contact, missing_field", body = ProblemDocument)))]
async fn test(State(app): State<App>, Path(id): Path<Uuid>, command: Command<NewTest>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (caller, tenant) = (&command.caller, &command.caller.tenant);
    let mails = mails(&app, &command).await?;
    let draft = draft(&app, caller, id, sample()).await?;
    let test = command.meta.command.aggregate(0);
    let done = app.writer.load::<TestSend>(tenant, test).await?;
    if done.revision == 0 {
        app.limits().admit_hourly(tenant.as_str(), "test mails", TESTS, u32::try_from(mails.len()).unwrap_or(TESTS))?;
        // What cannot be sent at all is not recorded as a test.
        for mail in &mails {
            let seen = app.mail.preview(MailDraft { receiver: mail.details.clone(), ..draft.clone() }).await?;
            sendable(&seen)?;
        }
    }
    let addresses = mails.iter().map(|mail| draft.key.claim("mail.test", &mail.to)).collect();
    let request = TestSendCommand::Request { campaign: id, addresses };
    let receipt = app.writer.execute::<TestSend>(tenant, test, &command.meta, &request).await?;
    if !receipt.replayed {
        let mut outcomes = Vec::new();
        for (place, mail) in (0u16..).zip(mails) {
            outcomes.push(send(&app, &draft, (test, place), mail).await?);
        }
        let meta = Meta { command: command.meta.command.step("finish"), if_match: None, ..command.meta.clone() };
        let finish = TestSendCommand::Finish { outcomes };
        app.writer.execute::<TestSend>(tenant, test, &meta, &finish).await?;
    }
    let state = app.writer.load::<TestSend>(tenant, test).await?;
    let mut response = Json(TestResult::of(test, &state.state)).into_response();
    if receipt.replayed {
        mark_replayed(response.headers_mut());
    }
    Ok(response)
}

/// What became of a test, and what came back about it since. Needs `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/tests/{test}", tag = "campaigns",
    params(("id" = Uuid, Path), ("test" = Uuid, Path)),
    responses((status = 200, body = TestResult), (status = 404, body = ProblemDocument)))]
async fn test_result(
    State(app): State<App>,
    caller: Caller,
    Path((id, test)): Path<(Uuid, Uuid)>,
) -> Result<Json<TestResult>, Problem> {
    caller.allow(READ)?;
    let found = app.writer.load::<TestSend>(&caller.tenant, test).await?;
    if found.state.campaign() != Some(id) {
        return Err(Problem::not_found("test"));
    }
    Ok(Json(TestResult::of(test, &found.state)))
}

async fn send(
    app: &App,
    draft: &MailDraft,
    (test, place): (Uuid, u16),
    mail: TestMail,
) -> Result<TestOutcome, Problem> {
    let held = suppression::held(&app.writer, &draft.tenant, &mail.to).await?;
    if let Some(reason) = held.into_iter().find(|reason| reason.stops_transactional()) {
        return Ok(TestOutcome { fate: Fate::Skipped, cause: Some(format!("suppressed: {}", reason.as_str())) });
    }
    let draft = MailDraft { receiver: mail.details, ..draft.clone() };
    app.mail.test(draft, test, place, mail.to).await
}

/// Who gets which words.
async fn mails(app: &App, command: &Command<NewTest>) -> Result<Vec<TestMail>, Problem> {
    let NewTest { emails, contact, contacts } = &command.body;
    let wrong = |pointer: &str, code: &'static str, message: &str| {
        Problem::validation(vec![FieldError::new(pointer, code, message)])
    };
    match (emails.len(), contacts.len()) {
        (0, 0) => return Err(wrong("/emails", field::REQUIRED, "name 1 to 10 emails or contacts")),
        (emails, contacts) if emails > 0 && contacts > 0 => {
            return Err(wrong("/contacts", field::INVALID_VALUE, "name either emails or contacts"));
        }
        (emails, contacts) if emails.max(contacts) > MAX_ADDRESSES => {
            let pointer = if emails > 0 { "/emails" } else { "/contacts" };
            return Err(wrong(pointer, field::TOO_MANY, "a test goes to at most 10"));
        }
        _ => {}
    }
    if contact.is_some() || !contacts.is_empty() {
        command.allow(CONTACTS)?;
    }
    let tenant = &command.caller.tenant;
    let mut mails = Vec::new();
    for (index, contact) in contacts.iter().enumerate() {
        let details = people::person(app, tenant, *contact, &format!("/contacts/{index}")).await?.details;
        mails.push(TestMail { to: details.email.clone(), details });
    }
    let words = match contact {
        Some(contact) => people::person(app, tenant, *contact, "/contact").await?.details,
        None => sample(),
    };
    for (index, email) in emails.iter().enumerate() {
        let pointer = format!("/emails/{index}");
        let why = "an e-mail address has the form name@domain (RFC 5321)";
        let to = writers::text::normal_email(email).ok_or_else(|| wrong(&pointer, "invalid_email", why))?;
        mails.push(TestMail { to, details: words.clone() });
    }
    Ok(mails)
}
