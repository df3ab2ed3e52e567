//! `/v1/sites/{tenant}/subscribe`: where strangers ask for a tenant's mail (double opt-in).
//!
//! Whoever asks gets the same answer after the same time, whatever is known of the address; what there is to say goes there as
//! a mail. It concerns contacts and the list of addresses that get no mail, so it stands beside both.

mod ask;
mod confirm;

use crate::{
    app::App,
    http::{
        body::{self, BodyLimit, JsonBody},
        codes::field,
        correlation::Correlation,
        extract::Path,
        form::Form,
        network::PeerNetwork,
        problem::{FieldError, Problem, ProblemDocument},
    },
    public_page::{escaped, page},
};
use axum::{
    Extension, Json,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bus_schema::{
    CommandId, TenantId,
    crm::{
        contact::{ConsentRequest, ContactDetails, Purpose},
        subscription_form::SubscriptionFormSet,
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::{
    Meta, WriteError,
    crm::{
        contact::{valid_details, valid_request},
        subscription_form::open_form,
    },
    identity::tenant::{Tenant, tenant_aggregate},
};

/// Requests of one network within an hour, to all tenants.
const OF_NETWORK: u32 = 30;
/// Requests to one tenant within an hour.
const OF_TENANT: u32 = 1_200;
/// Nobody is answered sooner: what is done for an address that is known takes another time than for one that is not.
const ANSWER_AFTER: Duration = Duration::from_millis(300);
/// Bytes of a request.
const LIMIT: usize = 16 * 1024;
/// How old what a page shows of a tenant may be.
const FRESH: Duration = Duration::from_secs(1);

pub fn routes() -> OpenApiRouter<App> {
    let form = OpenApiRouter::new().routes(routes!(show, subscribe)).layer(Extension(BodyLimit(LIMIT)));
    form.merge(confirm::routes())
}

/// Somebody who wants mail.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"email": "ada@example.org", "first_name": "Ada", "tags": ["newsletter"],
    "source": "footer of the site", "text_version": "2026-01"}))]
pub struct NewSubscription {
    pub email: String,
    /// Known of a new contact only; one that is there keeps its names.
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub purpose: SubscriptionPurpose,
    /// Of those the tenant's form offers.
    pub tags: Vec<String>,
    /// Where it was asked for, at most 100 characters; evidence of the consent. `form` when absent.
    pub source: Option<String>,
    /// The version of the text the person saw; evidence of the consent. The form's present one when absent.
    pub text_version: Option<String>,
    /// No person sees this field of a form: nothing is done for who fills it in.
    pub website: Option<String>,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionPurpose {
    /// Messages about a service the person uses.
    Service,
    #[default]
    Marketing,
}

/// The answer to everybody.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionAsked {
    /// If the address can get mail, one goes to it. Its link has to be confirmed within 48 hours.
    #[schema(example = "confirmation_requested")]
    pub status: &'static str,
}

/// What was asked for, within its limits.
struct Wanted {
    details: ContactDetails,
    purpose: Purpose,
    request: ConsentRequest,
}

/// A form to ask for a tenant's mail, for people. Needs no login.
#[utoipa::path(get, path = "/v1/sites/{tenant}/subscribe", tag = "subscriptions", security(()),
    params(("tenant" = String, Path, description = "The tenant's fixed name")),
    responses((status = 200, description = "A form", content_type = "text/html"),
    (status = 404, description = "There is no such tenant, or its form is closed", body = ProblemDocument)))]
async fn show(State(app): State<App>, Path(tenant): Path<String>) -> Result<Response, Problem> {
    let (tenant, form) = form_of(&app, &tenant).await?;
    let name = name_of(&app, &tenant).await?;
    Ok(page(StatusCode::OK, &format!("Mail from {}", escaped(&name)), &fields(&form)))
}

/// Asks for mail of a tenant. A mail with a link goes to the address, and only who opens it and confirms is on the list. The
/// answer is the same for every address. Takes JSON, and forms (`application/x-www-form-urlencoded`), which get a page. Needs
/// no login. An address is asked again after ten minutes, and if nobody answers after an hour, six hours, a day; a network
/// may ask 30 times an hour.
#[utoipa::path(post, path = "/v1/sites/{tenant}/subscribe", tag = "subscriptions", security(()),
    request_body = NewSubscription, params(("tenant" = String, Path, description = "The tenant's fixed name")),
    responses((status = 202, body = SubscriptionAsked),
    (status = 404, description = "There is no such tenant, or its form is closed", body = ProblemDocument),
    (status = 413, body = ProblemDocument),
    (status = 422, description = "invalid_email, too_long, invalid_text, invalid_tag, too_many_tags, tag_not_offered",
    body = ProblemDocument), (status = 429, body = ProblemDocument)))]
