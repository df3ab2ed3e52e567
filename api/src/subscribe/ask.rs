//! What a request to a tenant's form does.

use super::Wanted;
use crate::{app::App, http::problem::Problem};
use bus_schema::{
    TenantId,
    crm::{
        contact::{ConsentEvidence, Purpose},
        subscription_form::SubscriptionFormSet,
    },
    mail::suppression::SuppressionReason,
};
use uuid::Uuid;
use writers::{
    Meta, WriteError,
    crm::{
        contact::{Contact, ContactCommand},
        subscription,
    },
    mail::suppression,
};

/// Asks the contact at an address, which is made if there is none. The mail follows from the event. What a contact's state does
/// not allow is nobody's business who only knows the address.
pub(super) async fn ask(
    app: &App,
    tenant: &TenantId,
    form: &SubscriptionFormSet,
    wanted: &Wanted,
    meta: &Meta,
) -> Result<(), Problem> {
    match run(app, tenant, form, wanted, meta).await {
        Ok(()) => Ok(()),
        Err(WriteError::Rejected(rejected)) => {
            tracing::info!(%tenant, code = rejected.code, "nobody is asked for a request at the form");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn run(
    app: &App,
    tenant: &TenantId,
    form: &SubscriptionFormSet,
    wanted: &Wanted,
    meta: &Meta,
) -> Result<(), WriteError> {
    let held = suppression::held(&app.writer, tenant, &wanted.details.email).await?;
    let (contact, made) =
        subscription::contact_at(&app.writer, tenant, &step(meta, "contact"), &wanted.details).await?;
    // Without double opt-in a stranger speaks for an address nobody knows, and for no other.
    if made && held.is_empty() && !form.double_opt_in {
        return give(app, tenant, contact, wanted, meta).await;
    }
    let although = held.contains(&SuppressionReason::UnsubscribeAll);
    let (purpose, request) = (wanted.purpose, wanted.request.clone());
    let ask = ContactCommand::AskConsent { purpose, request, although };
    app.writer.execute::<Contact>(tenant, contact, &step(meta, "ask"), &ask).await.map(|_| ())
}

/// The consent of somebody new whose address is not asked.
async fn give(app: &App, tenant: &TenantId, contact: Uuid, wanted: &Wanted, meta: &Meta) -> Result<(), WriteError> {
    let request = wanted.request.clone();
    let evidence = ConsentEvidence {
        source: format!("single opt-in: {}", request.source),
        text_version: request.text_version,
        ip: request.ip,
        given_at: app.clock.now(),
    };
    let purpose: Purpose = wanted.purpose;
    let consent = ContactCommand::GiveConsent { purpose, evidence };
    app.writer.execute::<Contact>(tenant, contact, &step(meta, "consent"), &consent).await?;
    for tag in request.tags {
        let meta = step(meta, &format!("tag {tag}"));
        app.writer.execute::<Contact>(tenant, contact, &meta, &ContactCommand::Tag { tag }).await?;
    }
    Ok(())
}

fn step(meta: &Meta, name: &str) -> Meta {
    Meta { command: meta.command.step(name), ..meta.clone() }
}
