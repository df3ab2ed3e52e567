//! How a tenant writes to one person: its sender, the reasons for which mail goes out by itself, its templates.

use super::message::{MessageRejection, is_template_name, valid_sender, valid_words};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::TextFault,
    writer::{WriteError, Writer},
};
use bus_schema::{
    Micros, TenantId,
    mail::{
        message::{MessageKind, MessageSender, MessageWords},
        settings::{MailSettingsEvent, ReasonSwitched, SenderSet, TemplateRemoved, TemplateSet},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

/// Templates of one tenant, those of kinds included.
pub const MAX_TEMPLATES: usize = 50;
/// The kinds a tenant can switch off.
pub const SWITCHES: [MessageKind; 3] = [MessageKind::Receipt, MessageKind::Enrolment, MessageKind::PasswordReset];

/// A tenant's settings. Its parts are shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MailSettings {
    sender: Option<Arc<MessageSender>>,
    sender_since: Micros,
    off: BTreeSet<MessageKind>,
    /// When a kind was switched on the last time.
    on_since: BTreeMap<MessageKind, Micros>,
    templates: BTreeMap<String, Arc<MessageWords>>,
}

/// What can be asked of them.
#[derive(Clone, Debug)]
pub enum MailSettingsCommand {
    /// Sender and reasons, whole.
    Set {
        sender: Option<MessageSender>,
        off: BTreeSet<MessageKind>,
    },
    /// Whether its words can be made into a mail is checked where they are rendered.
    SetTemplate {
        name: String,
        words: MessageWords,
    },
    RemoveTemplate {
        name: String,
    },
}

rejections! {
    /// Why a command to a tenant's mail settings is refused.
    pub enum MailSettingsRejection {
        InvalidSender: Invalid, "invalid_sender", "/sender/email", "a sender has the form name@domain in ASCII (RFC 5321), at most 254 characters";
        NoSwitch: Invalid, "no_switch", "/reasons", "only receipt, enrolment and password_reset are sent by themselves";
        InvalidTemplate: Invalid, "invalid_template_name", "/name", "a template is named by 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter; 'own' is no name";
        NoTemplate: Missing, "template_not_found", "", "the tenant has no such template";
        TooManyTemplates: State, "too_many_templates", "", "a tenant has at most {MAX_TEMPLATES} templates";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of html and text, characters of other fields)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed, and no line break where one line is meant";
    }
}

impl From<TextFault> for MailSettingsRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl From<MessageRejection> for MailSettingsRejection {
    /// The rules of words and senders are those of messages.
    fn from(rejection: MessageRejection) -> Self {
        match rejection {
            MessageRejection::Required { field } => Self::Required { field },
            MessageRejection::TooLong { field, max } => Self::TooLong { field, max },
            MessageRejection::InvalidText { field } => Self::InvalidText { field },
            _ => Self::InvalidSender,
        }
    }
}

impl MailSettings {
    pub fn sender(&self) -> Option<&MessageSender> {
        self.sender.as_deref()
    }

    pub fn is_on(&self, kind: MessageKind) -> bool {
        !self.off.contains(&kind)
    }

    /// From when on what happens is a reason for a message of a kind; `None`: never. Customers hear only from a tenant that
    /// said from which address, and of nothing that happened before.
    pub fn since(&self, kind: MessageKind) -> Option<Micros> {
        let customers = matches!(kind, MessageKind::Receipt | MessageKind::Enrolment);
        if !self.is_on(kind) || (customers && self.sender.is_none()) {
            return None;
        }
        let switched = self.on_since.get(&kind).copied().unwrap_or_default();
        Some(if customers { switched.max(self.sender_since) } else { switched })
    }

    /// The tenant's own words under a name.
    pub fn template(&self, name: &str) -> Option<&MessageWords> {
        self.templates.get(name).map(Arc::as_ref)
    }

    /// The names of the tenant's templates, in order.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &MessageWords)> {
        self.templates.iter().map(|(name, words)| (name.as_str(), &**words))
    }

    fn set(
        &self,
        sender: Option<&MessageSender>,
        off: &BTreeSet<MessageKind>,
        at: Micros,
    ) -> Result<Decision<MailSettingsEvent>, MailSettingsRejection> {
        if off.iter().any(|kind| !SWITCHES.contains(kind)) {
            return Err(MailSettingsRejection::NoSwitch);
        }
        let sender = sender.map(valid_sender).transpose()?;
        let mut decision = Decision::nothing();
        if sender.as_ref() != self.sender() {
            decision = decision.and(SenderSet { sender, at });
        }
        for kind in SWITCHES.into_iter().filter(|kind| off.contains(kind) == self.is_on(*kind)) {
            decision = decision.and(ReasonSwitched { kind, on: !off.contains(&kind), at });
        }
        Ok(decision)
    }
}

