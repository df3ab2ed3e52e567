//! Saved segments: a name, a description and a filter. What the filter means is decided where it is searched with.

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
};
use bus_schema::crm::segment::{SegmentChanged, SegmentCreated, SegmentDefinition, SegmentDeleted, SegmentEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The largest filter, in bytes.
pub const MAX_FILTER: usize = 16 * 1024;
/// The largest description, in bytes.
pub const MAX_DESCRIPTION: usize = 2_000;

/// A segment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Segment {
    definition: Option<Arc<SegmentDefinition>>,
    deleted: bool,
}

/// What can be asked of a segment.
#[derive(Clone, Debug)]
pub enum SegmentCommand {
    Create {
        definition: SegmentDefinition,
    },
    /// Sets all of it.
    Change {
        definition: SegmentDefinition,
    },
    Delete,
}

rejections! {
    /// Why a command to a segment is refused.
    pub enum SegmentRejection {
        Unknown: Missing, "segment_not_found", "", "there is no such segment";
        Exists: State, "segment_exists", "", "the segment exists already";
        Deleted: State, "segment_deleted", "", "the segment was deleted";
        InUse: State, "segment_in_use", "", "campaigns that have not gone out use this segment; give them another audience or cancel them first";
        InvalidFilter: Invalid, "invalid_filter", "/filter", "a filter is a JSON object";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of filter and description, characters of the name)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed, and no line break where one line is meant";
    }
}

impl From<TextFault> for SegmentRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Segment {
    /// What it is; `None` when it is not there or was deleted.
    pub fn definition(&self) -> Option<&SegmentDefinition> {
        self.definition.as_deref().filter(|_| !self.deleted)
    }
}

fn valid(definition: &SegmentDefinition) -> Result<SegmentDefinition, SegmentRejection> {
    let name = text::required_line("name", &definition.name, 200)?;
    let description = text::block("description", definition.description.trim(), MAX_DESCRIPTION)?;
    if definition.filter.len() > MAX_FILTER {
        return Err(SegmentRejection::TooLong { field: "filter", max: MAX_FILTER });
    }
    match serde_json::from_str::<Map<String, Value>>(&definition.filter) {
        Ok(_) => Ok(SegmentDefinition { name, description, filter: definition.filter.clone() }),
        Err(_) => Err(SegmentRejection::InvalidFilter),
    }
}

impl Decider for Segment {
    type Event = SegmentEvent;
    type Command = SegmentCommand;
    type Rejection = SegmentRejection;

    fn decide(&self, command: &SegmentCommand, _ctx: &Ctx) -> Result<Decision<SegmentEvent>, SegmentRejection> {
        use SegmentRejection as R;
        match (command, &self.definition) {
            (SegmentCommand::Create { definition }, None) => {
                Ok(Decision::event(SegmentCreated { definition: valid(definition)? }))
            }
            (SegmentCommand::Create { .. }, Some(_)) => Err(R::Exists),
            (_, None) => Err(R::Unknown),
            (SegmentCommand::Delete, Some(_)) if self.deleted => Ok(Decision::nothing()),
            (SegmentCommand::Delete, Some(_)) => Ok(Decision::event(SegmentDeleted {})),
            (SegmentCommand::Change { .. }, Some(_)) if self.deleted => Err(R::Deleted),
            (SegmentCommand::Change { definition }, Some(present)) => {
                let definition = valid(definition)?;
                if definition == **present {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(SegmentChanged { definition }))
            }
        }
    }

    fn evolve(&mut self, event: &SegmentEvent) {
        match event {
            SegmentEvent::Created(created) => self.definition = Some(Arc::new(created.definition.clone())),
            SegmentEvent::Changed(changed) => self.definition = Some(Arc::new(changed.definition.clone())),
            SegmentEvent::Deleted(_) => self.deleted = true,
        }
    }

    fn creates(command: &SegmentCommand) -> bool {
        matches!(command, SegmentCommand::Create { .. })
    }

    /// A segment claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> SegmentRejection {
        SegmentRejection::Exists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;

    fn definition(filter: &str) -> SegmentDefinition {
        SegmentDefinition { name: "Vip".into(), description: String::new(), filter: filter.into() }
    }

    fn created() -> SegmentEvent {
        SegmentCreated { definition: definition("{}") }.into()
    }

    #[test]
    fn a_segment_is_made_changed_and_deleted() {
        let create = |filter: &str| SegmentCommand::Create { definition: definition(filter) };
        let change = |filter: &str| SegmentCommand::Change { definition: definition(filter) };
        given::<Segment>([]).when(create("{}")).then([created()]);
        given::<Segment>([created()]).when(create("{}")).then_rejected(SegmentRejection::Exists);
        given::<Segment>([created()]).when(change("{}")).then([]);
        let tagged = r#"{"tags":"vip"}"#;
        let changed = SegmentEvent::from(SegmentChanged { definition: definition(tagged) });
        let state = given::<Segment>([created()]).when(change(tagged)).then([changed]);
        assert_eq!(state.definition(), Some(&definition(tagged)));
        let state = given::<Segment>([created()]).when(SegmentCommand::Delete).then([SegmentDeleted {}.into()]);
        assert_eq!(state.definition(), None);
        let gone = || given::<Segment>([created(), SegmentDeleted {}.into()]);
        gone().when(SegmentCommand::Delete).then([]);
        gone().when(change(tagged)).then_rejected(SegmentRejection::Deleted);
        gone().when(create(tagged)).then_rejected(SegmentRejection::Exists);
        given::<Segment>([]).when(SegmentCommand::Delete).then_rejected(SegmentRejection::Unknown);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let refused = |definition: SegmentDefinition, rejection| {
            given::<Segment>([]).when(SegmentCommand::Create { definition }).then_rejected(rejection);
        };
        refused(definition("[]"), SegmentRejection::InvalidFilter);
        let long = "x".repeat(MAX_FILTER + 1);
        refused(definition(&long), SegmentRejection::TooLong { field: "filter", max: MAX_FILTER });
        let nameless = SegmentDefinition { name: " ".into(), ..definition("{}") };
        refused(nameless, SegmentRejection::Required { field: "name" });
        let lines = SegmentDefinition { name: "a\nb".into(), ..definition("{}") };
        refused(lines, SegmentRejection::InvalidText { field: "name" });
    }
}
