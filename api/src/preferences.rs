//! What somebody chooses to receive. It concerns contacts and the list of addresses that get no mail, so it stands beside both.

use crate::{
    app::App,
    http::problem::Problem,
    people::{self, consent_of},
};
use bus_schema::{
    Micros, TenantId,
    crm::contact::{ConsentEvidence, Purpose},
    mail::suppression::SuppressionReason,
};
use uuid::Uuid;
use writers::{
    Meta, WriteError,
    crm::contact::{Contact, ContactCommand},
    mail::suppression::{self, Suppress, Suppression},
};

/// The version of what the page says; evidence of a consent names it.
const TEXT_VERSION: &str = "preference page 1";
const SOURCE: &str = "preference page";
/// How long a pause lasts, in seconds: 30 days.
const PAUSE: i64 = 30 * 24 * 60 * 60;

/// What somebody receives now.
pub(crate) struct Choices {
    pub(crate) email: String,
    pub(crate) service: bool,
    pub(crate) marketing: bool,
    /// Nothing is sent, for now or for good.
    pub(crate) stopped: bool,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Receive {
        service: bool,
        marketing: bool,
    },
    /// Nothing for 30 days.
    Pause,
    /// Nothing any more.
    Leave,
}

/// The choices of a contact; `None` when it is gone or erased.
pub(crate) async fn choices(app: &App, tenant: &TenantId, contact: Uuid) -> Result<Option<Choices>, Problem> {
    if app.writer.load::<Contact>(tenant, contact).await?.state.details().is_none() {
        return Ok(None);
    }
    let person = people::person(app, tenant, contact, "").await?;
    let (service, marketing) =
        (person.consents_to(consent_of(Purpose::Service)), person.consents_to(consent_of(Purpose::Marketing)));
    let held = suppression::held(&app.writer, tenant, &person.details.email).await?;
    let stopped = held.contains(&SuppressionReason::UnsubscribeAll);
    Ok(Some(Choices { email: person.details.email, service, marketing, stopped }))
}

/// Does what somebody wants; again it changes nothing. `ip` is evidence of a consent.
pub(crate) async fn choose(
    app: &App,
    tenant: &TenantId,
    contact: Uuid,
    wish: Wish,
    ip: Option<String>,
    meta: &Meta,
) -> Result<(), Problem> {
    let Some(now) = choices(app, tenant, contact).await? else { return Ok(()) };
    let (service, marketing) = match wish {
        Wish::Receive { service, marketing } => (service, marketing),
        Wish::Pause => (now.service, now.marketing),
        Wish::Leave => (false, false),
    };
    for (purpose, has, wants) in
        [(Purpose::Service, now.service, service), (Purpose::Marketing, now.marketing, marketing)]
    {
        let command = match (has, wants) {
            (false, true) => {
                let (source, text_version) = (SOURCE.to_owned(), TEXT_VERSION.to_owned());
                let evidence = ConsentEvidence { source, text_version, ip: ip.clone(), given_at: app.clock.now() };
                ContactCommand::GiveConsent { purpose, evidence }
            }
            (true, false) => ContactCommand::WithdrawConsent { purpose, source: SOURCE.to_owned() },
            _ => continue,
        };
        let meta = Meta { command: meta.command.step(&format!("{purpose:?}")), ..meta.clone() };
        app.writer.execute::<Contact>(tenant, contact, &meta, &command).await?;
    }
    let stop = |expires_at: Option<Micros>| {
        let reason = SuppressionReason::UnsubscribeAll;
        Suppress { email: &now.email, reason, source: SOURCE, expires_at, note: None }
    };
    let meta = Meta { command: meta.command.step("suppression"), ..meta.clone() };
    match wish {
        Wish::Receive { .. } if (service || marketing) && now.stopped => {
            welcome(app, tenant, &now.email, SOURCE, &meta).await
        }
        Wish::Receive { .. } => Ok(()),
        Wish::Pause => {
            let wanted = stop(Some(app.clock.now().plus_seconds(PAUSE)));
            Ok(suppression::suppress(&app.writer, tenant, &meta, &wanted).await.map(|_| ())?)
        }
        Wish::Leave => Ok(suppression::suppress(&app.writer, tenant, &meta, &stop(None)).await.map(|_| ())?),
    }
}

/// Somebody wants mail again: what they asked for themselves is lifted, a bounce or a complaint stays.
pub(crate) async fn welcome(
    app: &App,
    tenant: &TenantId,
    email: &str,
    source: &str,
    meta: &Meta,
) -> Result<(), Problem> {
    let id = suppression::address_id(&app.writer, tenant, email).await?;
    if app.writer.load::<Suppression>(tenant, id).await?.revision == 0 {
        return Ok(());
    }
    let reason = Some(SuppressionReason::UnsubscribeAll);
    match suppression::lift(&app.writer, tenant, meta, id, reason, source).await {
        Ok(_) | Err(WriteError::Rejected(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