impl Decider for MailSettings {
    type Event = MailSettingsEvent;
    type Command = MailSettingsCommand;
    type Rejection = MailSettingsRejection;

    fn decide(
        &self,
        command: &MailSettingsCommand,
        ctx: &Ctx,
    ) -> Result<Decision<MailSettingsEvent>, MailSettingsRejection> {
        use MailSettingsRejection as R;
        match command {
            MailSettingsCommand::Set { sender, off } => self.set(sender.as_ref(), off, ctx.now),
            MailSettingsCommand::SetTemplate { name, words } => {
                if !is_template_name(name) || name == MessageKind::Own.as_str() {
                    return Err(R::InvalidTemplate);
                }
                let words = valid_words(words)?;
                let present = self.template(name);
                if present == Some(&words) {
                    return Ok(Decision::nothing());
                }
                if present.is_none() && self.templates.len() >= MAX_TEMPLATES {
                    return Err(R::TooManyTemplates);
                }
                Ok(Decision::event(TemplateSet { name: name.clone(), words }))
            }
            MailSettingsCommand::RemoveTemplate { name } if self.templates.contains_key(name) => {
                Ok(Decision::event(TemplateRemoved { name: name.clone() }))
            }
            // A kind without words of the tenant's has the built-in ones already.
            MailSettingsCommand::RemoveTemplate { name } if MessageKind::parse(name).is_some() => {
                Ok(Decision::nothing())
            }
            MailSettingsCommand::RemoveTemplate { .. } => Err(R::NoTemplate),
        }
    }

    fn evolve(&mut self, event: &MailSettingsEvent) {
        match event {
            MailSettingsEvent::SenderSet(set) => {
                // Another sender is no new beginning.
                if self.sender.is_none() {
                    self.sender_since = set.at;
                }
                self.sender = set.sender.clone().map(Arc::new);
            }
            MailSettingsEvent::ReasonSwitched(ReasonSwitched { kind, on: true, at }) => {
                self.off.remove(kind);
                self.on_since.insert(*kind, *at);
            }
            MailSettingsEvent::ReasonSwitched(switched) => _ = self.off.insert(switched.kind),
            MailSettingsEvent::TemplateSet(set) => {
                self.templates.insert(set.name.clone(), Arc::new(set.words.clone()));
            }
            MailSettingsEvent::TemplateRemoved(removed) => _ = self.templates.remove(&removed.name),
        }
    }

    /// Settings claim no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> MailSettingsRejection {
        MailSettingsRejection::NoTemplate
    }
}

/// Where a tenant's settings are found.
pub async fn settings_aggregate(writer: &Writer, tenant: &TenantId) -> Result<Uuid, WriteError> {
    Ok(writer.tenant_key(tenant).await?.derived_id("mail.settings", tenant.as_str()))
}

