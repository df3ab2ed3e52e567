//! A campaign's mail as one receiver would get it, and the same mail to its author's own mailboxes.
//!
//! Neither has an effect on the receiver: the links lead nowhere, nothing is counted, and nothing is recorded of a preview.

use super::{
    Imprint, Outlet,
    caution::{self, Caution},
    check::TemplateFault,
    fate,
    merge::{Around, Words},
    prepare::{NOBODY, Prepared, Sample, SampleError},
    stack,
};
use crate::mail::{
    Class, HeaderText, IntentKey, MailAddress, Mailbox, SingleVerp, Token, plain_text,
    providers::{Handed, NoGate, Origin},
};
use bus_schema::{
    Micros, TenantId,
    crm::contact::ContactDetails,
    keys::TenantKey,
    mail::{
        campaign::{CampaignContent, ConsentPurpose},
        chunk::{Fate, Outcome},
        test_send::TestOutcome,
    },
};
use std::{io, sync::Arc};
use uuid::Uuid;

/// A campaign as it is now, and whose words it is to have.
#[derive(Clone)]
pub struct Draft {
    pub tenant: TenantId,
    pub key: Arc<TenantKey>,
    pub campaign: Uuid,
    pub purpose: ConsentPurpose,
    pub content: CampaignContent,
    pub imprint: Imprint,
    pub receiver: ContactDetails,
    pub at: Micros,
}

/// A mail to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub subject: String,
    pub preheader: String,
    pub html: String,
    pub text: String,
    /// In the order of the mail; none when it cannot be sent yet.
    pub headers: Vec<(String, String)>,
    /// The whole mail as it goes over the wire, in bytes; 0 when it cannot be sent yet.
    pub size: usize,
    pub cautions: Vec<Caution>,
}

/// Where links lead when there is no provider and so no public address.
const NOWHERE: &str = "https://preview.invalid";

/// Makes the mail of a draft. The faults are those of this receiver.
pub async fn preview(draft: Draft, outlet: Option<Outlet>) -> io::Result<Result<Preview, TemplateFault>> {
    stack::run(move || look(&draft, outlet.as_ref())).await
}

fn look(draft: &Draft, outlet: Option<&Outlet>) -> Result<Preview, TemplateFault> {
    let words = Words::try_new(&draft.content).map_err(|error| TemplateFault::of(&error))?;
    let unsubscribe = outlet.map_or_else(|| format!("{NOWHERE}/unsubscribe"), |outlet| outlet.unsubscribe(NOBODY));
    let preferences = outlet.map_or_else(|| format!("{NOWHERE}/preferences"), |outlet| outlet.preferences(NOBODY));
    let around = Around {
        unsubscribe: (draft.purpose == ConsentPurpose::Marketing).then_some(&*unsubscribe),
        preferences: Some(&preferences),
        sender: &draft.imprint.name,
        postal_address: &draft.imprint.postal_address,
    };
    let merged = words.merge(&draft.receiver, &around).map_err(|error| TemplateFault::of(&error))?;
    let mut cautions = caution::of_html(&merged.html);
    let text = match &merged.text {
        Some(text) => text.clone(),
        None => plain_text(&merged.html).unwrap_or_else(|error| {
            cautions.push(Caution::new("no_plain_part", error.to_string()));
            String::new()
        }),
    };
    if draft.purpose == ConsentPurpose::Marketing && draft.imprint.postal_address.is_empty() {
        let message = "the sender has no postal address, which marketing mail shows: PUT /v1/tenant/postal-address";
        cautions.push(Caution::new("postal_address_missing", message));
    }
    if merged.subject.is_empty() {
        cautions.push(Caution::new("subject_missing", "there is no subject"));
    }
    let (mut headers, mut size) = (Vec::new(), 0);
    match whole(draft, outlet) {
        Ok(message) => (headers, size) = (headers_of(&message), message.len()),
        Err(why) => cautions.push(Caution::new("cannot_be_sent", why)),
    }
    let (subject, preheader, html) = (merged.subject, merged.preheader, merged.html);
    Ok(Preview { subject, preheader, html, text, headers, size, cautions })
}

/// The mail as it would go over the wire, or why it would not.
fn whole(draft: &Draft, outlet: Option<&Outlet>) -> Result<Vec<u8>, String> {
    let outlet = outlet.ok_or(super::NO_OUTLET)?;
    let prepared = prepared(draft, outlet)?;
    let address = MailAddress::try_new(&draft.receiver.email).map_err(|error| error.to_string())?;
    let made = prepared.sample(&sample(draft, address, None)?);
    Ok(made.map_err(|error| error.to_string())?.message)
}

fn prepared(draft: &Draft, outlet: &Outlet) -> Result<Prepared, String> {
    let Draft { tenant, key, campaign, purpose, content, imprint, .. } = draft;
    let prepared = Prepared::try_new(outlet, tenant, key.clone(), *campaign, *purpose, content, imprint.clone());
    prepared.map_err(|unfit| unfit.to_string())
}

