//! The catalogue: one line per aggregate. From it come [`AnyEvent`], the decoder every reader uses, the golden list,
//! the names the CLI understands and the permission names.

use crate::{
    codec::{DecodeError, EncodeError},
    events::{EventSet, KindSpec},
};
use serde_json::Value;

/// What the catalogue knows about one aggregate.
#[derive(Debug, Clone, Copy)]
pub struct AggregateSpec {
    pub context: &'static str,
    pub aggregate: &'static str,
    pub kinds: &'static [KindSpec],
}

impl AggregateSpec {
    /// The scope that lets a caller read or write this aggregate: `crm.contact:read`.
    pub fn permission(&self, verb: &str) -> String {
        format!("{}.{}:{verb}", self.context, self.aggregate)
    }
}

/// An aggregate's events and where they live. Written by the catalogue only.
pub trait Catalogued: EventSet {
    const CONTEXT: &'static str;
    const AGGREGATE: &'static str;

    /// This aggregate's event out of any event.
    fn from_any(event: &AnyEvent) -> Option<&Self>;
}

macro_rules! catalog {
    ($( $variant:ident = $context:literal / $aggregate:literal => $events:ty ; )+) => {
        /// Any event of the platform, decoded.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyEvent { $( $variant($events) ),+ }

        /// Every aggregate of the platform.
        pub const AGGREGATES: &[AggregateSpec] = &[
            $( AggregateSpec { context: $context, aggregate: $aggregate, kinds: <$events as EventSet>::KINDS } ),+
        ];

        $(
            impl From<$events> for AnyEvent {
                fn from(event: $events) -> Self { Self::$variant(event) }
            }

            impl Catalogued for $events {
                const CONTEXT: &'static str = $context;
                const AGGREGATE: &'static str = $aggregate;
                fn from_any(event: &AnyEvent) -> Option<&Self> {
                    match event { AnyEvent::$variant(event) => Some(event), #[allow(unreachable_patterns)] _ => None }
                }
            }
        )+

        impl AnyEvent {
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$variant(event) => event.kind() ),+ }
            }

            pub fn schema(&self) -> u16 {
                match self { $( Self::$variant(event) => event.schema() ),+ }
            }

            pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
                match self { $( Self::$variant(event) => event.encode() ),+ }
            }

            pub fn to_json(&self) -> Value {
                match self { $( Self::$variant(event) => event.to_json() ),+ }
            }

            /// The one decoder of live reading, rebuild, CLI and import. `Ok(None)`: nothing this build knows.
            pub fn decode(
                context: &str, aggregate: &str, kind: &str, schema: u16, body: &[u8],
            ) -> Result<Option<Self>, DecodeError> {
                match (context, aggregate) {
                    $( ($context, $aggregate) => Ok(<$events>::decode(kind, schema, body)?.map(Self::$variant)), )+
                    // A claim's second token is what is claimed, so it is not listed above.
                    ("claim", _) => Ok(crate::claim::ClaimEvent::decode(kind, schema, body)?.map(Self::Claim)),
                    _ => Ok(None),
                }
            }

            /// An event from the JSON of a golden.
            pub fn from_json(kind: &str, value: &Value) -> Result<Option<Self>, serde_json::Error> {
                $( if let Some(event) = <$events>::from_json(kind, value)? { return Ok(Some(Self::$variant(event))); } )+
                Ok(None)
            }
        }
    };
}

catalog! {
    Claim   = "claim" / "any"       => crate::claim::ClaimEvent;
    Contact = "crm"   / "contact"   => crate::crm::contact::ContactEvent;
    Order   = "shop"  / "order"     => crate::shop::order::OrderEvent;
    Fulfilment = "shop" / "fulfilment" => crate::shop::fulfilment::FulfilmentEvent;
    Product = "shop"  / "product"   => crate::shop::product::ProductEvent;
    Page = "cms" / "page" => crate::cms::page::PageEvent;
    File = "cms" / "file" => crate::cms::file::FileEvent;
    Course = "learning" / "course" => crate::learning::course::CourseEvent;
    Enrolment = "learning" / "enrolment" => crate::learning::enrolment::EnrolmentEvent;
    Campaign = "mail" / "campaign" => crate::mail::campaign::CampaignEvent;
    Chunk = "mail" / "chunk" => crate::mail::chunk::ChunkEvent;
    Feedback = "mail" / "feedback" => crate::mail::feedback::FeedbackEvent;
    Message = "mail" / "message" => crate::mail::message::MessageEvent;
    MailSettings = "mail" / "settings" => crate::mail::settings::MailSettingsEvent;
    Response = "mail" / "response" => crate::mail::response::ResponseEvent;
    Suppression = "mail" / "suppression" => crate::mail::suppression::SuppressionEvent;
    TestSend = "mail" / "test_send" => crate::mail::test_send::TestSendEvent;
    Visit = "analytics" / "visit" => crate::analytics::visit::VisitEvent;
    Import  = "crm"   / "import"    => crate::crm::import::ImportEvent;
    Segment = "crm" / "segment" => crate::crm::segment::SegmentEvent;
    SubscriptionForm = "crm" / "subscription_form" => crate::crm::subscription_form::SubscriptionFormEvent;
    Tenant  = "identity" / "tenant"  => crate::identity::tenant::TenantEvent;
    Account = "identity" / "account" => crate::identity::account::AccountEvent;
    Session = "identity" / "session" => crate::identity::session::SessionEvent;
    ApiKey  = "identity" / "api_key" => crate::identity::api_key::ApiKeyEvent;
    Worker = "platform" / "worker" => crate::platform::worker::WorkerEvent;
    ParkedItem = "platform" / "parked_item" => crate::platform::parked_item::ParkedItemEvent;
    Alarm = "platform" / "alarm" => crate::platform::alarm::AlarmEvent;
}
