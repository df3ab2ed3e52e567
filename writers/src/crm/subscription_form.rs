//! A tenant's public form: whether strangers may ask for its mail, for what, and which words they see.
//!
//! As long as nothing is set the form is closed: nobody can bring a tenant to keep data of strangers, or to write to them, before
//! it wants that.

use super::contact::{ContactRejection, MAX_ASKED_TAGS, normal_tag};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
    writer::{WriteError, Writer},
};
use bus_schema::{
    TenantId,
    crm::subscription_form::{SubscriptionFormEvent, SubscriptionFormSet},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use uuid::Uuid;

/// Bytes of the text that people agree to.
pub const MAX_TEXT: usize = 4_000;
/// Characters of the name of its version.
pub const MAX_VERSION: usize = 100;
/// How old the form may be that a stranger is answered with.
const FRESH: Duration = Duration::from_secs(1);

/// A tenant's form. Its settings are shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SubscriptionForm {
    settings: Option<Arc<SubscriptionFormSet>>,
}

/// What can be asked of it.
#[derive(Clone, Debug)]
pub enum SubscriptionFormCommand {
    /// All of it.
    Set(SubscriptionFormSet),
}

rejections! {
    /// Why a command to a tenant's form is refused.
    pub enum SubscriptionFormRejection {
        VersionUsed: State, "text_version_used", "/text_version", "another text has this version; evidence of consents names it, so a new text has a new version";
        InvalidTag { index: usize }: Invalid, "invalid_tag", "/tags/{index}", "a tag has 1 to 60 characters of a-z, 0-9, space, '-', '_', '.', ':' and letters of other scripts";
        TooManyTags: Invalid, "too_many_tags", "/tags", "a form offers at most 10 tags";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of the text, characters of its version)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed, and no line break where one line is meant";
    }
}

impl From<TextFault> for SubscriptionFormRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl SubscriptionForm {
    /// What was set; `None`: nothing, so it is closed.
    pub fn settings(&self) -> Option<&SubscriptionFormSet> {
        self.settings.as_deref()
    }
}

fn valid(set: &SubscriptionFormSet) -> Result<SubscriptionFormSet, SubscriptionFormRejection> {
    use SubscriptionFormRejection as R;
    if set.tags.len() > MAX_ASKED_TAGS {
        return Err(R::TooManyTags);
    }
    let tag = |(index, tag): (usize, &String)| normal_tag(tag).map_err(|_: ContactRejection| R::InvalidTag { index });
    let tags: BTreeSet<String> = set.tags.iter().enumerate().map(tag).collect::<Result<_, _>>()?;
    let text = text::block("text", set.text.trim(), MAX_TEXT)?;
    if text.is_empty() && set.open {
        return Err(R::Required { field: "text" });
    }
    let text_version = text::line("text_version", &set.text_version, MAX_VERSION)?;
    if text_version.is_empty() && set.open {
        return Err(R::Required { field: "text_version" });
    }
    let (open, double_opt_in) = (set.open, set.double_opt_in);
    Ok(SubscriptionFormSet { open, double_opt_in, tags: tags.into_iter().collect(), text, text_version })
}

impl Decider for SubscriptionForm {
    type Event = SubscriptionFormEvent;
    type Command = SubscriptionFormCommand;
    type Rejection = SubscriptionFormRejection;

    fn decide(
        &self,
        SubscriptionFormCommand::Set(set): &SubscriptionFormCommand,
        _ctx: &Ctx,
    ) -> Result<Decision<SubscriptionFormEvent>, SubscriptionFormRejection> {
        let set = valid(set)?;
        let Some(present) = self.settings() else { return Ok(Decision::event(set)) };
        if *present == set {
            return Ok(Decision::nothing());
        }
        if present.text != set.text && !present.text.is_empty() && present.text_version == set.text_version {
            return Err(SubscriptionFormRejection::VersionUsed);
        }
        Ok(Decision::event(set))
    }

    fn evolve(&mut self, SubscriptionFormEvent::Set(set): &SubscriptionFormEvent) {
        self.settings = Some(Arc::new(set.clone()));
    }

    /// A form claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> SubscriptionFormRejection {
        SubscriptionFormRejection::VersionUsed
    }
}

/// Where a tenant's form is found.
pub async fn form_aggregate(writer: &Writer, tenant: &TenantId) -> Result<Uuid, WriteError> {
    Ok(writer.tenant_key(tenant).await?.derived_id("crm.subscription_form", tenant.as_str()))
}

/// A tenant's form as it was a moment ago at most; `None`: it takes nothing.
pub async fn open_form(writer: &Writer, tenant: &TenantId) -> Result<Option<SubscriptionFormSet>, WriteError> {
    let id = form_aggregate(writer, tenant).await?;
    let form = writer.load_cached::<SubscriptionForm>(tenant, id, FRESH).await?;
    Ok(form.state.settings().filter(|settings| settings.open).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;
    use SubscriptionFormCommand::Set;
    use SubscriptionFormRejection as R;

    fn form(text: &str, text_version: &str) -> SubscriptionFormSet {
        let (text, text_version) = (text.to_owned(), text_version.to_owned());
        SubscriptionFormSet { open: true, double_opt_in: true, tags: vec!["letter".into()], text, text_version }
    }

    #[test]
    fn a_form_is_set_whole_and_its_tags_are_normal() {
        let wanted = SubscriptionFormSet { tags: vec![" Letter".into(), "letter".into()], ..form(" I agree ", "1") };
        let set: SubscriptionFormEvent = form("I agree", "1").into();
        given::<SubscriptionForm>([]).when(Set(wanted)).then([set.clone()]);
        given::<SubscriptionForm>([set.clone()]).when(Set(form("I agree", "1"))).then([]);
        let closed = SubscriptionFormSet::default();
        let state = given::<SubscriptionForm>([set]).when(Set(closed.clone())).then([closed.into()]);
        assert!(!state.settings().unwrap().open);
    }

    #[test]
    fn a_version_stands_for_one_text() {
        let set: SubscriptionFormEvent = form("I agree", "1").into();
        given::<SubscriptionForm>([set.clone()]).when(Set(form("I agree to all", "1"))).then_rejected(R::VersionUsed);
        let other = form("I agree to all", "2");
        given::<SubscriptionForm>([set]).when(Set(other.clone())).then([other.into()]);
    }

    #[test]
    fn limits_name_the_field() {
        let table = [
            (form("", "1"), R::Required { field: "text" }),
            (form("a", " "), R::Required { field: "text_version" }),
            (form(&"x".repeat(4_001), "1"), R::TooLong { field: "text", max: MAX_TEXT }),
            (form("a", "1\n2"), R::InvalidText { field: "text_version" }),
            (SubscriptionFormSet { tags: vec!["a".into(); 11], ..form("a", "1") }, R::TooManyTags),
            (SubscriptionFormSet { tags: vec!["a".into(), "<".into()], ..form("a", "1") }, R::InvalidTag { index: 1 }),
        ];
        for (wanted, rejection) in table {
            given::<SubscriptionForm>([]).when(Set(wanted)).then_rejected(rejection);
        }
    }
}
