//! `/v1/subscriptions/{token}`: where the link of a confirmation leads.
//!
//! Looking changes nothing: programs follow links before people do. Only the button is a consent, and pressing it again changes
//! nothing.

use super::name_of;
use crate::{
    app::App,
    http::{extract::Path, network::PeerNetwork, problem::Problem},
    people, preferences,
    public_page::{escaped, masked, page},
};
use axum::{
    extract::State,
    http::{Extensions, StatusCode},
    response::Response,
};
use bus_schema::{CommandId, crm::contact::Purpose};
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::{
    Meta, WriteError,
    crm::{
        contact::{Contact, ContactCommand, LinkState},
        subscription::ConfirmationLink,
    },
};

const SOURCE: &str = "confirmed subscription";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, confirm))
}

/// A page that asks whether to confirm, without any effect. For people with a link of a mail; needs no login.
#[utoipa::path(get, path = "/v1/subscriptions/{token}", tag = "subscriptions", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "A page with a button, or that it is confirmed", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html"),
    (status = 410, description = "The link is older than 48 hours, was withdrawn, or a later one took its place",
    content_type = "text/html")))]
async fn look(State(app): State<App>, Path(token): Path<String>) -> Result<Response, Problem> {
    let Some((link, state)) = opened(&app, &token).await? else { return Ok(unknown()) };
    if state != LinkState::Open {
        return Ok(closed(state));
    }
    let email = people::person(&app, &link.tenant, link.contact, "").await?.details.email;
    let what = match link.purpose {
        Purpose::Marketing => "news and offers",
        Purpose::Service => "messages about services you use",
    };
    let body = format!(
        "<p>Do you want to receive {what} from {} at {}?</p><form method=\"post\"><button>Yes, send me mail</button></form>\
         <p>If you did not ask for it, close this page: nothing is sent to you.</p>",
        escaped(&name_of(&app, &link.tenant).await?),
        escaped(&masked(&email)),
    );
    Ok(page(StatusCode::OK, "Please confirm", &body))
}

/// Confirms: the consent is recorded with its evidence, and the contact gets the tags that were asked for. Mail that its owner had
/// stopped comes again; a bounce or a complaint stays. Any body is taken. Again it changes nothing. Needs no login.
#[utoipa::path(post, path = "/v1/subscriptions/{token}", tag = "subscriptions", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "Confirmed, also when it was before", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html"),
    (status = 410, description = "The link is older than 48 hours, was withdrawn, or a later one took its place",
    content_type = "text/html")))]
async fn confirm(
    State(app): State<App>,
    Path(token): Path<String>,
    network: PeerNetwork,
    extensions: Extensions,
) -> Result<Response, Problem> {
    app.limits().admit_stranger(&network, &extensions)?;
    let Some((link, state)) = opened(&app, &token).await? else { return Ok(unknown()) };
    if state != LinkState::Open {
        return Ok(closed(state));
    }
    let ConfirmationLink { tenant, contact, purpose, round } = link;
    let email = people::person(&app, &tenant, contact, "").await?.details.email;
    let meta = Meta::system("subscription", CommandId::random());
    // First, so that a request that was cut off can be sent again while the link is still open.
    let welcome = Meta { command: meta.command.step("welcome"), ..meta.clone() };
    preferences::welcome(&app, &tenant, &email, SOURCE, &welcome).await?;
    let confirm = ContactCommand::ConfirmConsent { purpose, round, ip: network.0 };
    match app.writer.execute::<Contact>(&tenant, contact, &meta, &confirm).await {
        Ok(_) => Ok(closed(LinkState::Confirmed)),
        // Withdrawn, asked again or erased at this moment.
        Err(WriteError::Rejected(_)) => Ok(closed(LinkState::Closed)),
        Err(error) => Err(error.into()),
    }
}

/// Which question a token answers and what it is good for now; `None`: no tenant made it.
async fn opened(app: &App, token: &str) -> Result<Option<(ConfirmationLink, LinkState)>, Problem> {
    let Some(unproven) = ConfirmationLink::read(token) else { return Ok(None) };
    let Some(key) = app.keys.tenant(unproven.tenant()).await? else { return Ok(None) };
    let Some(link) = unproven.proven(&key) else { return Ok(None) };
    let contact = app.writer.load::<Contact>(&link.tenant, link.contact).await?;
    let state = contact.state.link(link.purpose, link.round, app.clock.now());
    Ok(Some((link, state)))
}

fn unknown() -> Response {
    let body = "<p>It is not complete, or its sender is gone. Open it as it stands in the mail.</p>";
    page(StatusCode::NOT_FOUND, "This link does not work", body)
}

/// What a link says that is not open.
fn closed(state: LinkState) -> Response {
    let (status, title, body) = match state {
        LinkState::Open | LinkState::Confirmed => {
            (StatusCode::OK, "Confirmed", "<p>Thank you. You can change your mind with the link in every mail.</p>")
        }
        LinkState::Expired => (
            StatusCode::GONE,
            "This link is too old",
            "<p>It worked for two days. Ask for mail once more, and you get another link.</p>",
        ),
        LinkState::Closed => (
            StatusCode::GONE,
            "This link is over",
            "<p>It was withdrawn, or a later mail has another link. Ask for mail once more if you want some.</p>",
        ),
    };
    page(status, title, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_over_is_gone_and_says_why() {
        for (state, status) in [(LinkState::Confirmed, 200), (LinkState::Expired, 410), (LinkState::Closed, 410)] {
            assert_eq!(closed(state).status().as_u16(), status, "{state:?}");
        }
        assert_eq!(unknown().status().as_u16(), 404);
    }
}