/// A mail to an address. Its token belongs to no recipient of the campaign: nothing that comes back is counted as theirs.
fn sample<'a>(draft: &'a Draft, to: MailAddress, test: Option<(Uuid, u16)>) -> Result<Sample<'a>, String> {
    let (token, verp, mark) = match test {
        Some((id, place)) => {
            let token = test_token(&draft.key, &draft.tenant, id, place);
            let verp = SingleVerp::of(&token, id, u32::from(place));
            (token, verp, "[Test] ")
        }
        None => (sample_key(&draft.key).token(&draft.tenant, "preview", &to.to_string(), 0), None, ""),
    };
    let name = HeaderText::try_new("").map_err(|error| error.to_string())?;
    Ok(Sample { to: Mailbox::new(name, to), token, verp, mark, details: &draft.receiver, at: draft.at })
}

/// Of the mail of a test to the address in this place.
pub(in crate::mail) fn test_token(key: &TenantKey, tenant: &TenantId, test: Uuid, place: u16) -> Token {
    sample_key(key).token(tenant, &test.to_string(), &place.to_string(), 0)
}

fn sample_key(key: &TenantKey) -> IntentKey {
    let mut secret = [0; 32];
    let derived = key.claim("mail.sample", "key").to_string();
    secret.iter_mut().zip(derived.bytes()).for_each(|(to, byte)| *to = byte);
    IntentKey::new(secret)
}

/// Name and value of each header, unfolded.
fn headers_of(message: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => *value = format!("{value} {}", line.trim()).trim_start().to_owned(),
            (false, _, Some((name, value))) => headers.push((name.to_owned(), value.trim().to_owned())),
            _ => {}
        }
    }
    headers
}

/// Sends the mail of a draft to one of its author's mailboxes, once; `test` names the test, `place` the address in it. What nobody
/// can tell is `unknown` and is not sent again.
pub async fn send_test(
    draft: Draft,
    outlet: Outlet,
    test: Uuid,
    place: u16,
    to: String,
) -> io::Result<Result<TestOutcome, TestFault>> {
    let (provider, tenant) = (outlet.clone(), draft.tenant.clone());
    let made = stack::run(move || {
        let prepared = prepared(&draft, &outlet).map_err(TestFault::Unfit)?;
        let address = match MailAddress::try_new(&to) {
            Ok(address) => address,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let sample = sample(&draft, address, Some((test, place)));
        match sample.map_err(SampleError::Mail).and_then(|sample| prepared.sample(&sample)) {
            Ok(mail) => Ok(Ok(mail)),
            // The words are the same for all.
            Err(SampleError::Words(error)) => Err(TestFault::Words(TemplateFault::of(&error))),
            Err(SampleError::Mail(why)) => Ok(Err(why)),
        }
    })
    .await?;
    let outcome = match made {
        Err(fault) => return Ok(Err(fault)),
        Ok(Err(why)) => Outcome::new(0, Fate::Rejected).because(why),
        Ok(Ok(mail)) => {
            // At most once, as the campaign itself.
            let origin = Origin { tenant: &tenant, class: Class::Marketing };
            match provider.providers().hand_over(&origin, &mail.envelope, &mail.message, &NoGate).await {
                Handed::Answered { answer, .. } => fate::of(0, &answer).0,
                Handed::Halted(never) => match never {},
                Handed::Resting { cause, .. } => Outcome::new(0, Fate::Unsent).because(cause),
                Handed::Crowded { .. } => Outcome::new(0, Fate::Unsent).because("the rate allows no mail now"),
            }
        }
    };
    Ok(Ok(TestOutcome { fate: outcome.fate, cause: outcome.cause }))
}

/// Why no test mail can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestFault {
    /// A sentence for the author.
    Unfit(String),
    Words(TemplateFault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(html: &str) -> Draft {
        Draft {
            tenant: TenantId::try_new("acme").unwrap(),
            key: Arc::new(TenantKey::fixed([1; 32])),
            campaign: Uuid::from_u128(1),
            purpose: ConsentPurpose::Marketing,
            content: CampaignContent {
                subject: "Hi {{ first_name }}".into(),
                preheader: "For you".into(),
                html: html.into(),
                ..CampaignContent::default()
            },
            imprint: Imprint { name: "Acme".into(), postal_address: vec!["1 Example Street".into()] },
            receiver: ContactDetails {
                email: "ada@x.example".into(),
                first_name: Some("Ada".into()),
                ..ContactDetails::default()
            },
            at: Micros(1_769_903_910_000_000),
        }
    }

    #[test]
    fn a_draft_without_sender_and_provider_can_be_looked_at() {
        let seen = look(&draft("<p>{{ first_name }} at {{ sender_name }}</p>"), None).unwrap();
        assert_eq!((&*seen.subject, &*seen.preheader, seen.size), ("Hi Ada", "For you", 0));
        assert!(seen.html.contains("Ada at Acme") && seen.text.contains("1 Example Street"), "{seen:?}");
        assert!(seen.text.contains("https://preview.invalid/unsubscribe"), "check 45: {}", seen.text);
        assert!(seen.cautions.iter().any(|caution| caution.code == "cannot_be_sent"), "{seen:?}");
        let fault = look(&draft("<p>\n{{ city }}</p>"), None).unwrap_err();
        assert_eq!((fault.code, &*fault.part, fault.line), ("missing_field", "html", 2));
    }

    #[test]
    fn headers_are_unfolded() {
        let headers = headers_of(b"Subject: a\r\n b\r\nX:\r\n\tc\r\n\r\nbody: no");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers, [pair("Subject", "a b"), pair("X", "c")]);
    }
}
