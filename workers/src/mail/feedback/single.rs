//! What came back about a mail to one person: a message, or one mail of a test of a campaign.
//!
//! A message shows it, and its address gets no more mail when it should not, as with campaigns. A test keeps it beside its
//! outcome. The addresses of a test are known as keyed hashes only, so one is put on the list when the report itself names it.

use super::{
    Feedback, FeedbackError,
    intake::{Reported, meta},
};
use bus_schema::{Revealed, TenantId};
use uuid::Uuid;
use writers::mail::{
    message::{Message, MessageCommand},
    test_send::{TestSend, TestSendCommand},
};

pub(super) async fn message(
    feedback: &Feedback,
    tenant: &TenantId,
    id: Uuid,
    generation: u32,
    reported: &Reported<'_>,
) -> Result<bool, FeedbackError> {
    let writer = &feedback.writer;
    let before = writer.load::<Message>(tenant, id).await?;
    let tell = MessageCommand::Tell { generation, what: reported.what.clone() };
    let receipt = writer.execute::<Message>(tenant, id, &meta(id), &tell).await?;
    let news = receipt.value.revision != before.revision;
    let Some(intent) = before.state.intent() else { return Ok(news) };
    let keys = writer.keys().load(tenant, &[intent.content.key()]).await?;
    // Erased: nobody writes to them any more.
    if let Some(content) = intent.content.open(&keys).ok().and_then(Revealed::known) {
        let source = format!("{} about message {id}", reported.via);
        feedback.list(tenant, id, &content.email, reported, &source, news).await?;
    }
    Ok(news)
}

pub(super) async fn test(
    feedback: &Feedback,
    tenant: &TenantId,
    id: Uuid,
    place: u16,
    reported: &Reported<'_>,
) -> Result<bool, FeedbackError> {
    let writer = &feedback.writer;
    let before = writer.load::<TestSend>(tenant, id).await?;
    let tell = TestSendCommand::Tell { place, what: reported.what.clone() };
    let receipt = writer.execute::<TestSend>(tenant, id, &meta(id), &tell).await?;
    let news = receipt.value.revision != before.revision;
    let key = writer.tenant_key(tenant).await?;
    let known = before.state.addresses().get(usize::from(place));
    let named = reported.recipients.iter().find(|email| known == Some(&key.claim("mail.test", email)));
    if let Some(email) = named {
        feedback.list(tenant, id, email, reported, &format!("{} about test {id}", reported.via), news).await?;
    }
    Ok(news)
}