async fn subscribe(State(app): State<App>, Path(tenant): Path<String>, request: Request) -> Response {
    let people = Form::is_in(&request);
    match (take(&app, &tenant, request, people).await, people) {
        (Ok(()), true) => page(StatusCode::ACCEPTED, "Look into your mailbox", ASKED),
        (Ok(()), false) => {
            (StatusCode::ACCEPTED, Json(SubscriptionAsked { status: "confirmation_requested" })).into_response()
        }
        (Err(problem), true) => refused(&problem),
        (Err(problem), false) => problem.into_response(),
    }
}

const ASKED: &str = "<p>We have sent you a mail, if this address can get one. Open the link in it to confirm; it works for two \
    days.</p>";

/// Counted by where it comes from before its body is read.
async fn take(app: &App, tenant: &str, request: Request, people: bool) -> Result<(), Problem> {
    let begun = Instant::now();
    let (mut parts, stream) = request.into_parts();
    let Ok(network) = PeerNetwork::from_request_parts(&mut parts, app).await;
    app.limits().admit_stranger(&network, &parts.extensions)?;
    let from = format!("subscriptions from {}", network.0.as_deref().unwrap_or_default());
    app.limits().admit_hourly("", &from, OF_NETWORK, 1)?;
    let (tenant, form) = form_of(app, tenant).await?;
    let correlation = Correlation::from_headers(&parts.headers);
    let trace = Some(correlation.traceparent());
    let meta = Meta { correlation: correlation.id(), trace, ..Meta::system("subscription-form", CommandId::random()) };
    let request = Request::from_parts(parts, stream);
    let new = match people {
        true => of_form(&Form::parse(&body::read(request).await?)),
        false => JsonBody::from_request(request, app).await?.value,
    };
    let is_person = new.website.as_deref().is_none_or(|website| website.trim().is_empty());
    let wanted = valid(&form, new, network.0)?;
    app.limits().admit_hourly(tenant.as_str(), "subscriptions", OF_TENANT, 1)?;
    let done = if is_person { ask::ask(app, &tenant, &form, &wanted, &meta).await } else { Ok(()) };
    tokio::time::sleep_until(begun + ANSWER_AFTER).await;
    done
}

/// An open form; a tenant that has none looks like no tenant.
async fn form_of(app: &App, tenant: &str) -> Result<(TenantId, SubscriptionFormSet), Problem> {
    let missing = || Problem::not_found("subscription form");
    let tenant = TenantId::try_new(tenant).map_err(|_| missing())?;
    if app.keys.tenant(&tenant).await?.is_none() {
        return Err(missing());
    }
    let form = open_form(&app.writer, &tenant).await?.ok_or_else(missing)?;
    Ok((tenant, form))
}

/// As people know a tenant.
async fn name_of(app: &App, tenant: &TenantId) -> Result<String, Problem> {
    let id = tenant_aggregate(&app.writer, tenant).await?;
    let name = app.writer.load_cached::<Tenant>(tenant, id, FRESH).await?.state.name().to_owned();
    Ok(if name.is_empty() { tenant.to_string() } else { name })
}

fn of_form(form: &Form) -> NewSubscription {
    let text = |name: &str| form.get(name).map(str::to_owned);
    NewSubscription {
        email: text("email").unwrap_or_default(),
        first_name: text("first_name"),
        last_name: text("last_name"),
        purpose: match form.get("purpose") {
            Some("service") => SubscriptionPurpose::Service,
            _ => SubscriptionPurpose::Marketing,
        },
        tags: form.all("tags").map(str::to_owned).collect(),
        source: text("source"),
        text_version: text("text_version"),
        website: text("website"),
    }
}

fn valid(form: &SubscriptionFormSet, new: NewSubscription, ip: Option<String>) -> Result<Wanted, Problem> {
    let NewSubscription { email, first_name, last_name, purpose, tags, source, text_version, website: _ } = new;
    let details = ContactDetails { email, first_name, last_name, ..ContactDetails::default() };
    let details = valid_details(&details).map_err(WriteError::from)?;
    let or = |text: Option<String>, usual: &str| {
        text.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| usual.to_owned())
    };
    let (source, text_version) = (or(source, "form"), or(text_version, &form.text_version));
    let request = ConsentRequest { source, text_version, ip, tags };
    let request = valid_request(&request).map_err(WriteError::from)?;
    if let Some(tag) = request.tags.iter().find(|tag| !form.tags.contains(tag)) {
        let message = format!("the form does not offer the tag {tag}");
        let error = FieldError::new("/tags", field::TAG_NOT_OFFERED, message).allowing(&form.tags);
        return Err(Problem::validation(vec![error]));
    }
    let purpose = match purpose {
        SubscriptionPurpose::Service => Purpose::Service,
        SubscriptionPurpose::Marketing => Purpose::Marketing,
    };
    Ok(Wanted { details, purpose, request })
}

