//! The port to whoever makes mails: what templates mean and how a mail is put together is the sender's.

use crate::http::problem::{FieldError, Problem};
use bus_schema::{
    Micros, TenantId,
    crm::contact::ContactDetails,
    keys::TenantKey,
    mail::{
        campaign::{CampaignContent, ConsentPurpose},
        test_send::TestOutcome,
    },
};
use futures::future::BoxFuture;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Makes mails.
pub trait MailDesk: Send + Sync + 'static {
    /// What is wrong with a content's templates before anybody gets them, by pointers into the content (`/html`). Without a
    /// purpose what is allowed for any.
    fn check(
        &self,
        content: CampaignContent,
        purpose: Option<ConsentPurpose>,
    ) -> BoxFuture<'_, Result<Vec<FieldError>, Problem>>;

    /// A mail as its receiver would get it. 422 when this receiver lacks what the words need.
    fn preview(&self, draft: MailDraft) -> BoxFuture<'_, Result<MailPreview, Problem>>;

    /// Sends it to another address, once, now; `test` names the test and `place` the address in it.
    fn test(&self, draft: MailDraft, test: Uuid, place: u16, to: String)
    -> BoxFuture<'_, Result<TestOutcome, Problem>>;
}

/// A campaign as it is now, and whose words it is to have.
#[derive(Clone)]
pub struct MailDraft {
    pub tenant: TenantId,
    pub key: Arc<TenantKey>,
    pub campaign: Uuid,
    pub purpose: ConsentPurpose,
    pub content: CampaignContent,
    pub receiver: ContactDetails,
    /// The tenant, as people call it.
    pub sender: String,
    pub postal_address: Vec<String>,
    pub at: Micros,
}

/// A mail to look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct MailPreview {
    pub subject: String,
    pub preheader: String,
    /// Shows nothing that is not in it: put it into a sandboxed frame.
    pub html: String,
    /// The plain part: the author's, or made from the HTML.
    pub text: String,
    /// In the order of the mail; empty when it cannot be sent yet.
    pub headers: Vec<MailHeader>,
    /// Bytes of the whole mail as it goes over the wire; 0 when it cannot be sent yet.
    pub size: usize,
    /// What its author should know; nothing of it keeps a mail from being sent, but `cannot_be_sent`.
    pub warnings: Vec<MailWarning>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailHeader {
    #[schema(example = "List-Unsubscribe-Post")]
    pub name: String,
    #[schema(example = "List-Unsubscribe=One-Click")]
    pub value: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailWarning {
    /// `html_too_large`, `insecure_link`, `insecure_image`, `image_without_alt`, `empty_link`, `unsupported_element`,
    /// `no_plain_part`, `subject_missing`, `postal_address_missing`, `cannot_be_sent`, `no_consent`, `suppressed`.
    #[schema(example = "insecure_link")]
    pub code: &'static str,
    pub message: String,
}
