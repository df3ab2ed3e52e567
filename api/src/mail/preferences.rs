//! `/v1/preferences/{token}`: where a receiver chooses what to get.
//!
//! The token is that of the link to unsubscribe. Looking changes nothing; the page shows no more of a person than a masked
//! address, because whoever has somebody's mail can open it. It needs no scripts.

use super::unsubscribe::leaver;
use crate::{
    app::App,
    http::{extract::Path, form::Form, network::PeerNetwork, problem::Problem},
    preferences::{self, Choices, Wish},
    public_page::{escaped, masked, page},
};
use axum::{
    extract::State,
    http::{Extensions, StatusCode},
    response::Response,
};
use bus_schema::{CommandId, TenantId};
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::{
    Meta,
    identity::tenant::{Tenant, tenant_aggregate},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, choose))
}

/// A page with what its receiver gets, without any effect. For people with a link of a mail; needs no login.
#[utoipa::path(get, path = "/v1/preferences/{token}", tag = "preferences", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    responses((status = 200, description = "A page with choices", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html")))]
async fn look(State(app): State<App>, Path(token): Path<String>) -> Result<Response, Problem> {
    let Some(leaver) = leaver(&app, &token).await? else { return Ok(unknown()) };
    show(&app, &leaver.tenant, preferences::choices(&app, &leaver.tenant, leaver.contact).await?, None).await
}

/// Does what the form says: `action=save` with `marketing=on` and `service=on` for what is wanted, `action=pause` (30 days)
/// or `action=leave`. Again it changes nothing. Needs no login.
#[utoipa::path(post, path = "/v1/preferences/{token}", tag = "preferences", security(()),
    params(("token" = String, Path, description = "The link's own proof")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Done, and the page as it is now", content_type = "text/html"),
    (status = 404, description = "The link is not one of this platform", content_type = "text/html")))]
async fn choose(
    State(app): State<App>,
    Path(token): Path<String>,
    network: PeerNetwork,
    extensions: Extensions,
    form: Form,
) -> Result<Response, Problem> {
    app.limits().admit_stranger(&network, &extensions)?;
    let Some(leaver) = leaver(&app, &token).await? else { return Ok(unknown()) };
    let (tenant, contact) = (&leaver.tenant, leaver.contact);
    let (wish, done) = match form.get("action") {
        Some("save") => {
            let wants = |purpose| form.get(purpose).is_some();
            let wish = Wish::Receive { service: wants("service"), marketing: wants("marketing") };
            (wish, "Your choices are saved.")
        }
        Some("pause") => (Wish::Pause, "You receive none of these mails for 30 days."),
        Some("leave") => (Wish::Leave, "You receive none of these mails any more."),
        _ => return look(State(app), Path(token)).await,
    };
    let meta = Meta { correlation: leaver.campaign, ..Meta::system("preferences", CommandId::random()) };
    preferences::choose(&app, tenant, contact, wish, network.0, &meta).await?;
    show(&app, tenant, preferences::choices(&app, tenant, contact).await?, Some(done)).await
}

async fn show(app: &App, tenant: &TenantId, choices: Option<Choices>, done: Option<&str>) -> Result<Response, Problem> {
    let Some(choices) = choices else {
        return Ok(page(StatusCode::OK, TITLE, "<p>Nothing is stored about you here any more.</p>"));
    };
    let id = tenant_aggregate(&app.writer, tenant).await?;
    let name = app.writer.load::<Tenant>(tenant, id).await?.state.name().to_owned();
    Ok(page(StatusCode::OK, TITLE, &body(&name, &choices, done)))
}

const TITLE: &str = "What you receive";

fn unknown() -> Response {
    let body = "<p>It is not complete, or its sender is gone. Open it as it stands in the mail.</p>";
    page(StatusCode::NOT_FOUND, "This link does not work", body)
}

fn body(sender: &str, choices: &Choices, done: Option<&str>) -> String {
    let status = done.map(|done| format!("<p role=\"status\">{done}</p>")).unwrap_or_default();
    let stopped = if choices.stopped {
        "<p>At the moment you receive none of these mails. Save a choice to receive them again.</p>"
    } else {
        ""
    };
    let checked = |on: bool| if on { " checked" } else { "" };
    format!(
        "{status}<p>Mail from {} to {}.</p>{stopped}\
         <form method=\"post\"><fieldset><legend>I want to receive</legend>\
         <label><input type=\"checkbox\" name=\"marketing\"{}>News and offers</label>\
         <label><input type=\"checkbox\" name=\"service\"{}>Messages about services I use</label></fieldset>\
         <button name=\"action\" value=\"save\">Save</button></form>\
         <h2>Or less</h2><form method=\"post\"><button name=\"action\" value=\"pause\">Pause for 30 days</button>\
         <button name=\"action\" value=\"leave\">Unsubscribe from everything</button></form>",
        escaped(sender),
        escaped(&masked(&choices.email)),
        checked(choices.marketing),
        checked(choices.service),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_a_masked_address_and_escapes_what_it_shows() {
        let choices = Choices { email: "<b>ada@x.example".into(), service: false, marketing: true, stopped: true };
        let html = body("Smith & <Sons>", &choices, Some("Done."));
        assert!(html.contains("Smith &amp; &lt;Sons&gt; to &lt;***@x***.example"), "{html}");
        assert!(!html.contains("ada") && !html.contains("<script") && html.contains("role=\"status\">Done."));
        assert_eq!(html.matches(" checked").count(), 1);
        assert!(html.contains("none of these mails") && html.contains("<legend>"), "{html}");
    }
}
