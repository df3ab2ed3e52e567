//! The API's port to whoever makes mails, over this installation's provider.

use api::{
    http::{
        codes::ProblemCode,
        problem::{FieldError, Problem},
    },
    mail::desk::{MailDesk, MailDraft, MailHeader, MailPreview, MailWarning},
};
use bus_schema::mail::{
    campaign::{CampaignContent, ConsentPurpose},
    test_send::TestOutcome,
};
use futures::future::BoxFuture;
use std::io;
use tokio::sync::Semaphore;
use uuid::Uuid;
use workers::mail::campaign::{
    Imprint, NO_OUTLET, Outlet,
    check::{self, TemplateFault},
    preview::{self, Draft, TestFault},
};

/// Mails made at once for authors; each takes a thread and perhaps seconds of it.
const AT_ONCE: usize = 4;

pub struct PreparedMail {
    outlet: Option<Outlet>,
    making: Semaphore,
}

impl PreparedMail {
    pub fn new(outlet: Option<Outlet>) -> Self {
        Self { outlet, making: Semaphore::new(AT_ONCE) }
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.making.acquire().await.map_err(|error| Problem::fault(&error))
    }
}

impl MailDesk for PreparedMail {
    fn check(
        &self,
        content: CampaignContent,
        purpose: Option<ConsentPurpose>,
    ) -> BoxFuture<'_, Result<Vec<FieldError>, Problem>> {
        Box::pin(async move {
            let _turn = self.turn().await?;
            let faults = check::faults(content, purpose).await.map_err(failed)?;
            Ok(faults.iter().map(error_of).collect())
        })
    }

    fn preview(&self, draft: MailDraft) -> BoxFuture<'_, Result<MailPreview, Problem>> {
        Box::pin(async move {
            let _turn = self.turn().await?;
            let seen = preview::preview(draft_of(draft), self.outlet.clone()).await.map_err(failed)?;
            let seen = seen.map_err(|fault| Problem::validation(vec![placed(&fault)]))?;
            Ok(MailPreview {
                subject: seen.subject,
                preheader: seen.preheader,
                html: seen.html,
                text: seen.text,
                headers: seen.headers.into_iter().map(|(name, value)| MailHeader { name, value }).collect(),
                size: seen.size,
                warnings: seen
                    .cautions
                    .into_iter()
                    .map(|caution| MailWarning { code: caution.code, message: caution.message })
                    .collect(),
            })
        })
    }

    fn test(
        &self,
        draft: MailDraft,
        test: Uuid,
        place: u16,
        to: String,
    ) -> BoxFuture<'_, Result<TestOutcome, Problem>> {
        Box::pin(async move {
            let unfit = |why: String| Problem::new(ProblemCode::Rejected, why);
            let outlet = self.outlet.clone().ok_or_else(|| unfit(NO_OUTLET.to_owned()))?;
            match preview::send_test(draft_of(draft), outlet, test, place, to).await.map_err(failed)? {
                Ok(outcome) => Ok(outcome),
                Err(TestFault::Unfit(why)) => Err(unfit(why)),
                Err(TestFault::Words(fault)) => Err(Problem::validation(vec![placed(&fault)])),
            }
        })
    }
}

fn draft_of(draft: MailDraft) -> Draft {
    let MailDraft { tenant, key, campaign, purpose, content, receiver, sender, postal_address, at } = draft;
    let imprint = Imprint { name: sender, postal_address };
    Draft { tenant, key, campaign, purpose, content, imprint, receiver, at }
}

fn failed(error: io::Error) -> Problem {
    Problem::unavailable(&error, 2)
}

/// Of a content that is being set.
fn error_of(fault: &TemplateFault) -> FieldError {
    let place = match fault.column {
        Some(column) => format!("line {}, column {column}", fault.line),
        None => format!("line {}", fault.line),
    };
    FieldError::new(format!("/{}", fault.part), fault.code, format!("{place}: {}", fault.message))
}

/// Of a campaign that has it.
fn placed(fault: &TemplateFault) -> FieldError {
    let error = error_of(fault);
    FieldError { pointer: format!("/content{}", error.pointer), ..error }
}
