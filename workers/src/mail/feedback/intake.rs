//! What a report leads to: it is recorded for its mail, and the address gets no more mail when it should not.
//!
//! Every step may be repeated: a report that was cut off half-way is given again by whoever brought it, and what was done
//! before changes nothing.

use super::{
    matcher::{MailAddressed, MatchError, Matcher},
    report::{self, Report, Said},
};
use crate::mail::Verp;
use bus_schema::{
    CommandId, TenantId,
    bus::Bus,
    crm::contact::ContactDetails,
    mail::{
        chunk::{Fate, Proof},
        feedback::BounceKind,
        response::MailRef,
        suppression::SuppressionReason,
    },
};
use uuid::Uuid;
use writers::{
    Meta, WriteError, Writer,
    crm::contact::Contact,
    mail::{
        feedback::{Tell, Told, tell},
        recipients::{Evidence, reconcile},
        suppression::{self, Suppress},
    },
};

/// Takes reports in. Cheap to clone.
#[derive(Clone)]
pub struct Feedback {
    matcher: Matcher,
    writer: Writer,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is about this mail. `news` is false when all of it was known.
    Recorded { mail: MailAddressed, said: Said, news: bool },
    /// It says nothing about the fate of a mail.
    NoReport,
    /// It is about no mail of ours, or of another tenant's.
    Unmatched,
}

impl Feedback {
    pub fn new(bus: Bus, writer: Writer) -> Self {
        Self { matcher: Matcher::new(bus, writer.clone()), writer }
    }

    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// A message that came in. `to`: the address it came to, if that is one of ours, which counts more than what it says.
    /// With `only` a mail of another tenant is none.
    pub async fn message(
        &self,
        raw: &[u8],
        to: Option<&Verp>,
        only: Option<&TenantId>,
    ) -> Result<Noted, FeedbackError> {
        let Report { said, mails } = report::read(raw);
        let (what, via) = match &said {
            Said::Nothing => return Ok(Noted::NoReport),
            Said::Bounced { kind, status } => (Told::Bounced { kind: *kind, status: status.clone() }, "dsn"),
            Said::Delivered => (Told::Delivered, "dsn"),
            Said::Complained { kind } => (Told::Complained { kind: kind.clone() }, "arf"),
            Said::NotSpam => (Told::NotSpam, "arf"),
        };
        for verp in to.into_iter().chain(&mails) {
            let Some(mail) = self.matcher.find(verp).await? else { continue };
            if only.is_some_and(|tenant| *tenant != mail.tenant) {
                continue;
            }
            let news = self.note(&mail.tenant, mail.mail, what, via).await?;
            let proof = if via == "arf" { Proof::Complaint } else { Proof::Bounce };
            self.settle(&mail, proof).await?;
            return Ok(Noted::Recorded { mail, said, news });
        }
        Ok(Noted::Unmatched)
    }

    /// Records what is said of a mail and does what follows. Says whether any of it was new.
    pub async fn note(&self, tenant: &TenantId, mail: MailRef, what: Told, via: &str) -> Result<bool, FeedbackError> {
        let follows = match &what {
            Told::Bounced { kind: BounceKind::Permanent, .. } => Some(SuppressionReason::HardBounce),
            Told::Complained { .. } | Told::NotSpam => Some(SuppressionReason::Complaint),
            Told::Bounced { .. } | Told::Delivered => None,
        };
        let lifts = what == Told::NotSpam;
        let told = Tell { mail, what, via: via.to_owned() };
        let before = self.writer.load::<writers::mail::feedback::Feedback>(tenant, feedback_of(&mail)).await?.revision;
        let receipt = tell(&self.writer, tenant, &meta(mail.campaign), &told).await?;
        let news = receipt.value.revision != before;
        let Some(reason) = follows else { return Ok(news) };
        let Some(details) = self.details(tenant, mail.contact).await? else { return Ok(news) };
        let source = format!("{via} about campaign {}", mail.campaign);
        let done = if !lifts {
            let wanted = Suppress { email: &details.email, reason, source: &source, expires_at: None, note: None };
            suppression::suppress(&self.writer, tenant, &meta(mail.campaign), &wanted).await.map(|_| ())
        } else if news {
            // Only what this mail's complaint put there is taken back.
            let id = suppression::address_id(&self.writer, tenant, &details.email).await?;
            let meta = meta(mail.campaign);
            suppression::lift(&self.writer, tenant, &meta, id, Some(reason), &source).await.map(|_| ())
        } else {
            Ok(())
        };
        match done {
            // The address is none any more, or was not on the list: nothing is left to do.
            Ok(()) | Err(WriteError::Rejected(_)) => Ok(news),
            Err(error) => Err(error.into()),
        }
    }

    /// Whatever comes back proves that a mail was taken of which nobody could tell.
    pub async fn settle(&self, mail: &MailAddressed, proof: Proof) -> Result<(), FeedbackError> {
        if mail.fate != Some(Fate::Unknown) {
            return Ok(());
        }
        let MailRef { campaign, contact, .. } = mail.mail;
        let evidence = vec![Evidence { contact, accepted: true, proof, provider_id: None }];
        reconcile(&self.writer, &mail.tenant, campaign, &meta(campaign), evidence).await?;
        Ok(())
    }

    /// The receiver as known now; `None` when they are gone or erased, and then nobody writes to them.
    async fn details(&self, tenant: &TenantId, contact: Uuid) -> Result<Option<ContactDetails>, FeedbackError> {
        let contact = self.writer.load::<Contact>(tenant, contact).await?;
        let Some(sealed) = contact.state.details() else { return Ok(None) };
        let keys = self.writer.keys().load(tenant, &[sealed.key()]).await?;
        Ok(sealed.open(&keys).ok().and_then(bus_schema::Revealed::known))
    }
}

fn feedback_of(mail: &MailRef) -> Uuid {
    bus_schema::mail::feedback::feedback_id(mail)
}

fn meta(campaign: Uuid) -> Meta {
    Meta { correlation: campaign, ..Meta::system("mail feedback", CommandId::random()) }
}

/// Why a report cannot be recorded now; it is to be given again.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    #[error(transparent)]
    Match(#[from] MatchError),
    #[error("what came back cannot be recorded: {0}")]
    Write(#[from] WriteError),
    #[error("the keys of its receiver: {0}")]
    Keys(#[from] bus_schema::keys::KeyError),
}