/// A tenant's settings as they are now, so a mail is never made with what was changed before its cause.
pub async fn settings_of(writer: &Writer, tenant: &TenantId) -> Result<MailSettings, WriteError> {
    let id = settings_aggregate(writer, tenant).await?;
    Ok(writer.load::<MailSettings>(tenant, id).await?.state.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Meta,
        harness::{NOW, given},
        writer::tests::two_processes,
    };
    use MailSettingsCommand as C;
    use MailSettingsRejection as R;
    use bus_schema::CommandId;

    fn sender() -> MessageSender {
        MessageSender { name: "Garden".into(), email: "shop@garden.example".into(), reply_to: None }
    }

    fn words() -> MessageWords {
        MessageWords { subject: "Your receipt".into(), html: "<p>Thanks</p>".into(), text: None }
    }

    fn set(sender: Option<MessageSender>, off: &[MessageKind]) -> MailSettingsCommand {
        C::Set { sender, off: off.iter().copied().collect() }
    }

    #[tokio::test]
    async fn what_another_process_changed_holds_at_once() {
        let (here, there, tenant) = two_processes().await;
        let meta = || Meta::system("test", CommandId::random());
        let id = settings_aggregate(&here, &tenant).await.unwrap();
        here.execute::<MailSettings>(&tenant, id, &meta(), &set(Some(sender()), &[])).await.unwrap();
        assert!(settings_of(&there, &tenant).await.unwrap().since(MessageKind::Receipt).is_some());
        let off = set(Some(sender()), &[MessageKind::Receipt]);
        here.execute::<MailSettings>(&tenant, id, &meta(), &off).await.unwrap();
        assert!(settings_of(&there, &tenant).await.unwrap().since(MessageKind::Receipt).is_none());
    }

    #[test]
    fn customers_hear_from_a_named_sender_and_of_nothing_before() {
        let none = MailSettings::default();
        assert_eq!((none.since(MessageKind::Receipt), none.since(MessageKind::PasswordReset)), (None, Some(Micros(0))));
        let sender_set: MailSettingsEvent = SenderSet { sender: Some(sender()), at: NOW }.into();
        let state = given::<MailSettings>([]).when(set(Some(sender()), &[])).then([sender_set.clone()]);
        assert_eq!(state.since(MessageKind::Receipt), Some(NOW));
        let off = |on| ReasonSwitched { kind: MessageKind::Receipt, on, at: NOW.plus_seconds(-5) };
        let state = given::<MailSettings>([sender_set.clone(), off(false).into()]);
        let state = state.when(set(Some(sender()), &[MessageKind::Receipt])).then([]);
        assert_eq!((state.since(MessageKind::Receipt), state.since(MessageKind::Enrolment)), (None, Some(NOW)));
        let on = ReasonSwitched { kind: MessageKind::Receipt, on: true, at: NOW };
        let state = given::<MailSettings>([sender_set.clone(), off(false).into()]);
        assert!(state.when(set(Some(sender()), &[])).then([on.into()]).is_on(MessageKind::Receipt));
        // Another sender later: what happened since the first one is still told.
        let other = MessageSender { name: "Shop".into(), ..sender() };
        let later: MailSettingsEvent = SenderSet { sender: Some(other), at: NOW.plus_seconds(60) }.into();
        let state = given::<MailSettings>([sender_set, later]).when(set(None, &[]));
        let state = state.then([SenderSet { sender: None, at: NOW }.into()]);
        assert_eq!(state.since(MessageKind::Receipt), None);
    }

    #[test]
    fn settings_keep_to_their_limits() {
        let refused = |command: C, rejection: R| given::<MailSettings>([]).when(command).then_rejected(rejection);
        refused(set(Some(MessageSender { email: "shop".into(), ..sender() }), &[]), R::InvalidSender);
        refused(
            set(Some(MessageSender { name: "a\nb".into(), ..sender() }), &[]),
            R::InvalidText { field: "from_name" },
        );
        refused(set(None, &[MessageKind::Test]), R::NoSwitch);
        let template = |name: &str, words: MessageWords| C::SetTemplate { name: name.into(), words };
        for bad in ["own", "", "Receipt", "a b"] {
            refused(template(bad, words()), R::InvalidTemplate);
        }
        refused(template("receipt", MessageWords { html: String::new(), ..words() }), R::Required { field: "html" });
        refused(
            template("receipt", MessageWords { subject: "a\r\nBcc: x@y.example".into(), ..words() }),
            R::InvalidText { field: "subject" },
        );
        let many = (0..MAX_TEMPLATES).map(|number| TemplateSet { name: format!("t{number}"), words: words() }.into());
        given::<MailSettings>(many).when(template("one-more", words())).then_rejected(R::TooManyTemplates);
    }

    #[test]
    fn templates_are_set_and_taken_back() {
        let set: MailSettingsEvent = TemplateSet { name: "receipt".into(), words: words() }.into();
        let state = given::<MailSettings>([])
            .when(C::SetTemplate { name: "receipt".into(), words: words() })
            .then([set.clone()]);
        assert_eq!(state.template("receipt"), Some(&words()));
        let state = given::<MailSettings>([set])
            .when(C::RemoveTemplate { name: "receipt".into() })
            .then([TemplateRemoved { name: "receipt".into() }.into()]);
        assert_eq!(state.templates().count(), 0);
        given::<MailSettings>([]).when(C::RemoveTemplate { name: "receipt".into() }).then([]);
        given::<MailSettings>([]).when(C::RemoveTemplate { name: "nothing".into() }).then_rejected(R::NoTemplate);
    }
}
