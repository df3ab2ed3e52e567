//! What a report leads to: it is recorded for its mail, and the address gets no more mail when it should not.
//!
//! Every step may be repeated: a report that was cut off half-way is given again by whoever brought it, and what was done
//! before changes nothing.

use super::{
    matcher::{Addressed, MailAddressed, MatchError, Matcher},
    report::{self, Report, Said},
    single,
};
use crate::mail::{ReturnAddress, Token};
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
use projectors::Views;
use uuid::Uuid;
use writers::{
    Meta, WriteError, Writer,
    crm::contact::Contact,
    mail::{
        feedback::{Tell, Told, tell},
        recipients::{Evidence, Verdict, reconcile},
        suppression::{self, Suppress},
    },
};

/// Takes reports in. Cheap to clone.
#[derive(Clone)]
pub struct Feedback {
    matcher: Matcher,
    pub(super) writer: Writer,
}

/// What is said of one mail, and by whom.
pub struct Reported<'a> {
    pub what: &'a Told,
    /// `dsn`, `arf`, `smtp` or `sns`.
    pub via: &'a str,
    /// The addresses it says it is about.
    pub recipients: &'a [String],
}

impl Reported<'_> {
    /// The list it puts an address on, or takes one off.
    fn follows(&self) -> Option<SuppressionReason> {
        match self.what {
            Told::Bounced { kind: BounceKind::Permanent, .. } => Some(SuppressionReason::HardBounce),
            Told::Complained { .. } | Told::NotSpam => Some(SuppressionReason::Complaint),
            Told::Bounced { .. } | Told::Delivered => None,
        }
    }
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is about this mail. `news` is false when all of it was known.
    Recorded { mail: Addressed, said: Said, news: bool },
    /// It says nothing about the fate of a mail.
    NoReport,
    /// It is about no mail of ours, or of another tenant's.
    Unmatched,
}

impl Feedback {
    pub fn new(bus: Bus, writer: Writer, views: Views) -> Self {
        Self { matcher: Matcher::new(bus, writer.clone(), views), writer }
    }

    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// A message that came in. `to`: the address it came to, if that is one of ours, which counts more than what it says.
    /// With `only` a mail of another tenant is none.
    pub async fn message(
        &self,
        raw: &[u8],
        to: Option<&ReturnAddress>,
        only: Option<&TenantId>,
    ) -> Result<Noted, FeedbackError> {
        let Report { said, mails, message_ids, recipients } = report::read(raw);
        let (what, via) = match &said {
            Said::Nothing => return Ok(Noted::NoReport),
            Said::Bounced { kind, status } => (Told::Bounced { kind: *kind, status: status.clone() }, "dsn"),
            Said::Delivered => (Told::Delivered, "dsn"),
            Said::Complained { kind } => (Told::Complained { kind: kind.clone() }, "arf"),
            Said::NotSpam => (Told::NotSpam, "arf"),
        };
        let addresses: Vec<ReturnAddress> = to.copied().into_iter().chain(mails).collect();
        let Some(mail) = self.locate(&addresses, &message_ids, only).await? else { return Ok(Noted::Unmatched) };
        let news = self.told(&mail, &Reported { what: &what, via, recipients: &recipients }).await?;
        let proof = if via == "arf" { Proof::Complaint } else { Proof::Bounce };
        self.settle(&mail, proof).await?;
        Ok(Noted::Recorded { mail, said, news })
    }

    /// The mail a report is about: by the address it came back to, then by Message-ID, if it is known whose it is.
    pub async fn locate(
        &self,
        addresses: &[ReturnAddress],
        message_ids: &[Token],
        only: Option<&TenantId>,
    ) -> Result<Option<Addressed>, FeedbackError> {
        for address in addresses {
            let found = self.matcher.find(address).await?;
            if let Some(found) = found.filter(|found| only.is_none_or(|tenant| tenant == found.tenant())) {
                return Ok(Some(found));
            }
        }
        let Some(tenant) = only else { return Ok(None) };
        for token in message_ids {
            if let Some(found) = self.matcher.find_by_message_id(tenant, token).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Records what is said of a mail and does what follows. Says whether any of it was new.
    pub async fn told(&self, mail: &Addressed, reported: &Reported<'_>) -> Result<bool, FeedbackError> {
        match mail {
            Addressed::Campaign(mail) => self.note(&mail.tenant, mail.mail, reported).await,
            Addressed::Message { tenant, id, generation } => {
                single::message(self, tenant, *id, *generation, reported).await
            }
            Addressed::Test { tenant, id, place } => single::test(self, tenant, *id, *place, reported).await,
        }
    }

    /// The same of a campaign's mail.
    pub async fn note(&self, tenant: &TenantId, mail: MailRef, reported: &Reported<'_>) -> Result<bool, FeedbackError> {
        let told = Tell { mail, what: reported.what.clone(), via: reported.via.to_owned() };
        let before = self.writer.load::<writers::mail::feedback::Feedback>(tenant, feedback_of(&mail)).await?.revision;
        let receipt = tell(&self.writer, tenant, &meta(mail.campaign), &told).await?;
        let news = receipt.value.revision != before;
        if reported.follows().is_some()
            && let Some(details) = self.details(tenant, mail.contact).await?
        {
            let source = format!("{} about campaign {}", reported.via, mail.campaign);
            self.list(tenant, mail.campaign, &details.email, reported, &source, news).await?;
        }
        Ok(news)
    }

    /// Puts an address on the list, or takes it off, if the report says so. Only what the complaint of this very mail put there is taken
    /// back, so that must be news.
    pub(super) async fn list(
        &self,
        tenant: &TenantId,
        about: Uuid,
        email: &str,
        reported: &Reported<'_>,
        source: &str,
        news: bool,
    ) -> Result<(), FeedbackError> {
        let Some(reason) = reported.follows() else { return Ok(()) };
        let done = if *reported.what != Told::NotSpam {
            let wanted = Suppress { email, reason, source, expires_at: None, note: None };
            suppression::suppress(&self.writer, tenant, &meta(about), &wanted).await.map(|_| ())
        } else if news {
            match suppression::address_id(&self.writer, tenant, email).await {
                Ok(id) => {
                    suppression::lift(&self.writer, tenant, &meta(about), id, Some(reason), source).await.map(|_| ())
                }
                Err(error) => Err(error),
            }
        } else {
            Ok(())
        };
        match done {
            // The address is none any more, or was not on the list: nothing is left to do.
            Ok(()) | Err(WriteError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whatever comes back proves that a mail was taken of which nobody could tell.
    /// True: it was unknown, and is accepted now.
    pub async fn settle(&self, mail: &Addressed, proof: Proof) -> Result<bool, FeedbackError> {
        let Addressed::Campaign(mail @ MailAddressed { fate: Some(Fate::Unknown), .. }) = mail else {
            return Ok(false);
        };
        let MailRef { campaign, contact, .. } = mail.mail;
        let evidence = vec![Evidence { contact, accepted: true, proof, provider_id: None }];
        let (verdicts, _) = reconcile(&self.writer, &mail.tenant, campaign, &meta(campaign), evidence).await?;
        Ok(verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Reconciled))
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

pub(super) fn meta(about: Uuid) -> Meta {
    Meta { correlation: about, ..Meta::system("mail feedback", CommandId::random()) }
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