/// The fields of the form's page. `website` is out of people's sight.
fn fields(form: &SubscriptionFormSet) -> String {
    let tag = |tag: &String| {
        let tag = escaped(tag);
        format!("<label><input type=\"checkbox\" name=\"tags\" value=\"{tag}\">{tag}</label>")
    };
    let tags: String = form.tags.iter().map(tag).collect();
    let tags = match tags.as_str() {
        "" => String::new(),
        tags => format!("<fieldset><legend>About</legend>{tags}</fieldset>"),
    };
    format!(
        "<form method=\"post\"><p><label>E-mail address<br><input name=\"email\" type=\"email\" required maxlength=\"254\" \
         autocomplete=\"email\"></label></p><p><label>First name, if you like<br><input name=\"first_name\" maxlength=\"100\" \
         autocomplete=\"given-name\"></label></p>{tags}<p hidden><label>Leave this empty<input name=\"website\" tabindex=\"-1\" \
         autocomplete=\"off\"></label></p><input type=\"hidden\" name=\"source\" value=\"subscription page\">\
         <input type=\"hidden\" name=\"text_version\" value=\"{}\"><p>{}</p><button>Subscribe</button></form>",
        escaped(&form.text_version),
        escaped(&form.text).replace('\n', "<br>"),
    )
}

/// What was wrong with a form, for people.
fn refused(problem: &Problem) -> Response {
    let lines: String = match problem.errors() {
        [] => format!("<p>{}</p>", escaped(problem.detail())),
        errors => errors.iter().map(|error| format!("<p>{}</p>", escaped(&error.message))).collect(),
    };
    let body = format!("{lines}<p>Go back and try it again.</p>");
    page(problem.code().status(), "That did not work", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> SubscriptionFormSet {
        let (text, text_version) = ("<b>Yes</b>\nplease".into(), "2026-01".into());
        SubscriptionFormSet { open: true, double_opt_in: true, tags: vec!["letter".into()], text, text_version }
    }

    fn asked(body: &[u8]) -> Result<Wanted, Problem> {
        valid(&form(), of_form(&Form::parse(body)), Some("192.0.2.7".into()))
    }

    #[test]
    fn a_form_is_what_it_says_with_what_is_usual() {
        let wanted = asked(b"email=ada%2Bx%40x.example&first_name=Ada&tags=letter&tags=Letter&source=").unwrap();
        assert_eq!((wanted.details.email.as_str(), wanted.purpose), ("ada+x@x.example", Purpose::Marketing));
        let ConsentRequest { source, text_version, ip, tags } = wanted.request;
        assert_eq!((source.as_str(), text_version.as_str()), ("form", "2026-01"));
        assert_eq!((ip.as_deref(), tags), (Some("192.0.2.7"), vec!["letter".to_owned()]));
        let service = asked(b"email=a@x.example&purpose=service").unwrap();
        assert_eq!((service.purpose, service.details.first_name), (Purpose::Service, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("email=a@x.example&source={}", "x".repeat(101));
        let table: [(&[u8], &str); 5] = [
            (b"", "invalid_email"),
            (b"email=a%0d%0aBcc:b@x.example", "invalid_email"),
            (b"email=a@x.example&tags=vip", "tag_not_offered"),
            (b"email=a@x.example&tags=%3Cb%3E", "invalid_tag"),
            (long.as_bytes(), "too_long"),
        ];
        for (body, code) in table {
            let problem = asked(body).err().unwrap();
            assert_eq!(problem.code().status_number(), 422);
            assert_eq!(problem.errors()[0].code, code);
        }
    }

    #[test]
    fn the_page_escapes_what_the_tenant_wrote() {
        let html = fields(&form());
        assert!(html.contains("&lt;b&gt;Yes&lt;&#x2f;b&gt;<br>please"), "{html}");
        assert!(html.contains("value=\"letter\">letter") && html.contains("<p hidden>"), "{html}");
        assert!(!fields(&SubscriptionFormSet { tags: vec![], ..form() }).contains("fieldset"));
    }
}
